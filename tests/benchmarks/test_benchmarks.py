"""What the benchmarks compare is the same density: the straightforward references give the likelihoods of ours."""

import json
import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ar_lightning.core.spec import DataSpec
from benchmarks import engines, first_step
from benchmarks.__main__ import main
from benchmarks.row_blocks import passes
from benchmarks.works import WORKS, density_of, multiply_adds
from tests.support.cases import Case


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


def test_engines_take_turns_and_rows_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.engines.TIMED", {name: WORKS[name].small() for name in ("pixelcnn", "row_lstm")})
    turns: list[str] = []

    def seconds(density: object, n: int, engine: str) -> float:  # compiling takes a minute
        turns.append(engine)
        return 6.0 * n if engine == "eager" else 2.0 * n

    monkeypatch.setattr("benchmarks.engines.seconds", seconds)
    out = tmp_path / "engines.json"
    for name in ("row_lstm", "pixelcnn", "row_lstm"):
        engines.main(["--models", name, "--batches", "1", "4", "--rounds", "2", "--out", str(out)])
    assert turns == ["eager", "compiled"] * 3 * 2 * 3
    measured = json.loads(out.read_text())
    assert [(r["model"], r["samples"]) for r in measured["rows"]] == [
        ("pixelcnn", 1), ("pixelcnn", 4), ("row_lstm", 1), ("row_lstm", 4),
    ]  # fmt: skip
    assert all(r["faster"] == 3 and r["eager"] == 3 * r["compiled"] for r in measured["rows"])
    assert engines.report(measured).count("| 3.0 |") == 4


def test_rows_that_are_drawn_at_once_are_those_of_the_sampler() -> None:
    """In two passes where pixels are independent, in no more than there are pixels and one where they are not."""
    shape = DataSpec((1, 5, 6), 2)
    for model, most in (("independent", 2), ("pixelcnn", 7)):
        density = Case(model, "bernoulli", shape).build()
        noise = density.noise(12, torch.Generator().manual_seed(1))
        x, counts = passes(density, noise)
        assert torch.equal(x, density.sample(12, noise=noise, engine="eager"))
        assert counts.min() >= 1 and counts.max() <= most
        assert model == "independent" or counts.max() > 2


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


def test_what_was_measured_of_other_models_stays_unless_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(models: list[str], setup: object) -> list[dict[str, object]]:
        return [{"model": name, "ours": len(models)} for name in models]

    monkeypatch.setattr(
        "benchmarks.__main__.PARTS", {"a": measured, "b": measured, "c": lambda *_: {}, "d": lambda *_: []}
    )
    monkeypatch.setattr("benchmarks.__main__.plot", lambda *_: None)
    monkeypatch.setattr("benchmarks.__main__.LIMITED", set())
    out = tmp_path / "speed"

    def rows(part: str) -> dict[str, int]:
        return {row["model"]: row["ours"] for row in json.loads(out.with_suffix(".json").read_text())[part]}

    main(["--models", "nade", "made", "pixelcnn", "--only", "a", "b", "--out", str(out)])
    main(["--models", "made", "--only", "a", "c", "d", "--out", str(out)])
    assert rows("a") == {"nade": 3, "made": 1, "pixelcnn": 3} and rows("b") == dict.fromkeys(rows("a"), 3)
    assert not capsys.readouterr().err
    monkeypatch.setattr("benchmarks.__main__.machine", lambda device: "another")
    main(["--models", "nade", "--only", "a", "--out", str(out)])
    assert rows("a") == {"nade": 1} and "nothing of it is kept" in capsys.readouterr().err


def test_the_multiply_adds_are_those_of_the_weights() -> None:
    """Counted by hand: what is masked, or not used, is no work."""
    assert multiply_adds(density_of(WORKS["nade"])) == 2 * 784 * 500
    assert multiply_adds(density_of(WORKS["made_8000"])) == 784 * 8000, "half of each of two matrices"
    work = WORKS["pixelcnn"].small()  # 7 x 6 pixels: 7x7 of mask A sees 24 around it, 3x3 of mask B 5
    h, layers, head, sites = 40, 15, 32, 42
    weights = 24 * 2 * h + layers * (2 * h * h + 5 * h * h + 2 * h * h) + 2 * h * head + head * head + head
    assert multiply_adds(density_of(work)) == sites * weights


class Ended(BaseException):
    pass


@pytest.mark.parametrize("name", ["ours", "minimal"])
def test_a_first_step_is_one_optimizer_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    def end(code: int) -> None:
        steps.append(code)
        raise Ended

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended):
        first_step.main(name)
    assert steps == [0]
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1).step()  # the hook is gone
    assert steps == [0]
    assert (name == "ours") == any(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize("mistake", [["row_blocks", "zoo:nope"], ["codec", "--out", "FILE/codec.json"]])
def test_a_mistake_is_one_line(
    mistake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    name, *args = (word.replace("FILE", str(tmp_path / "file")) for word in mistake)
    monkeypatch.setattr("sys.argv", [name, *args])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)  # else runpy warns
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and not said.out
