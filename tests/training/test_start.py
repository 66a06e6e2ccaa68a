"""A training that starts from the weights of another, as far as they fit, and holds some of them fixed."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ar_lightning import __version__
from ar_lightning.config.build import build_density
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import CHECKPOINT_KEY
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from ar_lightning.training.start import Start, freeze, start_from
from tests.support.cases import SMALL, random_values, small
from tests.support.commands import QUICK, result, run_apart, run_here

NADE = ["model=nade", "model.hidden=8", *QUICK, "data.batch_size=20", "samples.every=0", "samples.completions=false"]
IMAGES = DataSpec((1, 4, 4), 3, classes=3)
SERIES = DataSpec((1, 16), 3, classes=3)


def built(spec: DataSpec, model: str, *options: str, seed: int = 0) -> tuple[Density, dict[str, Any]]:
    """Return a density of a small model, and its config."""
    torch.manual_seed(seed)
    config = load_config(None, [f"model={model}", *small(model), *options])
    return build_density(config, spec).eval(), config


def saved(density: Density, config: dict[str, Any], file: Path) -> Path:
    """Write a density as a training does."""
    about = {"version": __version__, "config": config, "data": density.spec.to_dict()}
    weights = {f"density.{name}": w for name, w in density.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 1, "global_step": 7, CHECKPOINT_KEY: about}, file)
    return file


def started(here: Density, there: tuple[Density, dict[str, Any]], folder: Path) -> Start:
    """Start a density from another one."""
    return start_from(saved(*there, folder / "there.ckpt"), here, "this")


def spec_of(model: str) -> DataSpec:
    """Return data that a model takes."""
    if model == "rnade":
        return DataSpec((1, 16), None)
    return SERIES if model == "wavenet" else IMAGES


@pytest.mark.parametrize("model", SMALL)
def test_the_same_model_is_the_same_density(model: str, tmp_path: Path) -> None:
    spec = spec_of(model)
    (here, _), there = built(spec, model, seed=1), built(spec, model)
    x = random_values(spec, 5)
    before, wanted = here.log_prob(x), there[0].log_prob(x)
    start = started(here, there, tmp_path)
    n = len(list(here.parameters()))
    assert start.left_out == [] and f"(epoch 2, step 7): {n} of {n} tensors" in start.summary
    assert not torch.equal(before, wanted) and torch.equal(here.log_prob(x), wanted)


@pytest.mark.parametrize(
    ("model", "there", "here", "options", "left_out"),
    [
        ("pixelcnn", IMAGES, DataSpec((1, 6, 5), 3), [], []),
        ("gated_pixelcnn", IMAGES, DataSpec((1, 6, 5), 3), [], []),
        ("row_lstm", IMAGES, DataSpec((1, 6, 5), 3), [], []),
        ("pixelcnnpp", IMAGES, DataSpec((1, 8, 8), 3), [], []),
        ("wavenet", SERIES, DataSpec((1, 24), 3), [], []),
        ("rnn", SERIES, DataSpec((1, 24), 3), [], []),
        ("transformer", SERIES, DataSpec((1, 24), 3), [], ["places.came.0.weight", "places.here.0.weight"]),
        ("pixelcnn", IMAGES, IMAGES, ["model.conditional=true"], ["class_bias.weight"]),
        ("nade", IMAGES, IMAGES, ["model.conditional=true"], ["class_bias.weight"]),
        ("transformer", SERIES, SERIES, ["model.conditional=true"], ["class_bias.weight"]),
        ("pixelcnn", IMAGES, DataSpec((1, 4, 4), 5), [], ["head.5.weight", "head.5.bias"]),
    ],
)  # fmt: skip
def test_what_fits_other_data(
    model: str, there: DataSpec, here: DataSpec, options: list[str], left_out: list[str], tmp_path: Path
) -> None:
    """Images of another size, sequences of another length, and from unconditional to conditional."""
    density, _ = built(here, model, *options, seed=1)
    source = built(there, model)
    start = started(density, source, tmp_path)
    assert [name.removeprefix("model.") for name, _ in start.left_out] == left_out
    ours, theirs = density.state_dict(), source[0].state_dict()
    assert start.taken and all(torch.equal(ours[name], theirs[name]) for name in start.taken)


def test_an_order_is_that_of_the_config(tmp_path: Path) -> None:
    here, _ = built(IMAGES, "nade", "model.order=random", "model.order_seed=1", seed=1)
    order = here.model.order.clone()
    start = started(here, built(IMAGES, "nade", "model.order=random"), tmp_path)
    assert start.left_out == [("model.orders", "another one there: this one is of the config")]
    assert torch.equal(here.model.order, order)


def test_reasons_are_said(tmp_path: Path) -> None:
    here, _ = built(IMAGES, "pixelcnn", "model.layers=3", "model.conditional=true")
    start = started(here, built(DataSpec((1, 4, 4), 5), "pixelcnn", "model.layers=2", "model.head=8"), tmp_path)
    reasons = {name.removeprefix("model."): reason for name, reason in start.left_out}
    assert reasons["class_bias.weight"] == reasons["branches.2.up.bias"] == "new here"
    assert reasons["head.5.bias"] == "(5,) there, (3,) here"
    fewer = started(built(IMAGES, "pixelcnn")[0], built(IMAGES, "pixelcnn", "model.layers=3"), tmp_path)
    assert {reason for _, reason in fewer.left_out} == {"not in this model"}


def test_weights_that_fit_nowhere_or_are_no_numbers_are_refused(tmp_path: Path) -> None:
    there = built(IMAGES, "pixelcnn")
    what = r"init_from: .*there\.ckpt: no weights fit: pixelcnn there has model\.\S+ \(.*, \.\.\., and this here has"
    with pytest.raises(UserError, match=what.replace(" has", "( has)?")):
        started(built(IMAGES, "nade")[0], there, tmp_path)
    next(there[0].parameters()).data.view(-1)[0] = float("nan")
    with pytest.raises(UserError, match=r"init_from: .*: not all weights of .* are numbers"):
        started(built(IMAGES, "pixelcnn")[0], there, tmp_path)


@pytest.mark.parametrize(
    ("patterns", "trained"),
    [
        ([], ["W", "V", "b", "c"]),
        (["model.units.W"], ["V", "b", "c"]),
        (["model.units.[Vb]", "*.c"], ["W"]),
    ],
)
def test_patterns_are_of_parameters_and_modules(patterns: list[str], trained: list[str]) -> None:
    density, _ = built(IMAGES, "nade")
    freeze(density, patterns)
    assert [name.rpartition(".")[2] for name, p in density.named_parameters() if p.requires_grad] == trained


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("init_from={run}x", "init_from: {run}x: no such run or checkpoint; did you mean 'first'?"),
        ("init_from=zoo:naed", "init_from: zoo:naed: no 'naed' in the zoo; choose from zoo:"),
        ("init_from={run}/config.yaml", "init_from: {run}/config.yaml: not a readable checkpoint ("),
        ("trainer.freeze=[model.unit.*]", "no parameter or module has such a name; did you mean 'model.units'?"),
        (
            "trainer.freeze=[nothing]",
            "trainer.freeze: nothing: no parameter or module has such a name; there are model.",
        ),
        ("trainer.freeze=[model, likelihood]", "trainer.freeze: likelihood: no parameter or module has such a name"),
        ("trainer.freeze=['*']", "trainer.freeze: nothing is left to train; leave a pattern out"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    option: str, answer: str, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(*NADE, option.format(run=first), f"run_dir={tmp_path / 'run'}") == 2
    error = capsys.readouterr().err
    assert answer.format(run=first) in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose weights are averaged."""
    run = tmp_path_factory.mktemp("runs") / "first"
    assert run_here(*NADE, "trainer.ema=0.5", f"run_dir={run}") == 0
    return run


