"""A conditional density is a classifier: argmax_y p(x | y) p(y), with its accuracy reported."""

import csv
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.data.base import Split
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import Density
from ar_lightning.inference.inputs import InputDataset
from ar_lightning.likelihoods.discrete import Bernoulli
from ar_lightning.models.tables import Independent
from ar_lightning.training.checkpoints import load
from ar_lightning.training.lit import LitDensity
from tests.support.cases import CASES, CLASSES, Case, random_values
from tests.support.commands import QUICK, result, run_here

SIZES = {"train": 100, "valid": 37, "test": 53}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Binary 4x4 images of three classes that overlap, the first four times as frequent as the others."""
    path = tmp_path_factory.mktemp("data") / "labelled.npz"
    rng = np.random.default_rng(0)
    p = 0.3 + 0.4 * rng.random((3, 4, 4))
    arrays = {}
    for name, n in SIZES.items():
        arrays[f"{name}_labels"] = y = rng.choice(3, n, p=[4 / 6, 1 / 6, 1 / 6])
        arrays[name] = rng.random((n, 4, 4)) < p[y]
    np.savez(path, **arrays)
    return path


def options(path: Path) -> list[str]:
    return [
        "model=nade", "model.conditional=true", "data.name=npz", f"data.path={path}", "data.batch_size=10",
        "trainer.max_epochs=4", "optimizer=sgd", "optimizer.lr=0.02", "trainer.accelerator=cpu", "samples.n=3",
        "tracking.mode=disabled",
    ]  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if c.conditional], ids=str)
@torch.no_grad()
def test_every_class_scores_as_on_its_own(case: Case) -> None:
    density, x = case.build(), random_values(case.spec, 5)
    scores = density.class_log_probs(x)
    assert scores.shape == (5, CLASSES)
    for y in range(CLASSES):
        assert torch.equal(scores[:, y], density.log_prob(x, torch.full((5,), y)))


def test_an_unconditional_density_classifies_nothing() -> None:
    case = next(c for c in CASES if not c.conditional)
    with pytest.raises(ValueError, match="unconditional"):
        case.build().class_log_probs(random_values(case.spec, 2))


def test_the_frequencies_of_the_training_labels_decide_what_the_likelihood_leaves_open(tmp_path: Path) -> None:
    """Four pixels, on with probability 0.4, 0.6 and 0.99 in classes of frequency 0.8, 0.2 and 0.

    With k pixels on, class 1 is (6/4)^(2k - 4) / 4 times as likely as class 0: more only for k = 4. Class 2 would be
    the likeliest there, but never occurs. So class 1 is chosen for one of the 16 images, class 0 for all others.
    """
    spec = DataSpec((1, 4), 2, classes=3)
    every = torch.cartesian_prod(*[torch.arange(2)] * 4).numpy()
    train, test = np.zeros((10, 4), int), np.concatenate([every] * 4)
    labels = np.repeat([0, 1, 1, 2], 16)
    held = Split(test[:, None], labels)
    splits = {"train": Split(train[:, None], np.repeat([0, 1], [8, 2])), "valid": held, "test": held}
    dataset = InputDataset(held, spec)
    dataset.load = lambda: splits  # type: ignore[method-assign]
    model = Independent(Shapes(spec.shape, classes=3), conditional=True)
    p = torch.tensor([0.4, 0.6, 0.99])
    model.table.logits.data = torch.logit(p)[:, None, None].expand(3, 4, 1).clone()
    lit = LitDensity(Density(model, Bernoulli(spec), spec), {})
    data = ArrayDataModule(dataset, batch_size=7)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", default_root_dir=tmp_path, **quiet)
    scores = trainer.test(lit, data, verbose=False)[0]
    assert scores["test/accuracy"] == pytest.approx((15 + 1 + 1 + 0) / 64)
    nll = -sum(w * (0.5 * torch.log(q) + 0.5 * torch.log(1 - q)) * 4 for w, q in zip((0.25, 0.5, 0.25), p, strict=True))
    assert scores["test/nll"] == pytest.approx(float(nll))  # of each image given its own label


def test_reported_accuracy_is_the_loaded_density_s(labelled: Path, tmp_path: Path) -> None:
    """On two processes too: tests/invariants/test_training.py."""
    one = tmp_path / "one"
    assert run_here(*options(labelled), "trainer.devices=1", f"run_dir={one}") == 0
    arrays = np.load(labelled)
    x, y = torch.from_numpy(arrays["test"]).long()[:, None], torch.from_numpy(arrays["test_labels"])
    prior = torch.from_numpy(np.bincount(arrays["train_labels"]) / SIZES["train"])
    density = load(one)
    with torch.no_grad():
        columns = torch.stack([density.log_prob(x, torch.full_like(y, k)) for k in range(3)], 1)
        nll = -density.log_prob(x, y).double().mean().item()
    correct = ((columns.exp() * prior).argmax(1) == y).sum().item()
    assert (columns.argmax(1) == y).sum() != correct, "the prior makes no difference here"
    assert result(one)["test/accuracy"] == pytest.approx(correct / SIZES["test"])
    assert result(one)["test/nll"] == pytest.approx(nll, rel=1e-6)
    with (one / "metrics.csv").open(newline="") as file:
        logged = [float(row["test/accuracy"]) for row in csv.DictReader(file) if row["test/accuracy"]]
    assert logged == [result(one)["test/accuracy"]]


def test_others_report_no_accuracy(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = [*options(labelled), *QUICK]
    assert run_here(*base, "model.conditional=false", f"run_dir={tmp_path / 'unconditional'}") == 0
    monkeypatch.setattr("ar_lightning.training.lit.MAX_CLASSES", 2)
    assert run_here(*base, f"run_dir={tmp_path / 'too-many-classes'}") == 0
    for run in tmp_path.iterdir():
        assert "test/accuracy" not in result(run) and result(run)["test/nll"] > 0
        assert "test/accuracy" not in (run / "metrics.csv").read_text()
