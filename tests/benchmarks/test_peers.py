"""Public code is measured from checkouts, none of which is needed to build and to test."""

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.__main__ import main
from benchmarks.peers import command
from benchmarks.peers.checkout import imported
from benchmarks.peers.pair import peak_bytes, size_of
from benchmarks.peers.pytorch_made import pairs

FAKE = """
import torch

class MADE(torch.nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        layers = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
        self.net = torch.nn.Sequential(*layers)
    def forward(self, x):
        return self.net(x)
"""


@pytest.fixture
def checkouts(tmp_path: Path) -> Path:
    (tmp_path / "pytorch-made").mkdir()
    (tmp_path / "pytorch-made" / "made.py").write_text(FAKE)
    return tmp_path


def test_what_is_not_there_is_left_out(checkouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    out = checkouts / "peers.json"
    main(["peers", "--checkouts", str(checkouts), "--quick", "--out", str(out)])
    torch.set_num_threads(threads)
    said = capsys.readouterr()
    assert said.err.count("is not there") == len(command.PEERS) - 1
    assert [line.split(" | ")[1] for line in said.out.splitlines()[2:]] == [
        "MADE, 500, 500 units: training step",
        "MADE, 500, 500 units: scoring",
    ]
    assert out.is_file()


def test_without_any_checkout_it_says_what_to_clone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["peers", "--checkouts", str(tmp_path)])
    assert f"no checkout in {tmp_path}: clone one of pytorch-generative" in capsys.readouterr().err


def test_networks_of_different_sizes_are_not_compared(checkouts: Path) -> None:
    file = checkouts / "pytorch-made" / "made.py"
    file.write_text(FAKE.replace("[inputs, *hidden, outputs]", "[inputs, outputs]"))
    with pytest.raises(AssertionError, match="parameters are not"):
        next(pairs(file.parent))


def test_a_change_that_does_not_fit_is_refused(checkouts: Path) -> None:
    with pytest.raises(ValueError, match="not of the commit"):
        imported(checkouts / "pytorch-made" / "made.py", {"print e": "print(e)"})


def test_masked_weights_are_not_counted() -> None:
    convolution = nn.Conv2d(1, 2, 3)
    convolution.mask = torch.ones_like(convolution.weight)
    convolution.mask[:, :, 2] = 0
    assert size_of(convolution) == 2 * 9 + 2 - 2 * 3


def test_the_peak_of_memory_is_that_of_what_is_alive_at_once() -> None:
    def call() -> None:
        for _ in range(3):
            torch.zeros(1000)

    call()
    assert peak_bytes(call) == 4000
