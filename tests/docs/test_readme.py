"""Every command and every piece of Python in the README runs."""

import csv
import json
import math
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from ar_lightning.commands import COMMANDS as KNOWN
from ar_lightning.config.resolve import load_config
from ar_lightning.sweep.file import read_sweep
from benchmarks.report import tables
from tests.support.commands import QUICK, ROOT, run_here

README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
RUNS = [c[c.index("python run.py") :] for c in COMMANDS if "python run.py" in c]
COMMANDS_OF_RUNS = set(KNOWN) - {"fit"}  # these train nothing, and take no key of a training
SWEEPS = [c for c in RUNS if "sweep" in c]
QUICK_ANYWHERE = [option for option in QUICK if not option.startswith("trainer.max_epochs")]


def test_the_readme_starts_with_two_commands() -> None:
    assert COMMANDS[0] == "pip install -c constraints.txt -e . && python run.py --config conf/pixelrnn.yaml"
    assert COMMANDS[1] == 'pip install -c constraints.txt -e ".[dev]" && pytest'
    assert COMMANDS[1] in (ROOT / ".ci" / "run").read_text() or "README.md" in (ROOT / ".ci" / "run").read_text()
    pinned = (ROOT / "constraints.txt").read_text()
    assert "torch==" in pinned and "://" not in pinned


def expanded(arg: str) -> list[str]:
    """Return the paths that a shell makes of an argument."""
    return sorted(map(str, ROOT.glob(arg))) if "*" in arg else [arg]


def test_every_command_and_the_python_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In order, on two batches, in a scratch directory: later ones use what earlier ones made."""
    runs = tmp_path / "runs"
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "my.npz", train=rng.integers(0, 4, (60, 12)))
    (tmp_path / "book.txt").write_text("It was the best of times, it was the worst of times. " * 100)
    table = [",".join(map(str, row)) for row in rng.normal(size=(100, 3)).round(4).tolist()]
    (tmp_path / "measured.csv").write_text("\n".join(["length,width,height", *table]) + "\n")
    for name in ("photos", "recordings"):
        (tmp_path / name).mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / "photos" / f"{i}.png")
        soundfile.write(tmp_path / "recordings" / f"{i}.wav", rng.uniform(-1, 1, 9000), 8000)
    real_data = os.environ.get("AR_LIGHTNING_DATA")
    assert len(RUNS) >= 10
    for i, command in enumerate(c for c in RUNS if c not in SWEEPS):
        if re.search("mnist|cifar|speech|shakespeare", command) and not real_data:
            continue
        for name in ("runs/", "my.npz", "photos", "recordings", "book.txt", "measured.csv"):
            command = command.replace(name, f"{tmp_path}/{name}")
        args = [part for arg in shlex.split(command)[2:] for part in expanded(arg)]
        if args[0] not in COMMANDS_OF_RUNS and "--help" not in args:
            epochs = [] if any("max_epochs" in a for a in args) else ["trainer.max_epochs=1"]
            chosen = any(a.startswith(("run_dir=", "--resume")) for a in args)
            args += [*QUICK_ANYWHERE, *epochs, *([] if chosen else [f"run_dir={runs / str(i)}"])]
        assert run_here(*args) == 0, (command, capsys.readouterr().err)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict[str, object] = {}
    exec(block.replace("runs/mine", str(runs / "mine")), scope)
    assert scope["completed"].shape == (16, 1, 8, 8)  # type: ignore[attr-defined]
    assert scope["nats"].shape == (16,)  # type: ignore[attr-defined]


def test_every_command_of_a_sweep_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In order, with two tiny trials each; a report and a best config are those of the sweep before."""
    assert len(SWEEPS) >= 5
    tiny = [o for o in QUICK if not o.startswith("trainer.devices")]
    for command in SWEEPS:
        if "postgresql://" in command:
            continue  # tests/sweep/test_postgres.py has a server
        args = shlex.split(command.replace("runs/sweeps", str(tmp_path)))[2:]
        if args[0] == "sweep" and "--help" not in args:
            study = next((a for a in args if a.startswith("study=")), f"study={Path(args[2]).stem}").partition("=")[2]
            args += [*tiny, "trials=2", "workers=1", "trainer.max_epochs=6", f"sweep_dir={tmp_path / study}"]
        elif args[0] == "--config":
            args += [*QUICK, f"run_dir={tmp_path / 'best'}"]
        assert run_here(*args) == 0, (command, capsys.readouterr().err)


