"""The zoo: the list that the package has is that of the files, and the densities are worth their numbers."""

import hashlib
import json
import math
from pathlib import Path

import pytest

from ar_lightning.config.overlay import flat
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import WEIGHTS
from ar_lightning.inference.open import read_run
from ar_lightning.training.checkpoints import load
from ar_lightning.training.zoo import manifest
from benchmarks.published.reproduce import reproduce
from benchmarks.published.rows import changed, read_reproduction
from benchmarks.published.zoo import LARGEST, put_in_zoo, quick_nll
from tests.benchmarks.test_reproduce import OURS, TABLE, checkout
from tests.support.commands import ROOT, run_here
from tests.support.files import real_data

MODELS = manifest()["models"]
NAMES = sorted(MODELS)


def test_every_density_is_listed_and_all_are_small() -> None:
    assert {path.name for path in (ROOT / "zoo").iterdir()} == MODELS.keys()
    assert sum(path.stat().st_size for path in (ROOT / "zoo").rglob("*")) < 30e6


@pytest.mark.parametrize("name", NAMES)
def test_the_list_is_of_the_files(name: str) -> None:
    folder, about = ROOT / "zoo" / name, MODELS[name]
    assert {path.name for path in folder.iterdir()} == about["files"].keys()
    assert about["files"].keys() >= {WEIGHTS, "config.yaml", "result.json"}
    assert {"samples.png", "samples.txt"} & about["files"].keys()
    for file, known in about["files"].items():
        content = (folder / file).read_bytes()
        assert known == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert about["files"][WEIGHTS]["bytes"] < 1.1 * LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_it_is_of_its_row(name: str) -> None:
    row, saved, about = read_reproduction(name), read_run(f"zoo:{name}"), MODELS[name]
    result = json.loads((ROOT / "zoo" / name / "result.json").read_text())
    assert row.result is not None and about["test"] == row.ours
    assert result.pop("command") == f"python run.py reproduce {name}" and result == row.result
    assert changed(row.config, flat(name, saved.config)) == []
    assert sum(p.numel() for p in load(f"zoo:{name}").parameters()) == about["parameters"]


@real_data
@pytest.mark.parametrize("name", NAMES)
def test_the_quick_number_comes_again(name: str) -> None:
    saved = read_run(f"zoo:{name}")
    examples, nll = quick_nll(saved.density(), saved.data())
    assert examples == MODELS[name]["quick"]["examples"]
    assert nll == pytest.approx(MODELS[name]["quick"]["nll"], abs=1e-3)


@pytest.mark.slow
@real_data
@pytest.mark.parametrize("name", NAMES)
def test_many_test_examples_agree_with_the_result(name: str) -> None:
    """All of them, to the last digit: `python run.py test zoo:NAME`."""
    saved = read_run(f"zoo:{name}")
    n, nll = quick_nll(saved.density(), saved.data(), 2000)
    spread = 21  # nats, of the binarized digits under any of these densities
    assert abs(nll - read_reproduction(name).result["test/nll"]) < 3 * spread / math.sqrt(n)  # type: ignore[index]


def test_a_row_is_put_in_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path / "root", "markov_digits", "model: markov\n" + TABLE)
    monkeypatch.chdir(tmp_path)
    found = reproduce("markov_digits", OURS, root)
    assert found is not None and found.row.result is not None
    folder = put_in_zoo("markov_digits", found.run_dir, root)
    listed = json.loads((root / "ar_lightning" / "training" / "zoo.json").read_text())
    about = listed["models"]["markov_digits"]
    assert {path.name for path in folder.iterdir()} == about["files"].keys()
    assert about["test"] == found.row.ours and about["quick"]["examples"] == 180
    assert about["quick"]["nll"] == pytest.approx(found.row.result["test/nll"], abs=1e-3)

    weights = (folder / WEIGHTS).read_bytes()
    put_in_zoo("markov_digits", found.run_dir, root)
    assert (folder / WEIGHTS).read_bytes() == weights, "again, the same file"
    other = reproduce("markov_digits", [*OURS, "optimizer.lr=0.1"], root)
    assert other is not None
    with pytest.raises(UserError, match=r"is of another optimizer\.lr than markov_digits"):
        put_in_zoo("markov_digits", other.run_dir, root)


@pytest.mark.parametrize(
    ("args", "answer"),
    [
        (["--zoo"], "--zoo takes the NAME of a row"),
        (["nade_binarized_mnist", "seed=1", "--zoo"], "no settings"),
        (["nade_binarized_mnist", "--zoo", "runs/nowhere"], "no such run or checkpoint"),
        (["gated_pixelcnn_cifar10", "--zoo", "zoo:gated_pixelcnn_binarized_mnist"], "has no result of one run"),
    ],
)
def test_a_mistake_is_answered_in_a_line(args: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("reproduce", *args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert answer in line
