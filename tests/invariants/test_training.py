"""Training is what it says: exact over processes, the same after a power cut, the same through EMA and compilation."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.data.datasets.digits import Digits
from ar_lightning.density.density import Density
from ar_lightning.training.checkpoints import load
from ar_lightning.training.samples import SampleGrids
from tests.support.cases import EVERY_CASE, SMALL, random_values, small
from tests.support.commands import QUICK, killed_after, result, run_apart, run_here
from tests.support.marks import slow_but

EXACT = ("train/nll", "train/bpd", "val/nll", "val/bpd", "train/loss", "train/grad_norm")

CONDITIONAL = {"nade": ["model.conditional=true"]}
STEEP = {"pixelcnnpp": 2e-4}  # learning rates of models that would blow rounding errors up at a larger one


@pytest.fixture(scope="module")
def odd_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrays of binary 4x4 images; nothing divides the number of validation and test examples."""
    path = tmp_path_factory.mktemp("data") / "odd.npz"
    rng = np.random.default_rng(0)
    sizes = {"train": 100, "valid": 37, "test": 53}
    labels = {name: np.arange(n) % 3 for name, n in sizes.items()}
    images = {name: rng.random((n, 4, 4)) < rng.random((3, 4, 4))[labels[name]] for name, n in sizes.items()}
    np.savez(path, **images, **{f"{name}_labels": y for name, y in labels.items()})
    return path


@pytest.fixture
def random_training_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits whose training batches lose random pixels, so that training draws from the global generator."""

    def augment(self: Digits, x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.rand(x.shape) < 0.9, x, 0)

    monkeypatch.setattr(Digits, "augment", augment)


@pytest.mark.ddp
@pytest.mark.parametrize("model", slow_but(["nade"], ["nade", "pixelcnnpp", "deep_nade", "any_order_transformer"]))
def test_training_and_likelihood_on_two_processes_equal_one(model: str, odd_data: Path, tmp_path: Path) -> None:
    """Of models that read a sequence, given labels, read rows and are initialised from data, or draw their orders."""
    common = [
        f"model={model}", *small(model), "data.name=npz", f"data.path={odd_data}", "data.batch_size=10",
        "trainer.max_epochs=2", "optimizer=sgd", f"optimizer.lr={STEEP.get(model, 0.02)}", "trainer.accelerator=cpu",
        "samples.n=3", "tracking.mode=disabled", *CONDITIONAL.get(model, []),
    ]  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    assert run_here(*common, "trainer.devices=1", f"run_dir={one}") == 0
    run_apart(*common, "trainer.devices=2", "trainer.strategy=ddp", f"run_dir={two}")
    assert result(two)["world_size"] == 2
    for key in ("test/nll", "val/nll"):
        assert result(two)[key] == pytest.approx(result(one)[key], rel=1e-6)
    assert result(two).get("test/accuracy") == result(one).get("test/accuracy")
    assert ("test/accuracy" in result(two)) == (model in CONDITIONAL)
    assert (two / "samples" / "final.png").read_bytes() == (one / "samples" / "final.png").read_bytes()


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        kept = [{k: v for k, v in row.items() if k in ("step", *EXACT)} for row in csv.DictReader(file)]
    return [row for row in kept if any(row.get(k) for k in EXACT)]


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ("nade", []),
        ("nade", ["model.dropout=0.5", "trainer.save_minutes=1e-9"]),
        pytest.param("pixelcnnpp", ["model.filters=8", "model.resnets=1"], marks=pytest.mark.slow),
        pytest.param("transformer_any_order", ["model.width=16", "model.ensemble=2"], marks=pytest.mark.slow),
        pytest.param("transformer_image", ["model.width=16"], marks=pytest.mark.slow),
        pytest.param("transformer_names", ["model.width=16", "trainer.save_minutes=1e-9"], marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(config: str, size: list[str], tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch: weights, optimizer and metrics of the end are the same bit for bit.

    It goes on from the end of the epoch before, or within the epoch where checkpoints are that frequent.
    """
    options = [
        "--config", f"conf/{config}.yaml", *QUICK, "trainer.max_epochs=3", "trainer.limit_train=4",
        "data.batch_size=20", "trainer.ema=0.9", "schedule=cosine", "samples.every=1", *size,
    ]  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    killed_after(6, *options, f"run_dir={cut}")
    kept = torch.load(cut / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert kept == (6 if "trainer.save_minutes=1e-9" in size else 4)
    assert not (cut / "result.json").exists()

    assert run_here("--resume", str(cut)) == 0
    assert run_here(*options, f"run_dir={whole}") == 0
    a, b = (torch.load(d / "checkpoints" / "last.ckpt", weights_only=True) for d in (whole, cut))
    for weights in ("state_dict", "current_model_state"):
        assert all(torch.equal(a[weights][k], b[weights][k]) for k in a[weights])
    assert a["global_step"] == b["global_step"]
    moments, again = (checkpoint["optimizer_states"][0]["state"] for checkpoint in (a, b))
    assert moments and all(torch.equal(moments[p][k], again[p][k]) for p in moments for k in moments[p])
    assert rows(whole) == rows(cut)
    assert result(whole)["test/nll"] == result(cut)["test/nll"]
    assert samples(whole) == samples(cut)


def samples(run_dir: Path) -> dict[str, bytes]:
    drawn = {path.name: path.read_bytes() for path in (run_dir / "samples").glob("final.*")}
    assert drawn
    return drawn


def test_a_run_without_a_checkpoint_starts_again(tmp_path: Path) -> None:
    assert run_here("--config", "conf/nade.yaml", *QUICK, f"run_dir={tmp_path / 'a'}") == 0
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.yaml").write_text((tmp_path / "a" / "config.yaml").read_text())
    assert run_here("--resume", str(tmp_path / "b")) == 0
    assert result(tmp_path / "a")["test/nll"] == result(tmp_path / "b")["test/nll"]


@pytest.mark.usefixtures("random_training_data")
def test_a_finished_run_can_be_prolonged(tmp_path: Path) -> None:
    base = ["--config", "conf/nade.yaml", *QUICK, "schedule=constant"]
    assert run_here(*base, f"run_dir={tmp_path / 'short'}") == 0
    assert run_here("--resume", str(tmp_path / "short"), "trainer.max_epochs=3") == 0
    assert run_here(*base, "trainer.max_epochs=3", f"run_dir={tmp_path / 'long'}") == 0
    assert result(tmp_path / "short")["epochs"] == 3
    assert result(tmp_path / "short")["test/nll"] == result(tmp_path / "long")["test/nll"]


@pytest.mark.usefixtures("random_training_data")
def test_looking_does_not_change_training(tmp_path: Path) -> None:
    """Samples, validation and pictures draw from generators of their own."""
    base = ["--config", "conf/nade.yaml", *QUICK, "trainer.max_epochs=2"]
    assert run_here(*base, "samples.every=1", f"run_dir={tmp_path / 'often'}") == 0
    assert run_here(*base, "samples.every=0", "trainer.val_every=2", f"run_dir={tmp_path / 'never'}") == 0
    a, b = (torch.load(tmp_path / d / "checkpoints" / "last.ckpt", weights_only=True) for d in ("often", "never"))
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])


