"""What a user writes: wrong sweep files are answered in one line, at once; right ones mean what they say."""

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from ar_lightning.cli import main
from ar_lightning.config import devices
from ar_lightning.core.errors import UserError
from ar_lightning.sweep import slots
from ar_lightning.sweep.definition import saved_sweep
from ar_lightning.sweep.file import read_sweep
from ar_lightning.sweep.launch import _check_steps
from ar_lightning.sweep.space import probes, settings_of
from tests.commands.test_cli import apart, contents

GOOD: dict[str, Any] = {
    "config": "nade.yaml",
    "trials": 20,
    "space": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
}
CONFIGS = {
    "nade.yaml": "model: nade\noptimizer: {name: adam, lr: 1e-3}\ntrainer: {max_epochs: 10}",
    "broken.yaml": "model: {name: nade, hiden: 3}",
    "empty.yaml": "seed: 1",
    "two_nodes.yaml": "model: nade\ntrainer: {num_nodes: 2}",
    "two_devices.yaml": "model: nade\ntrainer: {devices: 2}",
    "missing.yaml": "model: nade\ndata: {name: npz, path: tabel.npz}",
}
ABSENT = "(absent)"


def int_range(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return {"type": "int", "low": low, "high": high, **more}


def float_range(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high, **more}


def choices(*values: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(values)}


def branches(**contents: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": contents}


# One change of a good file, and what the answer must say after the file's name.
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"trails": 3}, "no key 'trails' of a sweep; did you mean 'trials'?"),
    ({"spcae": {}}, "no key 'spcae' of a sweep; did you mean 'space'?"),
    ({"base": "x.yaml"}, "no key 'base' of a sweep"),
    ({"model": "nade"}, "no key 'model' of a sweep"),
    ({"config": ABSENT}, "config is missing"),
    ({"config": 3}, "config: expected a file name, got 3"),
    ({"config": ["nade.yaml"]}, "config: expected a file name, got [nade.yaml]"),
    ({"config": "nad.yaml"}, "config: no config file nad.yaml; did you mean 'nade.yaml'?"),
    ({"config": "broken.yaml"}, "config: broken.yaml: model.hiden: no key of nade; did you mean 'hidden'?"),
    ({"config": "empty.yaml"}, "config empty.yaml: model.name is missing"),
    ({"config": "missing.yaml"}, "config missing.yaml: data.path: no file tabel.npz; did you mean"),
    ({"config": "two_nodes.yaml"}, "trainer.num_nodes=2: a trial runs on one machine"),
    ({"config": "two_devices.yaml"}, "trainer.devices=2, but devices_per_trial=1; change either"),
    ({"overrides": ["trainer.val_every=11"]}, "trainer.val_every=11 is above trainer.max_epochs=10: no trial would"),
    ({"space": {"trainer.val_every": choices(2, 20)}}, "trainer.val_every=20 is above trainer.max_epochs=10"),
    ({"space": {"trainer.max_epochs": int_range(3, 9)}, "overrides": ["trainer.val_every=4"]}, "trainer.max_epochs=3"),
    ({"overrides": "trainer.max_epochs=2"}, "overrides: expected a list such as [trainer.max_epochs=20]"),
    ({"overrides": [3]}, "overrides: expected a list such as"),
    ({"overrides": ["trainer.max_epoch=2"]}, "overrides: trainer.max_epoch: no key of trainer; did you mean"),
    ({"overrides": ["trainer.max_epochs"]}, "overrides: 'trainer.max_epochs' should look like key=value"),
    ({"overrides": ["trainer.max_epochs=0"]}, "overrides: trainer.max_epochs: expected int >= 1, got 0"),
    ({"overrides": ["run_dir=x"]}, "overrides: run_dir is the sweep's own; set sweep_dir instead"),
    ({"overrides": ["model.hidden=${nope}"]}, "Interpolation key 'nope' not found"),
    ({"trials": ABSENT}, "say when to end: trials, such as trials: 40, or hours"),
    ({"trials": 0}, "trials: expected int >= 1 or null, got 0"),
    ({"trials": 2.5}, "trials: expected int >= 1 or null, got 2.5"),
    ({"trials": "many"}, "trials: expected int >= 1 or null, got many"),
    ({"trials": [3]}, "trials: expected int >= 1 or null, got [3]"),
    ({"hours": -1}, "hours: expected float > 0 and <= 1e+06 or null, got -1"),
    ({"lease": 0}, "lease: expected float > 0, got 0"),
    ({"workers": 0}, "workers: expected int >= 1 or null, got 0"),
    ({"baseline": "yes please"}, "baseline: expected bool, got 'yes please'"),
    ({"study": "a/b"}, "study: expected letters, digits, '-', '_' and '.', got a/b"),
    ({"study": ".."}, "study: expected letters"),
    ({"study": ["a"]}, "study: expected str or null, got [a]"),
    ({"sweep_dir": {"a": 1}}, "sweep_dir: expected str or null, got {a: 1}"),
    ({"objective": "val/bdp"}, "objective.metric: unknown metric 'val/bdp'; did you mean 'val/bpd'?"),
    ({"objective": {"metric": ["val/bpd"]}}, "objective.metric: unknown metric"),
    ({"objective": {"metric": "val/bpd", "direction": "minimise"}}, "direction 'minimise'; did you mean 'minimize'?"),
    ({"objective": {"metrik": "val/bpd"}}, "objective: expected {metric: val/bpd, direction: minimize}"),
    ({"objective": 3}, "objective: expected {metric: val/bpd, direction: minimize}, or a list of two, got 3"),
    ({"objective": []}, "objective: expected one metric or two different ones, got []"),
    ({"objective": ["val/bpd", "val/bpd"]}, "objective: expected one metric or two different ones"),
    ({"objective": ["val/bpd", "val/nll", "parameters"]}, "objective: expected one metric or two different ones"),
    ({"objective": ["val/bpd", "parameters"], "pruner": "median"}, "cannot be pruned of two objectives; use none"),
    ({"objective": "parameters", "pruner": "median"}, "by parameters, which is known at the end only; use none"),
    ({"objective": ["val/bpd", "parameters"], "sampler": "cmaes"}, "sampler.name=cmaes takes one objective"),
    ({"sampler": "tpee"}, "sampler.name: unknown sampler 'tpee'; did you mean 'tpe'?"),
    ({"sampler": 3}, "sampler: expected a name, got 3"),
    ({"sampler": {"seed": 1}}, "sampler: expected a name, got {seed: 1}"),
    ({"sampler": {"name": "tpe", "sede": 1}}, "sampler.sede: no key of tpe; did you mean 'seed'?"),
    ({"sampler": {"name": "tpe", "population": 4}}, "sampler.population: no key of tpe; choose from"),
    ({"sampler": {"name": "tpe", "seed": -1}}, "sampler.seed: expected int >= 0, got -1"),
    ({"sampler": {"name": "nsgaii", "population": 1}}, "sampler.population: expected int >= 2, got 1"),
    ({"sampler": {"name": "grid", "seed": 1}}, "sampler.seed: no key of grid; it has none"),
    ({"sampler": "grid"}, "space: optimizer.lr: a grid needs step, or choices"),
    ({"sampler": "grid", "space": {"model.hidden": int_range(1, 10**6)}}, "the grid has 1,000,000 points"),
    ({"pruner": "medain"}, "pruner.name: unknown pruner 'medain'; did you mean 'median'?"),
    ({"pruner": None}, "pruner: expected a name, got null"),
    ({"pruner": {"name": "median", "patience": 3}}, "pruner.patience: no key of median"),
    ({"pruner": {"name": "hyperband", "min_epochs": 0}}, "pruner.min_epochs: expected int >= 1, got 0"),
    ({"pruner": {"name": "hyperband", "min_epochs": 10}}, "no trial lasts longer than 10 epochs; lower it"),
    ({"storage": "jornal"}, "storage=jornal: no such storage; did you mean 'journal'?"),
    ({"storage": "sqlite:///x.db"}, "use journal, or postgresql://"),
    ({"storage": "postgre://x"}, "did you mean 'postgres"),
    ({"storage": "${oc.env:NOT_SET_ANYWHERE}"}, "storage: Environment variable 'NOT_SET_ANYWHERE' not found"),
    ({"devices": "0,,1"}, "devices=0,,1: expected groups of GPUs, such as '0,1;2,3'"),
    ({"devices": "0,1"}, "devices_per_trial=1, but the group 0,1 has 2"),
    ({"devices": "0;0"}, "devices=0;0: GPU 0 is there twice"),
    ({"devices": "0", "overrides": ["trainer.accelerator=cpu"]}, "trainer.accelerator=cpu has no GPUs"),
    ({"devices": "0"}, "devices=0: this machine has no GPUs to choose from; leave devices out"),
    ({"devices": ["0", "1"]}, "devices: expected str or null"),
    ({"devices_per_trial": 3}, "data.batch_size=64 cannot be divided among 3 processes; change either"),
]
SPACES: list[tuple[Any, str]] = [
    (3, "space: expected config keys with what they may be, got 3"),
    ([], "space: expected config keys"),
    ({}, "space: expected config keys"),
    ({"optimizer.lrr": float_range(1e-4, 1e-2)}, "space: optimizer.lrr: no key of adam; did you mean 'lr'?"),
    ({"model.lr": float_range(1e-4, 1e-2)}, "did you mean 'optimizer.lr'?"),
    ({"hidden": int_range(1, 2)}, "space: no key 'hidden'; did you mean 'model.hidden'?"),
    ({"model": choices("nade", "made")}, "space.model: give the whole key; did you mean 'model.name'?"),
    ({"model": {"hidden": int_range(1, 2)}}, "space.model: give the whole key, such as model.hidden"),
    ({"model.hidden": [1, 2]}, "space.model.hidden: expected a range or choices, such as {type: float"),
    ({"model.hidden": 3}, "expected a range or choices"),
    ({"model.hidden": None}, "expected a range or choices"),
    ({"model.hidden": {}}, "space.model.hidden.type is missing; choose from categorical, float, int"),
    ({"model.hidden": {"type": "integer"}}, "unknown type integer"),
    ({"model.hidden": {"type": ["int"]}}, "space.model.hidden.type: unknown type [int]"),
    ({"model.hidden": {"type": "imt", "low": 1, "high": 2}}, "unknown type imt; did you mean 'int'?"),
    ({"model.hidden": int_range(1, 2, hihg=3)}, "no key 'hihg' of type int; did you mean 'high'?"),
    ({"model.hidden": int_range(1, 2, choices=[3])}, "no key 'choices' of type int"),
    ({"model.hidden": {**choices(1, 2), "low": 1}}, "no key 'low' of type categorical"),
    ({"model.hidden": {"type": "int", "high": 3}}, "space.model.hidden.low is missing: int"),
    ({"model.hidden": {"type": "int", "low": 3}}, "space.model.hidden.high is missing: int"),
    ({"model.hidden": int_range(0, 10)}, "space: model.hidden: expected int >= 1, got 0"),
    ({"model.hidden": int_range(1, 2**70)}, "space.model.hidden.high: expected int, got"),
    ({"model.hidden": int_range(1.5, 10)}, "space.model.hidden.low: expected int, got 1.5"),
    ({"model.hidden": int_range("1", 10)}, "space.model.hidden.low: expected int, got '1'"),
    ({"model.hidden": int_range(True, 10)}, "space.model.hidden.low: expected int, got true"),
    ({"model.hidden": float_range(16, 32)}, "space: model.hidden: expected int >= 1, got 16.0"),
    ({"model.hidden": int_range(10, 1)}, "space.model.hidden: low is above high: 10 > 1"),
    ({"model.hidden": int_range(0, 9, log=True)}, "space.model.hidden: log needs low above 0, got 0"),
    ({"model.hidden": int_range(1, 9, log="yes")}, "space.model.hidden.log: expected bool, got 'yes'"),
    ({"model.hidden": int_range(1, 9, log=True, step=2)}, "space.model.hidden.step: log has no steps"),
    ({"model.hidden": int_range(1, 9, step=0)}, "space.model.hidden.step: expected a number above 0"),
    ({"model.hidden": int_range(1, 9, step=0.5)}, "space.model.hidden.step: expected int, got 0.5"),
    ({"model.hidden": int_range(16, 50, step=16)}, "steps of 16 do not lead to high; set it to 48"),
    ({"model.hidden": int_range("${seed}", 9)}, "space.model.hidden.low: expected int"),
    ({"optimizer.lr": float_range(0.0, 1e-2)}, "space: optimizer.lr: expected float > 0, got 0.0"),
    ({"optimizer.lr": float_range(float("nan"), 1)}, "space.optimizer.lr.low: expected a finite number, got nan"),
    ({"optimizer.lr": float_range(1, float("inf"))}, "space.optimizer.lr.high: expected a finite number, got inf"),
    ({"optimizer.lr": choices(float("nan"), 1e-3)}, "space: optimizer.lr: expected float > 0, got nan"),
    ({"trainer.ema": float_range(0.9, 1.0)}, "space: trainer.ema: expected float >= 0 and < 1 or null, got 1.0"),
    ({"model.activation": choices("relu", "rely")}, "expected sigmoid | relu, got rely; did you mean 'relu'?"),
    ({"model.activation": choices()}, "space.model.activation.choices: expected a list"),
    ({"model.activation": {"type": "categorical"}}, "space.model.activation.choices: expected a list"),
    ({"model.activation": {"type": "categorical", "choices": "relu"}}, "expected a list, or a mapping from choice to"),
    ({"model.activation": choices("relu", "relu")}, "space.model.activation.choices: relu is there twice"),
    ({"optimizer.betas": choices([0.9, 0.9], [0.9, 0.9])}, "[0.9, 0.9] is there twice"),
    ({"optimizer.betas": choices([0.9, 1.9])}, "space: optimizer.betas: expected"),
    ({"model.name": choices("nade", "mode")}, "space: model.name: unknown model 'mode'; did you mean"),
    ({"model.name": choices("nade", "row_lstm"), "model.activation": choices("relu")}, "no key of row_lstm, but of"),
    ({"model.name": branches(nade={"model.layers": int_range(1, 2)})}, "model.layers: no key of nade, but of"),
    ({"model.name": branches(nade={"model.layers": 3})}, "model.layers: no key of nade, but of"),
    ({"model.name": branches(nade={"model.hidden": 0})}, "space: model.hidden: expected int >= 1, got 0"),
    ({"model.name": branches(nade={"model.hidden": int_range(0, 9)})}, "model.hidden: expected int >= 1, got 0"),
    ({"model.name": branches(nade={"model.hidden": int_range(9, 1)})}, "choices.nade.model.hidden: low is above"),
    ({"model.name": branches(nade=3)}, "space.model.name.choices.nade: expected config keys"),
    ({"model.name": branches(nade=0)}, "space.model.name.choices.nade: expected config keys"),
    (
        {"model.name": branches(nade={"optimizer": "sgd"})},
        "optimizer: give the whole key; did you mean 'optimizer.name'?",
    ),
    (
        {"model.name": branches(nade={"model.hidden": int_range(1, 9)}), "model.hidden": int_range(1, 9)},
        "space.model.name.choices.nade.model.hidden: is also outside of the branch",
    ),
    (
        {"model.name": branches(nade={"seed": 1}), "optimizer.name": branches(adam={"seed": 2})},
        "choices.nade.seed: is also outside of the branch",
    ),
    ({"model.name": branches(rnade=None, row_lstm=None), "data.name": choices("wine")}, "reads images"),
    ({"likelihood.name": choices("gaussian_mixture")}, "likelihood.name=gaussian_mixture does not take"),
    ({"data.name": choices("digits", "digit")}, "space: data.name: unknown data 'digit'; did you mean 'digits'?"),
    ({"run_dir": choices("a", "b")}, "space.run_dir: is the sweep's own, and cannot be searched"),
    ({"experiment": choices("a")}, "space.experiment: is the sweep's own"),
    ({"trainer.devices": int_range(1, 2)}, "space.trainer.devices: is the sweep's own"),
    ({"trainer.num_nodes": int_range(1, 2)}, "space.trainer.num_nodes: is the sweep's own"),
    ({"trainer.accelerator": choices("cpu", "gpu")}, "space.trainer.accelerator: is the sweep's own"),
    ({"tracking.mode": choices("online")}, "space.tracking.mode: is the sweep's own"),
    ({"model.name": branches(nade={"tracking.tags": ["a"]})}, "space.tracking.tags: is the sweep's own"),
]
CHANGES += [({"space": space}, answer) for space, answer in SPACES]
LINES = [
    ([], "nothing to search: give a sweep file"),
    (["--config"], "--config: expected one argument"),
    (["--confg", "ok.yaml"], "no option '--confg'; did you mean '--config'?"),
    (["--config", "ko.yaml"], "no config file ko.yaml; did you mean 'ok.yaml'?"),
    (["--config", "list.yaml"], "list.yaml: expected 'key: value' lines"),
    (["--config", "tab.yaml"], "tab.yaml:2: not valid YAML"),
    (["--config", "twice.yaml"], "twice.yaml:2: not valid YAML"),
    (["--config", "nothing.yaml"], "nothing.yaml: config is missing"),
    (["--config", "two words.yaml"], "two words.yaml: study: expected letters"),
    (["--config", "ok.yaml", "trials"], "'trials' should look like key=value"),
    (["--config", "ok.yaml", "trials=0"], "command line: trials: expected int >= 1 or null, got 0"),
    (["--config", "ok.yaml", "trails=3"], "command line: no key 'trails' of a sweep; did you mean 'trials'?"),
    (["--config", "ok.yaml", "modle.hidden=3"], "command line: no key 'modle' of a sweep; did you mean 'model'?"),
    (["--config", "ok.yaml", "model.hiden=3"], "command line: model.hiden: no key of nade; did you mean 'hidden'?"),
    (["--config", "ok.yaml", "optimizer.lr=0"], "command line: optimizer.lr: expected float > 0, got 0"),
    (["--config", "ok.yaml", "sampler=3"], "command line: sampler: expected a name, got 3"),
    (["--config", "ok.yaml", "sampler=[tpe]"], "command line: sampler: expected a name, got [tpe]"),
    (["--config", "ok.yaml", "sampler.sede=3"], "command line: sampler.sede: no key of tpe; did you mean 'seed'?"),
    (["--config", "ok.yaml", "pruner.name=nope"], "command line: pruner.name: unknown pruner 'nope'"),
    (["--config", "ok.yaml", "objective=val/bp"], "command line: objective.metric: unknown metric 'val/bp'"),
    (["--config", "ok.yaml", "objective.direction=up"], "command line: objective.direction: unknown direction 'up'"),
    (["--config", "ok.yaml", "study=a b"], "command line: study: expected letters, digits"),
    (["--config", "ok.yaml", "config=nad.yaml"], "config: no config file nad.yaml; did you mean 'nade.yaml'?"),
    (["--config", "ok.yaml", "run_dir=x"], "command line: run_dir is the sweep's own; set sweep_dir instead"),
    (["--config", "ok.yaml", "experiment=x"], "command line: experiment is the sweep's own; set study instead"),
    (["--config", "ok.yaml", "trainer.devices=2"], "trainer.devices=2, but devices_per_trial=1; change either"),
    (["--config", "ok.yaml", "space.optimizer.lr=3"], "space.optimizer: give the whole key"),
    (["ok.yaml"], "nothing to search: give a sweep file"),
]


