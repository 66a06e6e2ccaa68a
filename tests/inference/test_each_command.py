"""Every command on a run of every kind of model: files that a person can open, or one line that says why not."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import QUICK, run_here
from tests.support.marks import slow_but

RUNS = {
    "nade": ["--config", "conf/nade.yaml", "model.hidden=16"],
    "row_lstm": ["--config", "conf/row_lstm.yaml", "model.hidden=8", "model.layers=2", "model.head=8"],
    "pixelcnn": ["--config", "conf/pixelcnn.yaml", "model.hidden=8", "model.layers=2", "model.head=8"],
    "conditional": ["--config", "conf/gated_pixelcnn.yaml", "model.hidden=8", "model.layers=2",
                    "model.conditional=true"],
    "wavenet": ["--config", "conf/wavenet.yaml", "model.channels=8", "model.layers=4", "model.stacks=1"],
    "char_rnn": ["--config", "conf/char_rnn.yaml", "model.hidden=16", "data.length=32"],
    "rnade": ["--config", "conf/rnade.yaml", "model.hidden=16"],
}  # fmt: skip
FAST = ("nade", "row_lstm", "wavenet", "char_rnn", "rnade")


class Trained:
    """A folder of runs, each trained when a test first asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        run = self.folder / name
        if not run.exists():
            assert run_here(*RUNS[name], *QUICK, "data.batch_size=20", f"run_dir={run}") == 0
        return run


@pytest.fixture(scope="module")
def each(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("runs"))


def files(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("name", slow_but(FAST, RUNS))
def test_sample(each: Trained, tmp_path: Path, name: str) -> None:
    assert run_here("sample", str(each / name), "--n", "3", "--out", str(tmp_path / "new.png")) == 0
    others = {"wavenet": {"new.png", "new-0.wav", "new-1.wav", "new-2.wav"}, "char_rnn": {"new.txt"}}
    others["rnade"] = {"new.png", "new.csv"}
    assert files(tmp_path) >= others.get(name, {"new.png", "new.npz"})


@pytest.mark.parametrize("name", slow_but(FAST, RUNS))
def test_complete(each: Trained, tmp_path: Path, name: str) -> None:
    command = ["complete", str(each / name), "--input", "data:test:3", "--n", "2", "--out", str(tmp_path / "done")]
    assert run_here(*command) == 0
    kind = {"wavenet": "done-0.wav", "char_rnn": "done.txt", "rnade": "done.csv"}.get(name, "done.png")
    assert kind in files(tmp_path)


@pytest.mark.parametrize("name", slow_but(FAST, RUNS))
def test_test(each: Trained, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = each / name
    capsys.readouterr()
    assert run_here("test", str(run)) == 0
    result, again = (json.loads((each / name / f"{what}.json").read_text()) for what in ("result", "test"))
    assert again["nll"] == result["test/nll"] and again["bpd"] == result["test/bpd"]
    assert again["nll_stderr"] > 0 and "±" in capsys.readouterr().out


@pytest.mark.parametrize("name", slow_but(FAST, RUNS))
def test_score(each: Trained, tmp_path: Path, name: str) -> None:
    assert run_here("score", str(each / name), "--out", str(tmp_path / "s.csv"), "trainer.devices=1") == 0
    assert len((tmp_path / "s.csv").read_text().splitlines()) > 10


@pytest.mark.parametrize("name", slow_but(["nade"], ["nade", "char_rnn"]))  # every medium: test_anomaly.py
def test_anomaly(each: Trained, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for against in ("noise", "constant"):
        command = ["anomaly", str(each / name), "--against", against, "--n", "40", "--out", str(tmp_path / against)]
        assert run_here(*command) == 0
        assert "AUROC" in capsys.readouterr().out and any(f.endswith(".png") for f in files(tmp_path / against))


@pytest.mark.parametrize("name", ["nade"])  # every kind of layer: test_features.py
def test_features(each: Trained, tmp_path: Path, name: str) -> None:
    assert run_here("features", str(each / name), "--out", str(tmp_path)) == 0
    assert any(f.endswith(".npz") for f in files(tmp_path)) and any(f.endswith(".png") for f in files(tmp_path))


@pytest.mark.parametrize("name", slow_but(["nade"], ["nade", "wavenet", "rnade"]))  # every likelihood: test_codec.py
def test_compress(each: Trained, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "few.arl")
    code = run_here("compress", str(each / name), "data:test[:8]", "--out", out)
    if name == "rnade":
        assert code == 2 and "infinitely many bits" in capsys.readouterr().err and not files(tmp_path)
        return
    assert code == 0
    assert run_here("decompress", str(each / name), out, "--out", str(tmp_path / "few.npz")) == 0
    assert len(np.load(tmp_path / "few.npz")["test"]) == 8


@pytest.mark.slow
def test_compare(each: Trained, tmp_path: Path) -> None:
    assert run_here("compare", *(str(each / name) for name in RUNS), "--out", str(tmp_path)) == 0
    with (tmp_path / "table.csv").open() as file:
        models = {row["model"] for row in csv.DictReader(file)}
    assert models == {"nade", "row_lstm", "pixelcnn", "gated_pixelcnn", "wavenet", "rnn", "rnade"}
    assert {"table.md", "table.csv", "index.html"} <= files(tmp_path)


@pytest.mark.parametrize("command", ["complete", "score", "compress", "decompress", "sample"])
def test_nothing_is_written_over_what_it_is_made_of(
    each: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    run, digits, packed = str(each / "nade"), tmp_path / "a.npz", tmp_path / "b.arl"
    np.savez(digits, test=np.zeros((2, 8, 8), np.uint8))
    assert run_here("compress", run, str(digits), "--out", str(packed)) == 0
    options, file = {
        "complete": (["--input", str(digits), "--out", str(tmp_path / "a")], digits),
        "score": (["--data", str(digits), "--out", str(digits)], digits),
        "compress": ([str(digits), "--out", str(tmp_path / "." / "a.npz")], digits),
        "decompress": ([str(packed), "--out", str(packed)], packed),
        "sample": (["--prompt", str(digits), "--out", str(digits)], digits),
    }[command]
    before = digits.read_bytes(), packed.read_bytes()
    capsys.readouterr()
    assert run_here(command, run, *options) == 2
    error = capsys.readouterr().err
    assert f"{file}: would be written over what it is made of" in error and error.count("\n") == 1
    assert (digits.read_bytes(), packed.read_bytes()) == before