def loaded(model: str, data: Path, run: Path, *more: str) -> tuple[Density, torch.Tensor]:
    """Train two batches; return the density that is loaded and its scores of the two batches that QUICK tests."""
    options = [f"model={model}", *small(model), "data.name=npz", f"data.path={data}", *QUICK, "seed=3", *more]
    assert run_here(*options, f"run_dir={run}") == 0
    density = load(run)
    with torch.no_grad():
        return density, density.log_prob(torch.from_numpy(np.load(data)["test"]).long()[:20, None])


def test_averaged_weights_are_what_is_loaded(odd_data: Path, tmp_path: Path) -> None:
    _, plain = loaded("nade", odd_data, tmp_path / "plain")
    density, scores = loaded("nade", odd_data, tmp_path / "averaged", "trainer.ema=0.5")
    assert not torch.equal(plain, scores)
    kept = torch.load(tmp_path / "averaged" / "checkpoints" / "best.ckpt", weights_only=True)
    key = next(k for k in kept["state_dict"] if kept["state_dict"][k].is_floating_point())
    assert torch.equal(density.state_dict()[key.removeprefix("density.")], kept["state_dict"][key])
    assert not torch.equal(kept["state_dict"][key], kept["current_model_state"][key])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pixelcnn", "rnn"])
def test_a_compiled_checkpoint_loads_like_any(
    model: str, odd_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: original(self, backend="eager"))
    _, plain = loaded(model, odd_data, tmp_path / "plain")
    _, compiled = loaded(model, odd_data, tmp_path / "compiled", "trainer.compile=true")
    assert torch.allclose(plain, compiled, atol=1e-4)