def kept(run: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_a_run_that_has_started_goes_on_without_its_source(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From averaged weights, frozen in part: bit for bit as in one go, and what is frozen stays as it was."""
    source, whole, cut = shutil.copytree(first, tmp_path / "source"), tmp_path / "whole", tmp_path / "cut"
    base = [*NADE, f"init_from={source}", "trainer.freeze=[model.units.W, '*.b']", "trainer.ema=0.999",
            "optimizer=adagrad", "trainer.limit_train=6"]  # fmt: skip
    assert run_here(*base, "trainer.max_epochs=2", f"run_dir={whole}") == 0
    said = capsys.readouterr().out
    assert "of them trained" in said
    assert f"starting from {source}/checkpoints/best.ckpt (epoch 1, step 2): 4 of 4 tensors, " in said
    assert run_here(*base, f"run_dir={cut}") == 0
    capsys.readouterr()
    shutil.rmtree(source)
    assert run_here("--resume", str(cut), "trainer.max_epochs=2") == 0
    a, b, old = kept(whole), kept(cut), kept(first, "best")["state_dict"]
    assert all(torch.equal(a["state_dict"][name], b["state_dict"][name]) for name in a["state_dict"])
    for weights in (a["state_dict"], a["current_model_state"]):  # the average and what is averaged
        same = {name.rpartition(".")[2] for name in old if torch.equal(weights[name], old[name])}
        assert {"W", "b"} <= same and not {"V", "c"} & same
    assert len(a["optimizer_states"][0]["state"]) == 2
    assert a[CHECKPOINT_KEY]["config"]["init_from"] == result(whole)["init_from"] == str(source)
    for change in (f"init_from={first}", "trainer.freeze=[]"):
        assert run_here("--resume", str(cut), "trainer.max_epochs=3", change) == 2
    assert "starting from" not in capsys.readouterr().out


def test_the_start_outlasts_initialisation_from_data(tmp_path: Path) -> None:
    """A step of no length leaves the weights where they began."""
    base = ["model=pixelcnnpp", *small("pixelcnnpp"), *QUICK, "data.batch_size=20", "samples.every=0", "samples.n=1"]
    assert run_here(*base, f"run_dir={tmp_path / 'first'}") == 0
    still = ["optimizer=sgd", "optimizer.lr=1e-30", "optimizer.momentum=0", "seed=1"]
    assert run_here(*base, *still, f"init_from={tmp_path / 'first'}", f"run_dir={tmp_path / 'second'}") == 0
    a, b = (kept(tmp_path / name, which)["state_dict"] for name, which in (("first", "best"), ("second", "last")))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_start_and_freeze_as_one(first: Path, tmp_path: Path) -> None:
    base = [*NADE, f"init_from={first}", "trainer.freeze=[model.units.W]", "optimizer=sgd"]
    assert run_here(*base, f"run_dir={tmp_path / 'one'}") == 0
    run_apart(*base, "trainer.devices=2", "trainer.strategy=ddp", f"run_dir={tmp_path / 'two'}")
    assert result(tmp_path / "two")["val/nll"] == pytest.approx(result(tmp_path / "one")["val/nll"], rel=1e-6)
    w = next(name for name in kept(first)["state_dict"] if name.endswith(".W"))
    assert torch.equal(kept(tmp_path / "two")["state_dict"][w], kept(first, "best")["state_dict"][w])