def test_the_sweep_file_in_the_readme_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "sweep.yaml"
    file.write_text(block.replace("../conf", str(ROOT / "conf")))
    assert read_sweep(file).trials == 40


def test_files_that_the_readme_names_are_there() -> None:
    for path in re.findall(r"`((?:conf|benchmarks|ar_lightning|docs|sweeps)/[\w./-]*)`|\]\((docs/[^)]+)\)", README):
        name = next(filter(None, path))
        assert (ROOT / name).exists(), name


RESULTS = ROOT / "benchmarks" / "results"
ROWS = {line.split("|")[1].strip(): line for line in README.splitlines() if line.startswith("|")}


def kept(name: str) -> dict[str, float]:
    return json.loads((RESULTS / name / "result.json").read_text())


CONFIGS = sorted(set((ROOT / "conf").glob("*.yaml")) - {ROOT / "conf" / "pixelrnn.yaml"})  # which is row_lstm.yaml
DATA_OF = {p.stem: load_config(p)["data"]["name"] for p in CONFIGS}


@pytest.mark.parametrize("config", [name for name, data in DATA_OF.items() if data == "digits"])
def test_every_model_has_its_row(config: str) -> None:
    row = ROWS[f"`{config}`"]
    assert f"{kept(f'digits/{config}')['test/bpd']:.3f} |" in row
    if (ROOT / "conf" / "conditional" / f"{config}_conditional.yaml").exists():
        by_class = kept(f"digits/{config}_conditional")
        assert f"| {by_class['test/bpd']:.3f} | {100 * by_class['test/accuracy']:.1f} % |" in row


@pytest.mark.parametrize("config", [name for name, data in DATA_OF.items() if data != "digits"])
def test_every_other_config_has_its_row(config: str) -> None:
    result, row = kept(f"{DATA_OF[config]}/{config}"), ROWS[f"`conf/{config}.yaml`"]
    assert f"| `{result['model']}`" in row
    assert f" {-result['test/nll']:.2f} nats" in row or f" {result['test/bpd']:.3f} bits/" in row
    for key, text in {"test/true_bpd": "entropy of {:.3f} |", "test/accuracy": "classifier {:.1%} |"}.items():
        assert key not in result or text.format(result[key]).replace("%", " %") in row


@pytest.mark.parametrize("table", sorted(p.parent.name for p in (RESULTS / "uci").glob("*/result.json")))
def test_the_folds_of_a_table_are_those_of_the_results(table: str) -> None:
    result, row = json.loads((RESULTS / "uci" / table / "result.json").read_text()), ROWS[f"`{table}`"]
    assert f"| {result['mean']['gaussian']:.2f} |" in row
    assert f"| {result['mean']['test']:.2f} ± {result['standard_error_of_test']:.2f} |" in row
    assert result["mean"]["test"] == pytest.approx(np.mean([fold["test"] for fold in result["per_fold"]]), abs=1e-3)


@pytest.mark.parametrize("config", sorted(p.stem for p in (ROOT / "conf" / "cifar10").glob("*.yaml")))
def test_every_epoch_of_cifar10_has_its_row(config: str) -> None:
    result = kept(f"cifar10/{config}")
    valid = result["val/nll"] / (3072 * math.log(2))
    numbers = f"| {result['parameters']:,} | {valid:.3f} | {result['test/bpd']:.3f} |"
    assert numbers in ROWS[f"`conf/cifar10/{config}.yaml`"]
    assert (result["epochs"], result["test_examples"]) == (1, 1000)


