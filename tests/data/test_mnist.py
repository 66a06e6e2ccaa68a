"""MNIST and Fashion-MNIST: their files, downloads and binarisations, on tiny stand-ins and on the real files."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.data import download
from ar_lightning.data.base import SPLITS, Splits
from ar_lightning.data.datasets.cifar10 import CIFAR10
from ar_lightning.data.datasets.mnist import MNIST, BinarizedMNIST, FashionMNIST, read_idx
from ar_lightning.data.datasets.names import Names
from ar_lightning.data.datasets.shakespeare import TinyShakespeare
from ar_lightning.data.datasets.speech import SpeechCommandsDigits
from tests.support.files import Files, Server, idx_gz, one_line, put, real_data

IDX = [MNIST, FashionMNIST]


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
    splits, again = data.load(), data.load()
    train = torch.from_numpy(splits["train"].x[:2000])
    draws = torch.stack([data.augment(train) for _ in range(20)])
    assert draws.unique().tolist() == [0, 1]
    assert (draws[0] != draws[1]).any()
    assert draws.float().mean().item() == pytest.approx(train.float().mean().item() / 255, abs=0.005)
    assert (draws[:, train == 0] == 0).all() and (draws[:, train == 255] == 1).all()
    for name in ("valid", "test"):
        assert set(np.unique(splits[name].x)) == {0, 1}
        assert splits[name].x.mean() == pytest.approx(grey[name].x.mean() / 255, abs=0.03)
        np.testing.assert_array_equal(splits[name].x, again[name].x)


def test_dynamic_binarisation(tmp_path: Path, tiny: Files) -> None:
    put(tmp_path, tiny)
    data = MNIST(binarize="dynamic", data_dir=str(tmp_path))
    assert data.spec.levels == 2 and "dynamic" in data.regime
    torch.manual_seed(0)
    check_dynamic(data, MNIST(data_dir=str(tmp_path)).load())


def test_flips_compose_with_dynamic_binarisation(tmp_path: Path, tiny: Files) -> None:
    put(tmp_path, tiny)
    data = MNIST(binarize="dynamic", flip=True, data_dir=str(tmp_path))
    assert "dynamic" in data.regime and "flips" in data.regime
    half = torch.zeros(400, 1, 28, 28, dtype=torch.uint8)
    half[..., 14:] = 255  # drawn as it is, so that a flip alone moves it
    torch.manual_seed(0)
    draws = data.augment(half)
    sides = draws[..., :14].float().mean((1, 2, 3)), draws[..., 14:].float().mean((1, 2, 3))
    assert torch.equal(sides[0] + sides[1], torch.ones(400)) and sides[0].unique().tolist() == [0, 1]
    assert sides[0].mean().item() == pytest.approx(0.5, abs=0.1)


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


@pytest.mark.parametrize("data", [*IDX, BinarizedMNIST, CIFAR10, TinyShakespeare, Names, SpeechCommandsDigits])
def test_other_files_of_the_same_name_are_kept(
    tmp_path: Path, data: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are never downloaded over, and nobody is told to delete them; beside the folder, they are passed over."""
    monkeypatch.setattr(data, "base_url", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match="cannot download") as info:
        data(data_dir=str(tmp_path)).load()
    name, folder = re.findall(r"put (\S+?),? .*? into (\S+)", str(info.value))[0]
    theirs = Path(folder) / name
    put(theirs.parent, {name: b"of somebody"})
    with pytest.raises(UserError, match="is not the published") as info:
        data(data_dir=str(tmp_path)).load()
    assert "move it to another folder" in one_line(info) and "delete" not in str(info.value)
    assert theirs.read_bytes() == b"of somebody"


def test_files_of_fashion_are_not_read_as_mnist(
    tmp_path: Path, tiny: Files, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, served = server
    put(tmp_path, dict.fromkeys(tiny, b"of Fashion-MNIST"))
    put(served, tiny)
    monkeypatch.setattr(MNIST, "base_url", url)
    assert len(MNIST(data_dir=str(tmp_path)).load()["train"].x) == 8
    assert capsys.readouterr().err.count("is not the published") == 4
    assert all((tmp_path / name).read_bytes() == b"of Fashion-MNIST" for name in tiny)


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
