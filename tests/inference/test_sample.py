"""`run.py sample`: files for people of every kind of data, prompts that are kept, and one line for what cannot be."""

import csv
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ar_lightning import load
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from ar_lightning.density.draw import Draw
from ar_lightning.inference.prompt import read_prompt
from tests.support.commands import QUICK, run_here


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two steps on text, sound, a table, images and dequantised images."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "song.txt").write_text("do re mi fa sol la ti do\n" * 60)
    options = {
        "text": ["model=rnn", "model.hidden=8", "data=text", f"data.path={folder / 'song.txt'}", "data.length=16"],
        "sound": ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones",
                  "model.conditional=true"],
        "melody": ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones",
                   "data.melody=true", "model.local=true"],
        "table": ["model=rnade", "model.hidden=8", "data=wine"],
        "image": ["model=nade", "model.hidden=8", "model.order=raster", "model.conditional=true"],
        "random": ["model=nade", "model.hidden=8", "model.order=random"],
        "orderless": ["model=deep_nade", "model.hidden=8", "model.ensemble=2"],
        "noisy": ["model=nade", "model.hidden=8", "model.order=raster", "data.dequantise=true"],
    }  # fmt: skip
    for name, given in options.items():
        assert run_here(*given, *QUICK, "data.batch_size=10", f"run_dir={folder / name}") == 0
    return folder


def drawn(runs: Path, *args: str) -> None:
    assert run_here("sample", *args) == 0