def test_samples_during_training_come_from_the_averaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    draw = SampleGrids.draw

    def recorded(self: SampleGrids, trainer: Any, module: Any, name: str) -> dict[str, str]:
        seen.append({k: v.clone() for k, v in module.state_dict().items()})
        return draw(self, trainer, module, name)

    monkeypatch.setattr(SampleGrids, "draw", recorded)
    base = ["--config", "conf/nade.yaml", *QUICK, "trainer.ema=0.5", "samples.every=1"]
    assert run_here(*base, "trainer.max_epochs=2", f"run_dir={tmp_path / 'two'}") == 0
    assert run_here(*base, "trainer.max_epochs=1", f"run_dir={tmp_path / 'one'}") == 0
    averaged = torch.load(tmp_path / "one" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert len(seen) == 3
    assert all(torch.equal(seen[0][k], averaged[k]) for k in averaged)


def test_the_reported_likelihood_is_the_loaded_density_s(odd_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = [
        "data.name=npz",
        f"data.path={odd_data}",
        "trainer.max_epochs=2",
        "tracking.mode=disabled",
        "samples.n=4",
    ]
    assert run_here("model=nade", *options, f"run_dir={run}") == 0
    x = torch.from_numpy(np.load(odd_data)["test"]).long()[:, None]
    with torch.no_grad():
        nll = -load(run).log_prob(x).double().mean().item()
    assert result(run)["test/nll"] == pytest.approx(nll, rel=1e-6)
    assert result(run)["test/bpd"] == pytest.approx(nll / (16 * np.log(2)), rel=1e-6)
    assert result(run)["test_examples"] == 53


@pytest.mark.parametrize("model", slow_but(["nade"], ["nade", "pixelcnn"]))
def test_other_precisions_train(model: str, odd_data: Path, tmp_path: Path) -> None:
    base = [f"model={model}", *small(model), "data.name=npz", f"data.path={odd_data}", *QUICK]
    nll = {}
    for precision in ("32-true", "bf16-mixed", "64-true"):
        assert run_here(*base, f"trainer.precision={precision}", f"run_dir={tmp_path / precision}") == 0
        nll[precision] = result(tmp_path / precision)["test/nll"]
        assert load(tmp_path / precision).dtype == (torch.float64 if precision == "64-true" else torch.float32)
    assert nll == {precision: pytest.approx(nll["32-true"], rel=2e-2) for precision in nll}


@pytest.mark.parametrize("model", SMALL)
def test_the_loss_of_every_model_in_other_precisions(model: str) -> None:
    case = next(case for case in EVERY_CASE if case.model == model)
    x, cond = random_values(case.spec, 20), case.labels(20)
    losses = {}
    for dtype in (torch.float32, torch.float64):
        density = case.build(dtype).train()
        values = x.to(dtype) if x.is_floating_point() else x
        for half in (False, True)[: 1 + (dtype == torch.float32)]:
            torch.manual_seed(0)  # of random orders
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = density.loss(values, cond).mean()
            loss.backward()
            assert loss.dtype == dtype
            # PyTorch's bfloat16 gradient of a strided convolution of one pixel is at times of memory it never wrote.
            assert half or all(p.grad is None or p.grad.isfinite().all() for p in density.parameters())
            losses[dtype, half] = loss.item()
    assert losses == {key: pytest.approx(losses[torch.float64, False], rel=5e-2) for key in losses}


def test_what_is_logged_of_a_step_is_of_that_step(tmp_path: Path) -> None:
    """However few are logged; and what is logged of an epoch is of all its steps."""
    rows = {}
    for every in (1, 3):
        run = tmp_path / str(every)
        steps = [*QUICK, "trainer.limit_train=6", f"trainer.log_every={every}"]
        assert run_here("model=nade", "model.hidden=8", *steps, f"run_dir={run}") == 0
        with (run / "metrics.csv").open(newline="") as file:
            rows[every] = list(csv.DictReader(file))
    for key in ("train/loss", "train/grad_norm"):
        values = {every: {row["step"]: row[key] for row in found if row[key]} for every, found in rows.items()}
        assert list(values[1]) == list("012345") and list(values[3]) == list("25")
        assert values[3] == {step: values[1][step] for step in values[3]}
    mean = np.mean([float(row["train/loss"]) for row in rows[1] if row["train/loss"]])
    (epoch,) = (float(row["train/nll"]) for row in rows[3] if row["train/nll"])
    assert epoch == pytest.approx(mean, rel=1e-6)


MIXED = ["--config", "conf/table_orderless.yaml", "model.hidden=16", "optimizer=sgd", "optimizer.lr=0.01",
         "schedule=constant", "data.batch_size=20", "trainer.limit_train=6", "trainer.ema=null", "samples.every=0",
         "samples.n=5", "tracking.mode=disabled"]  # fmt: skip


@pytest.mark.ddp
@pytest.mark.slow
def test_a_table_with_holes_on_two_processes_equals_one(tmp_path: Path) -> None:
    """Rows have as many cells as they have: a mean of means would not be the mean."""
    one, two = tmp_path / "one", tmp_path / "two"
    common = [*MIXED, "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    assert run_here(*common, "trainer.devices=1", f"run_dir={one}") == 0
    run_apart(*common, "trainer.devices=2", "trainer.strategy=ddp", f"run_dir={two}")
    for key in ("test/nll", "val/nll"):
        assert result(two)[key] == pytest.approx(result(one)[key], rel=1e-6)
    for alone, both in zip(result(one)["columns"], result(two)["columns"], strict=True):
        assert (both["name"], both["cells"]) == (alone["name"], alone["cells"])
        assert both["nll"] == pytest.approx(alone["nll"], rel=1e-5)
    assert (two / "samples" / "final.csv").read_text() == (one / "samples" / "final.csv").read_text()


@pytest.mark.slow
def test_a_table_with_holes_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    options = [*MIXED, "trainer.max_epochs=3", "trainer.limit_train=4"]
    killed_after(6, *options, f"run_dir={cut}")
    assert run_here("--resume", str(cut)) == 0
    assert run_here(*options, f"run_dir={whole}") == 0
    a, b = (torch.load(d / "checkpoints" / "last.ckpt", weights_only=True) for d in (whole, cut))
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])
    assert result(whole)["columns"] == result(cut)["columns"]