def test_the_sweep_is_that_of_the_results() -> None:
    folder = RESULTS / "sweeps" / "pixelrnn"
    with (folder / "trials.csv").open() as file:
        trials = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    best, again = min(float(row["val/bpd"]) for row in trials), kept("sweeps/pixelrnn")
    assert again["val/bpd"] == best, "the best config gives the same number again"
    assert f"| {best:.3f} | {again['test/bpd']:.3f} |" in ROWS["the best of 20 trials"]
    default = json.loads((folder / "default.json").read_text())
    assert trials[0]["number"] == "0" and float(trials[0]["val/bpd"]) == default["val/bpd"], "and so does the default"
    assert f"| {default['val/bpd']:.3f} | {default['test/bpd']:.3f} |" in ROWS["`conf/pixelrnn.yaml`"]
    measured = json.loads((RESULTS / "sweeps.json").read_text())
    for storage, phrase in {"journal": "with a journal", "postgresql": "with\nPostgreSQL"}.items():
        assert f"{measured['outside_the_child'][storage]:.3f} s {phrase}" in README
    for sampler, seconds in measured["sampler"].items():
        assert f"| {seconds['100']:.3f} | {seconds['1000']:.3f} |" in ROWS[f"`{sampler}`"]


ROW_OF = {
    "independent": "`independent`, 784 parameters",
    "nade": "`nade`, 500 hidden units, one random order",
    "made": "`made`, one layer of 2000 units, one mask",
    "row_lstm": "`row_lstm`, 3 layers of 24 units, kernels of 7",
    "row_lstm_7x24": "`row_lstm`, 7 layers of 24 units, kernels of 3",
    "diagonal_bilstm_1x32": "`diagonal_bilstm`, one layer of 32 units",
    "pixelcnn": "`pixelcnn`, 12 layers of 16 channels, kernels of 7",
    "pixelcnn_15x32": "`pixelcnn`, 15 layers of 32 channels, kernels of 3",
}


@pytest.mark.parametrize("name", sorted(p.parent.name for p in (RESULTS / "binarized_mnist").glob("*/result.json")))
def test_every_reproduction_on_binarized_mnist_has_its_row(name: str) -> None:
    assert f" {kept(f'binarized_mnist/{name}')['test/nll']:.2f} |" in ROWS[ROW_OF[name]]


def test_the_tables_of_speed_are_those_of_the_results() -> None:
    measured = json.loads((RESULTS / "speed.json").read_text())
    lines = [line for line in tables(measured).splitlines() if line]
    assert len(lines) > 30
    assert [line for line in lines if line not in README.splitlines()] == []
    assert measured["machine"] in README


def test_what_follows_training_is_that_of_the_results() -> None:
    """Anomalies, features and codes."""
    scores = ("likelihood", "likelihood_ratio", "complexity", "typicality")
    for own, title, other in (("cifar10", "CIFAR-10", "mnist"), ("mnist", "MNIST", "cifar10")):
        for against in (other, "shapes", "constant", "noise"):
            found = json.loads((RESULTS / "anomaly" / own / against / "anomaly.json").read_text())["detectors"]
            numbers = " | ".join(f"{found[score]['auroc']:.3f}" for score in scores)
            assert ROWS[f"{title}, `{against}`"].endswith(f" | {numbers} |")
    for model, probe in json.loads((RESULTS / "features.json").read_text())["probes"].items():
        cells = [f"{probe[of]['accuracy']:.3f} ± {probe[of]['accuracy_stderr']:.3f}" for of in ("hidden", "raw")]
        assert f"| `{model}` | `{probe['layer']}` | {cells[0]} | {cells[1]} |" in README
        assert probe["difference"] < 0, "none helps"
    for name, code in json.loads((RESULTS / "codec.json").read_text())["codes"].items():
        assert f"| {code['bytes_of_the_likelihood']:,.0f} | {code['bytes']:,} |" in ROWS[name]
        assert code["equal"] and code["bytes"] <= code["allowed"]