def test_text_continues_a_prompt(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(runs, str(runs / "text"), "--n", "3", "--prompt", "do re mi", "--length", "40", "--out", str(runs / "t"))
    assert f"samples: {runs / 't.txt'}" in capsys.readouterr().out
    text = (runs / "t.txt").read_text()
    assert text.count("⟦do re mi⟧") == 3
    windows = [part.split("\n", 1)[1][:-2] for part in text.split("===== ")[1:]]
    assert all(len(window) == 40 + 2 for window in windows)  # two brackets
    (runs / "prompt.txt").write_text("fa sol")
    drawn(runs, str(runs / "text"), "--prompt", str(runs / "prompt.txt"), "--keep", "0.5", "--out", str(runs / "u"))
    assert "⟦fa ⟧" in (runs / "u.txt").read_text()


def test_the_same_seed_is_the_same_in_any_number(runs: Path) -> None:
    for n in (2, 5):
        drawn(runs, str(runs / "text"), "--n", str(n), "--seed", "7", "--out", str(runs / f"n{n}"))
    two, five = ((runs / f"n{n}.txt").read_text() for n in (2, 5))
    assert five.startswith(two)
    drawn(runs, str(runs / "text"), "--n", "2", "--seed", "8", "--out", str(runs / "other"))
    assert (runs / "other.txt").read_text() != two


def test_sound_is_recorded_and_drawn(runs: Path) -> None:
    drawn(runs, str(runs / "sound"), "--n", "2", "--length", "2000", "--cond", "3")
    with wave.open(str(runs / "sound" / "samples" / "drawn-0-0.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, 2000)
    assert Image.open(runs / "sound" / "samples" / "drawn-0.png").size[0] > 500
    first = str(runs / "sound" / "samples" / "drawn-0-0.wav")
    drawn(runs, str(runs / "sound"), "--n", "1", "--prompt", first, "--out", str(runs / "more"))
    with wave.open(first) as a, wave.open(str(runs / "more-0.wav")) as b:
        before, after = (np.frombuffer(file.readframes(10_000), "<i2") for file in (a, b))
    assert len(after) == 256 and np.abs(before[:128].astype(int) - after[:128]).max() <= 1


def test_melodies_follow_the_features_of_test_examples(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(runs, str(runs / "melody"), "--n", "2")
    assert run_here("sample", str(runs / "melody"), "--length", "99") == 2
    assert "features" in capsys.readouterr().err


def test_a_prompt_may_be_longer_than_the_name_of_a_file() -> None:
    assert read_prompt("do " * 100, DataSpec((1, 400), 3, medium=Text("do "))).shape == (1, 300)


def test_tables_are_drawn_in_their_units(runs: Path) -> None:
    drawn(runs, str(runs / "table"), "--n", "30", "--out", str(runs / "w"))
    with (runs / "w.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 and all(np.isfinite(float(v)) for row in rows for v in row.values())
    assert Image.open(runs / "w.png").size[0] > 300


@pytest.mark.parametrize("run", ["image", "noisy", "orderless"])
def test_images_keep_the_upper_part_of_a_picture(run: str, runs: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(pixels).save(runs / "p.png")
    density = load(runs / run)
    given = read_prompt(str(runs / "p.png"), density.spec, 0.25)
    assert given.shape == (1, 2, 8)
    drawn(runs, str(runs / run), "--n", "4", "--prompt", str(runs / "p.png"), "--out", str(runs / run / "c"))
    assert Image.open(runs / run / "c.png").size[0] > 50


def test_known_values_are_kept_in_samples(runs: Path) -> None:
    density = load(runs / "text", length=30)
    given = read_prompt("sol la", density.spec)
    known, mask = torch.zeros(2, 1, 30, dtype=torch.long), torch.zeros(2, 1, 30, dtype=torch.bool)
    known[..., : given.shape[1]], mask[..., : given.shape[1]] = given, True
    x = density.sample(2, known=known, mask=mask)
    assert torch.equal(x[..., :6], known[..., :6])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["text", "--prompt", "do ré"], "'é'"),
        (["text", "--prompt", "do" * 9], "nothing is left to draw"),
        (["text", "--prompt", ""], "empty"),
        (["text", "--cond", "1"], "unconditional"),
        (["text", "--keep", "0.5"], "--prompt"),
        (["text", "--prompt", "do", "--keep", "1.5"], "fraction"),
        (["image", "--cond", "10"], "0..9"),
        (["image", "--length", "9"], "every site"),
        (["image", "--prompt", "nowhere.png"], "nowhere.png"),
        (["random", "--prompt", "p.png"], "another order"),
        (["table", "--prompt", "x"], "has no prompts"),
        (["sound", "--prompt", "nowhere.wav"], "nowhere.wav"),
        (["sound", "--device", "nosuch"], "nosuch"),
        (["texts"], "did you mean 'text'"),
        (["text", "--temperature", "0"], "--temperature"),
        (["text", "--n", "0"], "--n"),
        (["text", "--temprature", "1"], "did you mean '--temperature'"),
        ([], "RUN"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_drawn_is_one_line(
    args: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(runs / "p.png")
    args = [str(runs / a) if i == 0 or a == "p.png" else a for i, a in enumerate(args)]
    before = sorted(runs.rglob("*"))
    assert run_here("sample", *args) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(runs.rglob("*")) == before


def test_pictures_are_arrays_too(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the grid, whose name may be asked for with its ending: what `score --data` and `data.name=npz` read."""
    drawn(runs, str(runs / "image"), "--n", "12", "--out", str(runs / "grid.png"))
    assert f"samples: {runs / 'grid.png'}\narrays: {runs / 'grid.npz'}" in capsys.readouterr().out
    arrays = np.load(runs / "grid.npz")
    density = load(runs / "image")
    labels = torch.arange(12) % 10
    x = density.sample(12, labels, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(arrays["train"], x.numpy()) and arrays["train_labels"].tolist() == labels.tolist()
    assert run_here("score", str(runs / "image"), "--data", str(runs / "grid.npz"), "--out", str(runs / "s.csv")) == 0
    with (runs / "s.csv").open() as file:
        nats = [float(row["nats"]) for row in csv.DictReader(file)]
    assert np.allclose(nats, density.log_prob(x, labels).detach(), atol=1e-4)


@pytest.mark.parametrize("name", ["image", "orderless", "noisy", "melody"])
def test_samples_are_shared_among_devices(runs: Path, name: str) -> None:
    """Whichever draws one, it is the same, to rounding: batches differ in size."""
    for devices in ("cpu", "cpu,cpu,cpu"):
        drawn(runs, str(runs / name), "--n", "7", "--device", devices, "--out", str(runs / f"{name}-{len(devices)}"))
    if name == "melody":
        one, three = ((runs / f"{name}-{n}-6.wav").read_bytes() for n in (3, 11))
        assert one == three
        return
    one, three = (np.load(runs / f"{name}-{n}.npz")["train"] for n in (3, 11))
    assert len(one) == 7 and np.allclose(one, three, atol=1e-5)


def test_shards_of_seeds_are_one_run(runs: Path) -> None:
    """Many machines draw a seed each; put together, that is what one draws of all their noise."""
    density, shards, noise = load(runs / "random"), [], []
    for seed in (2, 0, 1):
        drawn(runs, str(runs / "random"), "--n", "3", "--seed", str(seed), "--out", str(runs / f"shard{seed}"))
        shards.append(np.load(runs / f"shard{seed}.npz")["train"])
        noise.append(density.noise(3, torch.Generator().manual_seed(seed)))
    whole = density.sample(9, noise=torch.cat(noise)).numpy()
    assert (whole == np.concatenate(shards)).all() and len(np.unique(whole, axis=0)) == 9


def test_batches_are_halved_until_there_is_memory(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    density = load(runs / "image")
    labels, seed = torch.arange(20) % 10, torch.Generator().manual_seed(3)
    expected = density.sample(20, labels, generator=seed)
    sizes = []
    fill = Density.fill

    def scarce(self: Density, draw: Draw, *args: Any) -> torch.Tensor:
        sizes.append(len(draw.noise))
        if len(draw.noise) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fill(self, draw, *args)

    monkeypatch.setattr(Density, "fill", scarce)
    assert torch.equal(density.sample(20, labels, generator=seed.manual_seed(3)), expected)
    assert sizes == [20] * 4 + [16, 8] + [4] * 5, "batches of 256, 128 .. 8 are too large"

    def none(*args: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Density, "fill", none)
    with pytest.raises(torch.OutOfMemoryError):
        density.sample(1, labels[:1])
