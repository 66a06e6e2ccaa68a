"""CIFAR-10: the same images from each of its forms, the published ones only, on tiny stand-ins and the real file."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Splits
from ar_lightning.data.datasets.cifar10 import CIFAR10
from ar_lightning.data.module import ArrayDataModule
from tests.support.files import Files, Server, one_line, put, real_data

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Content of five training files and a test file, of four images each, published as if they were CIFAR-10."""
    rng = np.random.default_rng(0)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    files = {}
    for i, name in enumerate(names):
        records = rng.integers(0, 256, (4, 3073), dtype=np.uint8)
        records[:, 0] = (np.arange(4) + 4 * i) % 10
        files[name] = records.tobytes()
    monkeypatch.setattr(CIFAR10, "batch", 4)
    monkeypatch.setattr(CIFAR10, "sha256", {n: hashlib.sha256(content).hexdigest() for n, content in files.items()})
    return files


@pytest.fixture
def archive(batches: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    """The archive of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in reversed(batches.items()):  # in another order than theirs
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    monkeypatch.setattr(CIFAR10, "archive", {ARCHIVE: hashlib.sha256(out.getvalue()).hexdigest()})
    return {ARCHIVE: out.getvalue()}


def arrays(batches: Files) -> dict[str, Any]:
    """The .npz of these files: channels last."""
    records = np.stack([np.frombuffer(content, np.uint8).reshape(4, 3073) for content in batches.values()])
    x, y = records[..., 1:].reshape(6, 4, 3, 32, 32).transpose(0, 1, 3, 4, 2), records[..., 0]
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return dict(zip(names, (np.concatenate(x[:5]), np.concatenate(y[:5]), x[5], y[5]), strict=True))


def check(splits: Splits, batches: Files, held_out: int = 3) -> None:
    """Images and labels are those of the files, in their order."""
    records = np.frombuffer(b"".join(batches.values()), np.uint8).reshape(-1, 3073)
    parts = np.split(records, [20 - held_out, 20])
    for name, part in zip(SPLITS, parts, strict=True):
        labels = splits[name].labels
        np.testing.assert_array_equal(splits[name].x.reshape(-1, 3072), part[:, 1:])
        assert splits[name].x.shape[1:] == (3, 32, 32) and splits[name].x.dtype == np.uint8
        assert labels is not None and labels.dtype == np.int64 and labels.tolist() == part[:, 0].tolist()


@pytest.mark.parametrize("form", ["npz", "folder", "archive"])
def test_every_form_holds_the_same_images(tmp_path: Path, batches: Files, archive: Files, form: str) -> None:
    match form:
        case "npz":
            np.savez(tmp_path / "cifar10.npz", **arrays(batches))
        case "folder":
            put(tmp_path / FOLDER, batches)
        case "archive":
            put(tmp_path, archive)
    data = CIFAR10(held_out=3, data_dir=str(tmp_path))
    assert data.spec == DataSpec((3, 32, 32), 256, 10)
    check(data.load(), batches)
    assert data.regime == "256 levels, valid is the last 3 of train, 17/3/4"


def test_part_of_the_test_images_is_said_in_the_regime(tmp_path: Path, batches: Files) -> None:
    few = arrays(batches)
    np.savez(tmp_path / "cifar10.npz", **few | {key: few[key][:2] for key in ("test_images", "test_labels")})
    data = CIFAR10(held_out=5, data_dir=str(tmp_path))
    assert data.regime.endswith("valid is the last 5 of train, 15/5/2, test is the first 2 of 4 official images")
    assert len(data.load()["test"].x) == 2


def test_batches_are_quantised(tmp_path: Path, batches: Files) -> None:
    put(tmp_path / FOLDER, batches)
    data = CIFAR10(levels=16, held_out=3, data_dir=str(tmp_path))
    stored = torch.from_numpy(data.load()["test"].x.copy())
    x, _ = ArrayDataModule(data).split("test")
    assert data.spec.levels == 16 and "16 levels" in data.regime
    assert torch.equal(x, stored.long() // 16)


def test_download(tmp_path: Path, batches: Files, archive: Files, server: Server, monkeypatch: Any) -> None:
    url, served = server
    put(served, archive)
    monkeypatch.setattr(CIFAR10, "base_url", url)
    check(CIFAR10(held_out=3, data_dir=str(tmp_path / "data")).load(), batches)
    put(tmp_path / "data" / FOLDER, dict(list(batches.items())[:5]))  # not all of them: the archive it is
    check(CIFAR10(held_out=3, data_dir=str(tmp_path / "data")).load(), batches)


def error_of(folder: Path, **args: Any) -> str:
    with pytest.raises(UserError) as info:
        CIFAR10(**{"held_out": 3, **args}, data_dir=str(folder)).load()
    return one_line(info)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"test_labels": None}, "no array named 'test_labels'"),
    "type": ({"train_images": np.zeros((20, 32, 32, 3))}, "'train_images' is float64"),
    "shape": ({"train_images": np.zeros((19, 32, 32, 3), np.uint8)}, "not bytes of (20, 32, 32, 3)"),
    "layout": ({"test_images": np.zeros((4, 3, 32, 32), np.uint8)}, "'test_images' is uint8 of shape (4, 3, 32, 32)"),
    "number": ({"test_images": np.uint8(3)}, "'test_images' is uint8 of shape ()"),
    "empty": ({"test_images": np.zeros((0, 32, 32, 3), np.uint8)}, "not bytes of (1, 32, 32, 3)"),
    "labels": ({"train_labels": np.zeros(19, np.uint8)}, "'train_labels' is uint8 of shape (19,)"),
    "pixels": ({"train_images": np.zeros((20, 32, 32, 3), np.uint8)}, "training images 0 to 3 are not the published"),
    "classes": ({"train_labels": np.full(20, 260)}, "'train_labels' is int64"),
    "other test": ({"test_labels": np.zeros(4, np.uint8)}, "test images are not the published"),
    "objects": ({"train_labels": np.array([{}] * 20, dtype=object)}, "pickled objects"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_npz_of_other_content_is_refused(tmp_path: Path, batches: Files, case: str) -> None:
    changes, complaint = BAD[case]
    content = {key: array for key, array in (arrays(batches) | changes).items() if array is not None}
    np.savez(tmp_path / "cifar10.npz", **content)
    message = error_of(tmp_path)
    assert complaint in message and str(tmp_path / "cifar10.npz") in message


def test_images_in_another_order_are_refused(tmp_path: Path, batches: Files) -> None:
    content = arrays(batches)
    for key in ("train_images", "train_labels"):
        content[key] = content[key][::-1]
    np.savez(tmp_path / "cifar10.npz", **content)
    assert "in their order" in error_of(tmp_path)


def test_damaged_files_are_refused(tmp_path: Path, batches: Files, archive: Files) -> None:
    put(tmp_path, {ARCHIVE: archive[ARCHIVE][:-10]})
    assert "is not the published" in error_of(tmp_path)
    name = "data_batch_3.bin"
    put(tmp_path / FOLDER, batches | {name: batches[name][:-1] + b"!"})
    assert f"{name}: sha256" in error_of(tmp_path)
    put(tmp_path, {"cifar10.npz": b"PK hello"})
    assert "not an .npz file" in error_of(tmp_path)


def test_without_files_the_error_says_what_to_put_where(
    tmp_path: Path, batches: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "base_url", "http://127.0.0.1:9/")
    message = error_of(tmp_path)
    assert f"put {ARCHIVE} from" in message and f"into {tmp_path}" in message


def test_something_must_be_left_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.held_out=50000") as info:
        CIFAR10(held_out=50_000)
    one_line(info)


@real_data
def test_real_cifar10() -> None:
    data = CIFAR10(flip=True)
    splits = data.load()
    assert [len(splits[s].x) for s in SPLITS[:2]] == [45_000, 5_000]
    n = len(splits["test"].x)
    assert "256 levels, random flips of train" in data.regime and f"45000/5000/{n}" in data.regime
    assert (f"first {n} of 10000" in data.regime) == (n < 10_000)
    train = np.concatenate([splits[s].x[:, :, 0] for s in SPLITS[:2]])  # the top row: a sky bluer than it is red
    assert train[:, 2].mean() > train[:, 0].mean()
    labels = [splits[s].labels for s in SPLITS]
    assert np.bincount(np.concatenate([y for y in labels[:2] if y is not None])).tolist() == [5000] * 10
    assert labels[2] is not None and labels[2][:5].tolist() == [3, 8, 8, 0, 6]  # cat, ship, ship, plane, frog
