"""Image datasets: published bits and splits, on tiny stand-ins everywhere and on the real files where they are."""

import functools
import gzip
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.data import download
from ar_lightning.data.arrays import SPLITS, Dataset, Splits
from ar_lightning.data.images import MNIST, BinarizedMNIST, Digits, FashionMNIST, amat_bytes, read_amat, read_idx
from ar_lightning.errors import UserError
from ar_lightning.registry import DATA
from ar_lightning.schema import schema_of
from ar_lightning.spec import DataSpec

REAL = os.environ.get(download.ENVIRONMENT)
IDX = [MNIST, FashionMNIST]
Files = dict[str, bytes]  # content by name
Server = tuple[str, Path]  # base URL, and the folder served


def idx_gz(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def one_line(info: pytest.ExceptionInfo[UserError]) -> str:
    assert "\n" not in str(info.value)
    return str(info.value)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Content of 12 training and 5 test images in the format of MNIST, published as if they were it."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (12, 28, 28)), np.arange(12) % 10, rng.integers(0, 256, (5, 28, 28)), np.arange(5)]
    files = {name: idx_gz(array) for name, array in zip(MNIST.md5, arrays, strict=True)}
    for data in IDX:
        monkeypatch.setattr(data, "md5", {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
        monkeypatch.setattr(data, "held_out", 4)
    return files


@pytest.fixture
def amat(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Content of .amat files of 6, 3 and 2 images, published as if they were the real ones."""
    rng = np.random.default_rng(0)
    texts = {
        name: amat_bytes(rng.integers(0, 2, (n, 28, 28))) for name, n in {"train": 6, "valid": 3, "test": 2}.items()
    }
    monkeypatch.setattr(BinarizedMNIST, "sha256", {name: hashlib.sha256(t).hexdigest() for name, t in texts.items()})
    return {f"binarized_mnist_{name}.amat": text for name, text in texts.items()}


def put(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Base URL of a local web server, and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}/", folder
        web.shutdown()
        thread.join()


@pytest.mark.parametrize("name", DATA)
def test_every_dataset_documents_its_arguments(name: str) -> None:
    schema = schema_of(DATA[name])
    assert schema.summary and schema.fields
    assert all(field.doc for field in schema.fields.values())


@pytest.mark.parametrize("size", [8, 4])
@pytest.mark.parametrize("levels", [17, 2])
def test_digits_are_what_the_spec_says(levels: int, size: int) -> None:
    data: Dataset = Digits(levels=levels, size=size)  # type: ignore[arg-type]
    splits = data.load()
    assert data.spec == DataSpec((1, size, size), levels, 10)
    assert [len(splits[s].x) for s in SPLITS] == [1437, 180, 180]
    x = np.concatenate([s.x for s in splits.values()])
    assert x.shape == (1797, 1, size, size) and x.dtype == np.uint8
    assert set(np.unique(x)) == set(range(levels))
    assert 0.2 < x.mean() / (levels - 1) < 0.4
    assert all(set(s.labels) == set(range(10)) for s in splits.values() if s.labels is not None)


def test_digits_splits_are_disjoint_complete_and_fixed() -> None:
    from sklearn.datasets import load_digits

    first = Digits().load()
    rows = [row.tobytes() for split in first.values() for row in split.x]
    assert sorted(rows) == sorted(row.tobytes() for row in load_digits().images.astype(np.uint8))
    np.random.seed(3)
    torch.manual_seed(3)
    again = Digits().load()
    assert all((first[s].x == again[s].x).all() for s in SPLITS)
    labels = first["test"].labels
    assert labels is not None and labels[:8].tolist() == [8, 6, 1, 7, 4, 1, 4, 7]


def test_small_digits_are_block_means() -> None:
    big, small = (Digits(size=size).load()["valid"].x[:, 0].astype(float) for size in (8, 4))  # type: ignore[arg-type]
    means = (big[:, ::2, ::2] + big[:, 1::2, ::2] + big[:, ::2, 1::2] + big[:, 1::2, 1::2]) / 4
    assert np.abs(means - small).max() <= 0.5
    np.testing.assert_array_equal(Digits(size=4, levels=2).load()["valid"].x[:, 0], means > 8)


def test_amat_round_trip(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 28, 28))
    text = amat_bytes(bits)
    np.testing.assert_array_equal(np.loadtxt(text.decode().splitlines()).reshape(3, 28, 28), bits)
    (tmp_path / "x.amat").write_bytes(text)
    np.testing.assert_array_equal(read_amat(tmp_path / "x.amat"), bits)


def test_binarized_mnist_makes_its_npz_from_local_amat(tmp_path: Path, amat: Files) -> None:
    put(tmp_path, amat)
    data = BinarizedMNIST(data_dir=str(tmp_path))
    first = data.load()
    assert [first[s].x.shape for s in SPLITS] == [(n, 1, 28, 28) for n in (6, 3, 2)]
    for name in amat:
        (tmp_path / name).unlink()
    assert [entry.name for entry in tmp_path.iterdir()] == ["binarized_mnist.npz"]
    again = data.load()
    assert all((first[s].x == again[s].x).all() and again[s].labels is None for s in SPLITS)


def test_an_npz_of_other_bits_is_refused(tmp_path: Path, amat: Files) -> None:
    put(tmp_path, amat)
    bits = {name: split.x[:, 0].copy() for name, split in BinarizedMNIST(data_dir=str(tmp_path)).load().items()}
    bits["valid"][1, 2, 3] ^= 1
    np.savez(tmp_path / "binarized_mnist.npz", **bits)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'valid' is not the published") as info:
        BinarizedMNIST(data_dir=str(tmp_path)).load()
    one_line(info)


def test_read_idx(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 2, 5)).astype(np.uint8)
    path = tmp_path / "x.gz"
    path.write_bytes(idx_gz(array))
    np.testing.assert_array_equal(read_idx(path), array)
    for bad in (
        idx_gz(array)[:-9],
        b"hello",
        b"",
        gzip.compress(b"hello world"),
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05ab"),
    ):
        path.write_bytes(bad)
        with pytest.raises(UserError) as info:
            read_idx(path)
        assert str(path) in one_line(info)


@pytest.mark.parametrize("data", IDX)
@pytest.mark.parametrize("flat", [True, False])
def test_idx_files_are_found_and_split(tmp_path: Path, tiny: Files, data: type[MNIST], flat: bool) -> None:
    put(tmp_path if flat else tmp_path / data.folder, tiny)
    splits = data(data_dir=str(tmp_path)).load()
    assert [splits[s].x.shape for s in SPLITS] == [(n, 1, 28, 28) for n in (8, 4, 5)]
    assert [list(y) for s in SPLITS if (y := splits[s].labels) is not None] == [[*range(8)], [8, 9, 0, 1], [*range(5)]]


def test_grey_levels_and_threshold(tmp_path: Path, tiny: Files) -> None:
    put(tmp_path, tiny)
    grey = MNIST(data_dir=str(tmp_path)).load()["train"].x
    for levels in (16, 2):
        data = MNIST(levels=levels, data_dir=str(tmp_path))  # type: ignore[arg-type]
        x = data.load()["train"].x
        assert data.spec.levels == levels and set(np.unique(x)) == set(range(levels))
        assert (np.diff(x.ravel()[np.argsort(grey.ravel())].astype(int)) >= 0).all()
    data = MNIST(binarize="threshold", data_dir=str(tmp_path))
    assert data.spec.levels == 2 and ((grey > 127) == data.load()["train"].x).all()
    with pytest.raises(UserError, match="contradicts") as info:
        MNIST(levels=16, binarize="dynamic")
    one_line(info)


def check_dynamic(data: MNIST, grey: Splits) -> None:
    """Draws follow the grey values and differ; valid and test are drawn once."""
    splits = data.load()
    train = torch.from_numpy(splits["train"].x[:2000])
    draws = torch.stack([data.augment(train) for _ in range(20)])
    assert draws.unique().tolist() == [0, 1]
    assert (draws[0] != draws[1]).any()
    assert draws.float().mean().item() == pytest.approx(train.float().mean().item() / 255, abs=0.005)
    assert (draws[:, train == 0] == 0).all() and (draws[:, train == 255] == 1).all()
    for name in ("valid", "test"):
        assert set(np.unique(splits[name].x)) == {0, 1}
        assert splits[name].x.mean() == pytest.approx(grey[name].x.mean() / 255, abs=0.03)
        np.testing.assert_array_equal(splits[name].x, data.load()[name].x)


def test_dynamic_binarisation(tmp_path: Path, tiny: Files) -> None:
    put(tmp_path, tiny)
    data = MNIST(binarize="dynamic", data_dir=str(tmp_path))
    assert data.spec.levels == 2 and "dynamic" in data.regime
    torch.manual_seed(0)
    check_dynamic(data, MNIST(data_dir=str(tmp_path)).load())


def test_environment_names_the_folder(tmp_path: Path, tiny: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "MNIST/raw", tiny)
    monkeypatch.setenv(download.ENVIRONMENT, str(tmp_path))
    assert len(MNIST().load()["train"].x) == 8


def test_a_damaged_local_file_is_refused(tmp_path: Path, tiny: Files) -> None:
    name = next(iter(tiny))
    put(tmp_path / "MNIST/raw", {**tiny, name: tiny[name][:-20]})
    with pytest.raises(UserError, match="is not the published") as info:
        MNIST(data_dir=str(tmp_path)).load()
    assert name in one_line(info)


@pytest.mark.parametrize("data", [*IDX, BinarizedMNIST])
def test_download(
    tmp_path: Path, tiny: Files, amat: Files, server: Server, data: type[MNIST], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, served = server
    files = amat if data is BinarizedMNIST else tiny
    put(served, files)
    monkeypatch.setattr(data, "base_url", url)
    first = data(data_dir=str(tmp_path / "data")).load()
    monkeypatch.setattr(data, "base_url", "http://127.0.0.1:9/")
    again = data(data_dir=str(tmp_path / "data")).load()
    assert all((first[s].x == again[s].x).all() for s in SPLITS)


@pytest.mark.parametrize(("tail", "complaint"), [(b"!", "does not match its published"), (None, "HTTP 404")])
def test_a_failed_download_is_refused_and_leaves_nothing(
    tmp_path: Path, tiny: Files, server: Server, tail: bytes | None, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, served = server
    put(served, {} if tail is None else {name: content + tail for name, content in tiny.items()})
    monkeypatch.setattr(MNIST, "base_url", url)
    with pytest.raises(UserError, match=complaint) as info:
        MNIST(data_dir=str(tmp_path / "data")).load()
    assert one_line(info)
    assert [entry for entry in (tmp_path / "data").rglob("*") if entry.is_file()] == []


def test_without_network_the_error_says_what_to_put_where(
    tmp_path: Path, tiny: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9/"  # nothing listens on the discard port
    monkeypatch.setattr(MNIST, "base_url", url)
    have, *missing = tiny
    put(tmp_path / "MNIST/raw", {have: tiny[have]})
    with pytest.raises(UserError) as info:
        MNIST(data_dir=str(tmp_path)).load()
    message = one_line(info)
    assert ", ".join(missing) in message and have not in message
    assert url in message and str(tmp_path / "MNIST/raw") in message and download.ENVIRONMENT in message


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written") as info:
        MNIST(data_dir=str(tmp_path / "file")).load()
    one_line(info)


real_data = pytest.mark.skipif(not REAL, reason=f"set {download.ENVIRONMENT} to a folder with the public files")


@real_data
def test_real_binarized_mnist() -> None:
    splits = BinarizedMNIST().load()
    assert [splits[s].x.shape for s in SPLITS] == [(n, 1, 28, 28) for n in (50000, 10000, 10000)]
    assert all(set(np.unique(splits[s].x)) == {0, 1} for s in SPLITS)


@real_data
def test_real_mnist() -> None:
    splits = MNIST().load()
    counts = {s: np.bincount(y).tolist() for s in SPLITS if (y := splits[s].labels) is not None}
    assert [len(splits[s].x) for s in SPLITS] == [50000, 10000, 10000]
    assert counts["train"] == [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988]
    assert counts["test"] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert splits["train"].x.mean() == pytest.approx(33.3, abs=0.2)
    torch.manual_seed(0)
    check_dynamic(MNIST(binarize="dynamic"), splits)