def sweep_yaml(**changes: Any) -> str:
    content = {key: value for key, value in {**GOOD, **changes}.items() if value is not ABSENT}
    return OmegaConf.to_yaml(OmegaConf.create(content))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with configs, and sweep files that are none, on a machine without a GPU."""
    files = {
        **CONFIGS, "ok.yaml": sweep_yaml(sampler={"name": "tpe"}), "list.yaml": "- 1", "tab.yaml": "space:\n\tx: 1",
        "twice.yaml": "trials: 1\ntrials: 1", "nothing.yaml": "", "two words.yaml": sweep_yaml(),
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    np.savez(tmp_path / "table.npz", train=np.arange(60).reshape(20, 3) % 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for module in (devices, slots):
        monkeypatch.setattr(module, "may_have", lambda accelerator: accelerator in ("auto", "cpu"))
    return tmp_path


def refused(args: list[str], answer: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run `sweep`, which must give this answer in one line and write nothing; return all it says."""
    before = contents(folder)
    assert main(["sweep", *args]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
    assert answer in err
    assert out == ""
    assert contents(folder) == before
    return err


@pytest.mark.parametrize(("changes", "answer"), CHANGES, ids=[str(changes)[:60] for changes, _ in CHANGES])
def test_a_wrong_file_is_answered_in_one_line(
    changes: dict[str, Any], answer: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong.yaml").write_text(sweep_yaml(**changes))
    assert refused(["--config", "wrong.yaml"], answer, folder, capsys).startswith("error: wrong.yaml: ")


@pytest.mark.parametrize(("args", "answer"), LINES, ids=[" ".join(args)[:60] for args, _ in LINES])
def test_a_wrong_command_line_is_answered_in_one_line(
    args: list[str], answer: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(args, answer, folder, capsys)


@pytest.mark.parametrize("line", ["trails=3", "optimizer.lr=0", "storage=sqlite", "sampler=nope", "devices=x"])
def test_nonsense_is_answered_at_once(line: str, folder: Path) -> None:
    heavy = ("torch", "lightning", "sklearn", "wandb", "matplotlib", "optuna", "PIL", "sqlalchemy", "scipy")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = apart(["sweep", "--config", "ok.yaml", line], f"print([m for m in {heavy} if m in sys.modules])", stdout=-1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "[]\n", 1), done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_what_is_not_said(folder: Path) -> None:
    sweep = read_sweep("ok.yaml")
    assert (sweep.study, sweep.folder, sweep.storage, sweep.trials) == ("ok", Path("runs/sweeps/ok"), "journal", 20)
    assert sweep.objectives == [{"metric": "val/bpd", "direction": "minimize"}]
    assert sweep.sampler == {"name": "tpe", "seed": 0, "startup_trials": 10, "multivariate": True}
    assert sweep.pruner == {"name": "median", "startup_trials": 5, "min_epochs": 2}


@pytest.mark.parametrize(
    ("given", "objectives", "pruner"),
    [
        ("val/nll", [("val/nll", "minimize")], "median"),
        ("samples_per_second", [("samples_per_second", "maximize")], "none"),
        (["val/bpd", "parameters"], [("val/bpd", "minimize"), ("parameters", "minimize")], "none"),
        ({"metric": "val/bpd", "direction": "maximize"}, [("val/bpd", "maximize")], "median"),
    ],
)
def test_objectives(given: Any, objectives: list[tuple[str, str]], pruner: str, folder: Path) -> None:
    (folder / "sweep.yaml").write_text(sweep_yaml(objective=given))
    sweep = read_sweep("sweep.yaml")
    assert [(o["metric"], o["direction"]) for o in sweep.objectives] == objectives
    assert sweep.pruner["name"] == pruner


def test_the_command_line_is_above_the_file(folder: Path) -> None:
    (folder / "sweep.yaml").write_text(
        sweep_yaml(
            overrides=["trainer.max_epochs=5", "seed=1"],
            sampler={"name": "tpe", "seed": 7, "startup_trials": 3},
            objective={"metric": "val/nll"},
        )
    )
    more = ["trials=3", "trainer.max_epochs=6", "sampler.seed=8", "objective.direction=maximize", "study=other"]
    sweep = read_sweep("sweep.yaml", more)
    config = sweep.config_of({})
    assert (config["trainer"]["max_epochs"], config["seed"], config["experiment"]) == (6, 1, "other")
    assert (sweep.trials, sweep.study, sweep.folder) == (3, "other", Path("runs/sweeps/other"))
    assert sweep.sampler == {"name": "tpe", "seed": 8, "startup_trials": 3, "multivariate": True}
    assert sweep.objectives == [{"metric": "val/nll", "direction": "maximize"}]
    # A new name drops the keys of the old one, wherever it stands.
    assert read_sweep("sweep.yaml", ["sampler.seed=8", "sampler=random"]).sampler == {"name": "random", "seed": 8}


def test_a_grid_is_as_long_as_it_has_points(folder: Path) -> None:
    (folder / "sweep.yaml").write_text(sweep_yaml(trials=ABSENT, sampler="grid", space={"seed": int_range(0, 4)}))
    assert read_sweep("sweep.yaml").trials == 5
    assert read_sweep("sweep.yaml", ["trials=3"]).trials == 3
    assert read_sweep("sweep.yaml", ["trials=30"]).trials == 5


def test_what_is_written_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By workers: with branches of every type, and without the password."""
    monkeypatch.setenv("SECRET", "hunter2")
    space = {
        "model.conditional": {"type": "categorical", "choices": {True: {"model.hidden": int_range(1, 2)}, False: None}},
        "data.levels": {"type": "categorical", "choices": {2: None, 17: None}},
        "optimizer.betas": choices([0.9, 0.99], [0.8, 0.9]),
        **GOOD["space"],
    }
    storage = "postgresql://me:${oc.env:SECRET}@localhost/db"
    (folder / "sweep.yaml").write_text(
        sweep_yaml(space=space, storage=storage, hours=2, overrides=["data.name=digits"])
    )
    sweep = read_sweep("sweep.yaml")
    sweep.save()
    again = saved_sweep(sweep.folder)
    assert {**vars(again), "raw_space": space} == {**vars(sweep), "raw_space": space}
    assert again.definition == sweep.definition == json.loads(json.dumps(sweep.definition))
    assert "hunter2" in again.storage_url and "hunter2" not in (sweep.folder / "sweep.yaml").read_text()
    for settings in probes(again.space):
        again.config_of(settings)
    params = {"model.conditional": True, "True:model.hidden": 2, "data.levels": 17, "optimizer.betas": "[0.8, 0.9]"}
    config = again.config_of(settings_of(again.space, {**params, "optimizer.lr": 1e-3}))
    assert (config["model"]["conditional"], config["data"]["levels"]) == (True, 17)
    assert config["optimizer"]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("text", [None, "sweep: 3", "sweep: {trials: 3}", "model: nade"])
def test_a_folder_of_no_sweep(text: str | None, folder: Path) -> None:
    if text:
        (folder / "sweep.yaml").write_text(text)
    with pytest.raises(UserError, match=r"no directory of a sweep|not written by a sweep"):
        saved_sweep(folder)


def test_choices_are_what_their_key_declares(folder: Path) -> None:
    table = "id,x\n" + "\n".join(f"{i},{i % 7}" for i in range(40))
    for name in ("007", "1e3"):
        (folder / name).write_text(table)
    text = "config: rnade.yaml\nstudy: 2024_01_15\ntrials: 08\noverrides: [data.name=table]\nspace:\n"
    text += "  data.path: {type: categorical, choices: [007, 1e3]}\n"
    text += "  optimizer.lr: {type: categorical, choices: [1e-3, 1_0e-3]}\n"
    (folder / "rnade.yaml").write_text("model: rnade\ndata: {name: table, path: '007'}")
    (folder / "numbers.yaml").write_text(text)
    sweep = read_sweep("numbers.yaml")
    assert (sweep.study, sweep.trials) == ("2024_01_15", 8)
    assert sweep.raw_space["data.path"]["choices"] == ["007", "1e3"]
    assert sweep.raw_space["optimizer.lr"]["choices"] == [0.001, 0.01]
    sweep.save()
    assert saved_sweep(sweep.folder).raw_space == sweep.raw_space


@pytest.mark.parametrize(
    ("steps", "more", "legal"),
    [
        (44, [], False), (45, [], True), (45, ["trainer.val_every=2"], False), (90, ["trainer.val_every=2"], True),
        (22, ["trainer.accumulate=2"], False), (23, ["trainer.accumulate=2"], True),
        (6, ["trainer.limit_train=6"], True), (44, ["objective=parameters"], True),
    ],
)  # fmt: skip
def test_steps_that_end_before_a_validation_are_refused(steps: int, more: list[str], legal: bool, folder: Path) -> None:
    sweep = read_sweep("ok.yaml", ["data.batch_size=32", f"trainer.max_steps={steps}", *more])  # 1437 digits
    if legal:
        return _check_steps(sweep)
    with pytest.raises(UserError, match="ends before the first validation, after"):
        _check_steps(sweep)
