"""`run.py complete`: what is known is kept, the rest is drawn, and other masks are refused with one that works."""

import csv
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ar_lightning import load
from ar_lightning.core.errors import UserError
from ar_lightning.density.density import Density
from ar_lightning.inference.complete import complete, mask_of
from tests.support.commands import QUICK, run_here

RUNS = {
    "raster": ["model=nade", "model.hidden=8", "model.order=raster", "model.conditional=true"],
    "random": ["model=nade", "model.hidden=8", "model.order=random"],
    "noisy": ["model=nade", "model.hidden=8", "model.order=raster", "data.dequantise=true"],
    "orderless": ["model=deep_nade", "model.hidden=8", "model.ensemble=2"],
    "orders": ["model=made", "model.hidden=8", "model.masks=2", "model.vary_order=true"],
    "table": ["model=rnade", "model.hidden=8", "data=wine", "model.order=raster"],
    "sound": ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones"],
    "text": ["model=rnn", "model.hidden=8", "data=text", "data.length=16"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "song.txt").write_text("do re mi fa sol la ti do\n" * 60)
    for name, given in RUNS.items():
        where = [f"data.path={folder / 'song.txt'}"] if name == "text" else []
        few = ["samples.completions=false", f"run_dir={folder / name}"]
        assert run_here(*given, *where, *QUICK, *few) == 0
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(folder / "p.png")
    np.save(folder / "corner.npy", np.arange(8) < 3)
    np.save(folder / "wrong.npy", np.ones(5))
    return folder


@pytest.mark.parametrize(
    ("run", "mask"),
    [
        ("raster", "top-half"), ("noisy", "first-half"), ("random", "first-half"), ("orderless", "left"),
        ("orderless", "right"), ("orderless", "bottom-half"), ("orderless", "random:0.3"), ("orderless", "corner.npy"),
    ],
)  # fmt: skip
def test_what_is_known_is_kept(run: str, mask: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    sample = Density.sample

    def watched(density: Density, n: int, cond: object, known: torch.Tensor, *args: object, **more: object) -> object:
        drawn.append((known, sample(density, n, cond, known, *args, **more)))  # type: ignore[arg-type]
        return drawn[-1][1]

    monkeypatch.setattr(Density, "sample", watched)
    name = str(runs / mask) if mask.endswith(".npy") else mask
    files = complete(str(runs / run), "data:test:3", name, n=3, out=str(runs / "c"))
    where = mask_of(name, load(runs / run))
    ((known, x),) = drawn
    assert torch.equal(x[:, where], known[:, where]) and not torch.equal(x[0], x[1])
    width, height = Image.open(files["completions"]).size
    assert width == pytest.approx(5 * height, rel=0.1)  # a row: the example, what is known of it, three completions


def test_sound_text_and_tables_begin_with_the_example(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = complete(str(runs / "sound"), "data:test:0", n=2, out=str(runs / "s"))
    recordings = []
    for i in range(3):
        with wave.open(str(runs / f"s-{i}.wav")) as file:
            recordings.append(np.frombuffer(file.readframes(256), "<i2"))
    assert (recordings[0][:128] == recordings[1][:128]).all() and (recordings[1] != recordings[2]).any()
    assert set(files) == {"completions", "completions, sound"}
    assert (
        run_here("complete", str(runs / "sound"), "--input", str(runs / "s-0.wav"), "--out", str(runs / "again")) == 0
    )
    with wave.open(str(runs / "again-0.wav")) as file:
        assert np.abs(np.frombuffer(file.readframes(256), "<i2").astype(int) - recordings[0]).max() <= 1
    complete(str(runs / "text"), str(runs / "song.txt"), n=2, out=str(runs / "t"))
    assert (runs / "t.txt").read_text().count("⟦do re mi⟧") == 3
    complete(str(runs / "table"), "data:test:1", "left", n=4, out=str(runs / "w"))
    with (runs / "w.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == 5 and all(row[:6] == rows[0][:6] and row[6:] != rows[0][6:] for row in rows[1:])


def test_a_picture_is_completed_and_the_seed_repeats(runs: Path) -> None:
    pictures = []
    for seed, out in ((1, "a"), (1, "b"), (2, "c")):
        options = ["--input", str(runs / "p.png"), "--cond", "3", "--seed", str(seed), "--out", str(runs / out)]
        assert run_here("complete", str(runs / "raster"), *options) == 0
        pictures.append((runs / f"{out}.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize("name", ["left", "right", "bottom-half", "random:0.5"])
def test_a_mask_that_is_refused_names_one_that_works(name: str, runs: Path) -> None:
    for run in ("raster", "random"):
        density = load(runs / run)
        with pytest.raises(UserError, match="take --mask ") as error:
            mask_of(name, density)
        assert density.completes(mask_of(str(error.value).rpartition(" ")[2], density))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["raster", "--mask", "left"], "take --mask top-half"),
        (["random", "--mask", "top-half"], "take --mask first-half"),
        (["orders"], "several orders"),
        (["orderless", "--mask", "lfet"], "did you mean 'left'"),
        (["orderless", "--mask", "random:2"], "random:0.5"),
        (["orderless", "--mask", "wrong.npy"], "broadcast"),
        (["orderless", "--cond", "1"], "unconditional"),
        (["raster", "--cond", "10"], "0..9"),
        (["raster", "--input", "p.png"], "--cond"),
        (["raster", "--input", "nowhere.png"], "nowhere.png"),
        (["raster", "--input", "data:test:999"], "180 examples"),
        (["raster", "--input", "data:tset:1"], "expected data:SPLIT"),
        (["raster", "--n", "0"], "--n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_completed_is_one_line(
    args: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [str(runs / a) if i == 0 or a.endswith((".png", ".npy")) else a for i, a in enumerate(args)]
    args += [] if "--input" in args else ["--input", "data:test:0"]
    before = sorted(runs.rglob("*"))
    assert run_here("complete", *args) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(runs.rglob("*")) == before
