"""Every command on a density of the zoo, from another folder: what it writes lies there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.cli import main
from ar_lightning.training.checkpoints import load
from tests.support.commands import ROOT
from tests.support.marks import slow_but

ZOO = "zoo:gated_pixelcnn_binarized_mnist"
HOME = Path("runs", "zoo", "gated_pixelcnn_binarized_mnist")
FEW = ["data.name=npz", "data.path=few.npz", "data.levels=2"]
COMMANDS = {  # with a file that they write
    "sample": (["--n", "2"], HOME / "samples" / "drawn-0.png"),
    "complete": (["--input", "data:test[0]", "--n", "1", *FEW], HOME / "samples" / "completed-0.png"),
    "test": (FEW, HOME / "test.json"),
    "score": (["--data", "few.npz"], Path("scores.csv")),
    "anomaly": (["--against", "constant", "--n", "4", *FEW], HOME / "anomaly" / "constant" / "anomaly.json"),
    "features": (["--n", "4", *FEW], HOME / "features" / "embedding.png"),
    "compress": (["data:test[:1]", *FEW], HOME / "test.arl"),
    "export": (["--out", "mine"], Path("mine", "model.safetensors")),
    "compare": ([], Path("comparison", "index.html")),
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a few pictures; nothing is written beside the weights."""
    monkeypatch.chdir(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 2, (4, 28, 28))
    np.savez("few.npz", train=pictures, valid=pictures, test=pictures)
    before = sorted((ROOT / "zoo").rglob("*"))
    yield tmp_path
    assert sorted((ROOT / "zoo").rglob("*")) == before


@pytest.mark.parametrize("command", slow_but(COMMANDS.keys() - {"complete", "anomaly", "compress"}, COMMANDS))
def test_every_command(command: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, file = COMMANDS[command]
    assert main([command, ZOO, *options]) == 0
    assert file.is_file(), sorted(elsewhere.rglob("*"))
    assert str(file) in capsys.readouterr().out
    if command == "compress":
        assert main(["decompress", ZOO, str(file), "--out", "back.npz"]) == 0
        assert np.array_equal(np.load("back.npz")["test"].squeeze(), np.load("few.npz")["test"][0])


def test_it_loads_from_anywhere(elsewhere: Path) -> None:
    density = load(ZOO)
    assert density.spec.shape == (1, 28, 28)
    assert torch.isfinite(density.log_prob(torch.zeros(1, 1, 28, 28, dtype=torch.long))).all()
