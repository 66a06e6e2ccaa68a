"""Frames of an .npz file: of different lengths or one, and in every command that reads, draws or scores them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Roll
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.frames import frames_for
from ar_lightning.data.user.frames import FramesFile
from tests.support.commands import QUICK, run_here

random = np.random.RandomState(0)
ROLLS = [random.randint(2, size=(n, 3)) for n in [4, 1, 0, 6, 2] * 8]
READINGS = [random.randn(n, 3) for n in [4, 1, 0, 6, 2] * 8]


def saved(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "a.npz", **arrays)  # type: ignore[arg-type]
    return str(folder / "a.npz")


def padded() -> dict[str, np.ndarray]:
    train = np.full((len(ROLLS), 6, 3), 9)  # what follows is not looked at
    for row, roll in zip(train, ROLLS, strict=True):
        row[: len(roll)] = roll
    return {"train": train, "train_lengths": np.array([len(roll) for roll in ROLLS])}


def real(fill: float = np.nan) -> dict[str, np.ndarray]:
    train = np.full((len(READINGS), 6, 3), fill)  # what follows is not looked at
    for row, readings in zip(train, READINGS, strict=True):
        row[: len(readings)] = readings
    return {"train": train, "train_lengths": np.array([len(readings) for readings in READINGS])}


def joined() -> dict[str, np.ndarray]:
    return {"train": np.concatenate(ROLLS), "train_offsets": np.cumsum([0, *map(len, ROLLS)])}


@pytest.mark.parametrize("arrays", [padded(), joined()], ids=["lengths", "offsets"])
def test_frames_of_different_lengths(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    labels = np.arange(len(ROLLS)) % 2
    data = FramesFile(path=saved(tmp_path, **arrays, train_labels=labels), lowest_key=60, rate=2.0)
    assert (data.spec.shape, data.spec.levels, data.spec.ends, data.spec.classes) == ((4, 7), 2, True, 2)
    assert data.spec.medium == Roll(2.0, 60) and "examples of 0 to 6 frames" in data.regime
    x = np.concatenate([split.x for split in data.load().values()])
    found = sorted(example[1:, example[0] == 0].T.tolist() for example in x)
    assert found == sorted(roll.tolist() for roll in ROLLS)
    assert (x[:, 1:].sum(1) * x[:, 0]).sum() == 0


def test_real_frames_of_different_lengths(tmp_path: Path) -> None:
    offsets = {"train": np.concatenate(READINGS), "train_offsets": np.cumsum([0, *map(len, READINGS)])}
    for arrays in (real(), offsets):
        data = FramesFile(path=saved(tmp_path, **arrays))
        assert (data.spec.shape, data.spec.levels, data.spec.ends, data.spec.end) == ((4, 7), None, True, 1)
        assert DataSpec.from_dict(data.spec.to_dict()) == data.spec and "6" not in str(data.spec)
        x = np.concatenate([split.x for split in data.load().values()])
        assert x.dtype == np.float32
        found = sorted(example[1:, example[0] == 0].T.tolist() for example in x)
        assert found == sorted(readings.astype(np.float32).tolist() for readings in READINGS)
        assert np.array_equal(np.unique(x[:, 0]), [0, 1]) and not (x[:, 1:] * x[:, :1]).any()
    whole = frames_for(padded()["train"], data.spec, "a file", padded()["train_lengths"])
    assert whole.dtype == np.float32 and whole[0, 1:, :4].T.tolist() == ROLLS[0].tolist()


def test_frames_of_one_length_hold_any_values(tmp_path: Path) -> None:
    real = random.randn(20, 5, 3)
    data = FramesFile(path=saved(tmp_path, train=real, valid=real[:3], test=real[:2]))
    assert (data.spec.shape, data.spec.levels, data.spec.ends) == ((3, 5), None, False)
    assert np.allclose(data.load()["test"].x, real[:2].transpose(0, 2, 1))
    assert np.array_equal(frames_for(real, data.spec, "a file"), real.transpose(0, 2, 1))
    for wrong in (real[:, :4], real[..., :2]):
        with pytest.raises(UserError, match="this density takes"):
            frames_for(wrong, data.spec, "a file")
    levels = FramesFile(path=saved(tmp_path, train=random.randint(4, size=(40, 5, 3))), lowest_key=60)
    with pytest.raises(UserError, match="other values than 0 and 1 of keys"):
        _ = levels.spec


def test_frames_for_a_density_are_cut_to_its_length(capsys: pytest.CaptureFixture[str]) -> None:
    spec = DataSpec((4, 4), 2, medium=Roll(1.0), ends=True)
    rolls = padded()
    x = frames_for(rolls["train"], spec, "a file", rolls["train_lengths"])
    assert x.shape == (40, 4, 4) and (x[:, 0] == 0).sum(1).max() == 4
    assert "16 of 40 examples are cut to their first 4 frames" in capsys.readouterr().err
    with pytest.raises(UserError, match="other values than 0 and 1"):
        frames_for(rolls["train"] + 1, spec, "a file", rolls["train_lengths"])


BROKEN = {
    "rows": ({"train": np.ones((9, 4), int)}, "save frames of shape (N, T, C)"),
    "too long": (padded() | {"train_lengths": np.full(40, 7)}, "lengths has to be 0 to T"),
    "levels that end": (padded() | {"train_lengths": np.full(40, 6)}, "hold 0 and 1 alone"),
    "other channels": (padded() | {"test": np.ones((2, 6, 4), int), "test_lengths": np.ones(2, int)}, "make C that of"),
    "no number": (real() | {"train_lengths": np.full(40, 6)}, "holds NaN or infinite values"),
    "real, too long": (real() | {"train_lengths": np.full(40, 7)}, "lengths has to be 0 to T"),
    "real, other channels": (real() | {"test": np.ones((2, 6, 2)) / 3, "test_lengths": [1, 1]}, "make C that of"),
    "real and whole": (real() | {"test": np.ones((2, 6, 3), int), "test_lengths": [1, 1]}, "save both as one kind"),
    "real keys": (real(), "of keys"),
    "other length": ({"train": np.ones((9, 4, 2)), "test": np.ones((9, 5, 2))}, "make T and C those of"),
    "features": (padded() | {"train_features": np.ones((40, 1, 6))}, "frames have no features"),
}


@pytest.mark.parametrize(("arrays", "problem"), BROKEN.values(), ids=BROKEN)
def test_what_are_no_frames_is_refused(arrays: dict[str, np.ndarray], problem: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as info:
        _ = FramesFile(path=saved(tmp_path, **arrays), lowest_key=60 if problem == "of keys" else None).spec
    assert problem in str(info.value) and "\n" not in str(info.value)


def test_frames_in_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, run = saved(tmp_path, **padded()), tmp_path / "run"
    small = ["model=rnn_nade", "model.hidden=4", "model.frame_hidden=4", "data=frames", f"data.path={path}"]
    assert run_here(*small, "data.lowest_key=60", *QUICK, "data.batch_size=8", f"run_dir={run}") == 0
    assert {file.suffix for file in (run / "samples").iterdir()} == {".png", ".wav"}
    assert run_here("sample", str(run), "--n", "9", "--length", "5", "--out", str(tmp_path / "s")) == 0
    drawn = np.load(tmp_path / "s.npz")
    assert drawn["train"].shape == (9, 5, 3) and drawn["train_lengths"].max() <= 5
    told = str(tmp_path / "scores.csv")
    for file in (path, str(tmp_path / "s.npz")):
        assert run_here("score", str(run), "--data", file, "--split", "train", "--out", told) == 0
    assert len(Path(told).read_text().splitlines()) == 10
    assert run_here("complete", str(run), "--input", "data:test[0]", "--out", str(tmp_path / "c")) == 0
    out = str(tmp_path / "test.json")
    assert run_here("test", str(run), "--out", out) == 0
    assert json.loads(Path(out).read_text())["bpd"] > 0
    assert run_here("compress", str(run), "data:test", "--out", str(tmp_path / "t.arl")) == 0
    assert run_here("decompress", str(run), str(tmp_path / "t.arl"), "--out", str(tmp_path / "t.npz")) == 0
    back = np.load(tmp_path / "t.npz")["test"]
    assert torch.from_numpy(back).shape[1:] == (4, 7)
    np.savez(tmp_path / "b.npz", test=np.zeros((2, 6, 3), int))
    assert run_here("score", str(run), "--data", str(tmp_path / "b.npz")) == 2
    assert run_here("sample", str(run), "--prompt", "x") == 2
    said = capsys.readouterr().err
    assert "save how many frames each has" in said and "has no prompts" in said


def test_real_frames_in_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, run = saved(tmp_path, **real()), tmp_path / "run"
    small = ["model=rnn_nade", "model.hidden=4", "model.frame_hidden=4", "data=frames", f"data.path={path}"]
    assert run_here(*small, *QUICK, "data.batch_size=8", f"run_dir={run}") == 0
    assert {file.suffix for file in (run / "samples").iterdir()} == {".png"}
    assert run_here("sample", str(run), "--n", "9", "--length", "5", "--out", str(tmp_path / "s")) == 0
    drawn = np.load(tmp_path / "s.npz")
    assert drawn["train"].shape == (9, 5, 3) and drawn["train"].dtype == np.float32 and (tmp_path / "s.png").exists()
    assert drawn["train_lengths"].max() <= 5
    after = np.arange(5) >= drawn["train_lengths"][:, None]
    assert not drawn["train"][after].any()
    told = str(tmp_path / "scores.csv")
    for file in (path, str(tmp_path / "s.npz")):
        assert run_here("score", str(run), "--data", file, "--split", "train", "--out", told) == 0
    assert len(Path(told).read_text().splitlines()) == 10
    assert run_here("complete", str(run), "--input", "data:test[0]", "--out", str(tmp_path / "c")) == 0
    assert run_here("anomaly", str(run), "--against", "noise", "--out", str(tmp_path / "a")) == 0
    assert run_here("features", str(run), "--out", str(tmp_path / "f.npz")) == 0
    out = str(tmp_path / "test.json")
    assert run_here("test", str(run), "--out", out) == 0
    assert np.isfinite(json.loads(Path(out).read_text())["nll"])
    for wrong, says in (
        ({"test": np.zeros((2, 6, 3))}, "save how many frames each has"),
        ({"test": np.full((2, 6, 3), np.nan), "test_lengths": [2, 2]}, "holds nan"),
        ({"test": np.zeros((2, 6, 4)), "test_lengths": [2, 2]}, "takes frames of 3 channels"),
    ):
        np.savez(tmp_path / "b.npz", **wrong)  # type: ignore[arg-type]
        capsys.readouterr()
        assert run_here("score", str(run), "--data", str(tmp_path / "b.npz")) == 2
        assert says in capsys.readouterr().err
    assert run_here("compress", str(run), "data:test", "--out", str(tmp_path / "t.arl")) == 2
