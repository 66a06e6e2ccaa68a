"""What the benchmarks compare is the same density: the straightforward references give the likelihoods of ours."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.works import WORKS, density_of, multiply_adds


@pytest.mark.parametrize("name", [name for name, work in WORKS.items() if work.plain and not work.compiled])
def test_the_reference_computes_the_same_likelihood(name: str) -> None:
    torch.manual_seed(0)
    work = WORKS[name].small()
    density = density_of(work)
    for p in density.parameters():  # also what starts at zero: biases, initial states
        torch.nn.init.normal_(p, std=0.2)
    plain = work.plain(density)
    x = work.examples(3)
    nats = density.loss(x)
    torch.testing.assert_close(plain(x), nats, rtol=1e-5, atol=1e-3)
    assert nats.std() > 0  # not a constant


@pytest.mark.slow
def test_it_writes_its_tables_and_its_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {name: replace(work.small(), gates=0) for name, work in WORKS.items()}
    monkeypatch.setattr("benchmarks.__main__.WORKS", small)
    parts = ("training", "sampling", "growth", "overhead")
    main(["--quick", "--models", "nade", "made", "--only", *parts, "--out", str(tmp_path / "speed")])
    measured = json.loads((tmp_path / "speed.json").read_text())
    for row in (*measured["training"], *measured["sampling"]):
        assert 0 < row["limit"] < row["ours"] and row["reference"] > 0
        assert row["work"] in (tmp_path / "speed.md").read_text()
    (overhead,) = measured["overhead"]
    assert overhead["trainer"] > 0 and overhead["bare"] > 0
    assert Image.open(tmp_path / "speed.png").width > 500


def test_the_multiply_adds_are_those_of_the_weights() -> None:
    """Counted by hand: what is masked, or not used, is no work."""
    assert multiply_adds(density_of(WORKS["nade"])) == 2 * 784 * 500
    assert multiply_adds(density_of(WORKS["made_8000"])) == 784 * 8000, "half of each of two matrices"
    work = WORKS["pixelcnn"].small()  # 7 x 6 pixels: 7x7 of mask A sees 24 around it, 3x3 of mask B 5
    h, layers, head, sites = 40, 15, 32, 42
    weights = 24 * 2 * h + layers * (2 * h * h + 5 * h * h + 2 * h * h) + 2 * h * head + head * head + head
    assert multiply_adds(density_of(work)) == sites * weights
