"""User arrays: what is inferred, how splits are made, and what each bad file is told."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import shuffled
from ar_lightning.data.user.npz import NpzArrays
from tests.support.commands import result, run_here


def saved(folder: Path, **arrays: Any) -> str:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


def bits(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape) % 2


def error_of(**args: Any) -> str:
    with pytest.raises(UserError) as info:
        NpzArrays(**args).load()
    assert "\n" not in str(info.value)
    return str(info.value)


def test_import_needs_neither_torch_nor_lightning() -> None:
    code = "import sys; from ar_lightning.data.datasets.digits import Digits; Digits().load(); "
    code += "print({'torch', 'lightning', 'sklearn', 'pooch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ((20, 5), (1, 5)),
        ((20, 5, 6), (1, 5, 6)),
        ((20, 1, 5, 6), (1, 5, 6)),
        ((20, 3, 5, 6), (3, 5, 6)),
        ((20, 5, 6, 1), (1, 5, 6)),
        ((20, 5, 6, 3), (3, 5, 6)),
    ],
)
def test_layouts(tmp_path: Path, given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    data = NpzArrays(path=saved(tmp_path, train=bits(*given)))
    assert data.spec == DataSpec(shape, 2)
    assert data.load()["train"].x.shape[1:] == shape


def test_channels_last_are_moved_not_reshaped(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)
    x[0, 0, 0, 0] = 255
    split = NpzArrays(path=saved(tmp_path, train=x, valid=x, test=x)).load()["test"]
    np.testing.assert_array_equal(split.x[:, 2, 1, 3], x[:, 1, 3, 2])


@pytest.mark.parametrize(
    ("train", "levels"),
    [
        (np.zeros((10, 3), bool), 2),
        (np.zeros((10, 3)), 2),
        (np.full((10, 3), 64, np.uint8), 65),
        (np.full((10, 3), 200, np.uint8), 256),
        (np.full((10, 3), 200, np.int64), 201),
        (np.full((10, 3), 300), 301),
        (np.full((10, 3), 7.0), 8),
        (np.full((10, 3), 0.5), None),
        (np.full((10, 3), -1.0), None),
    ],
)
def test_inferred_levels(tmp_path: Path, train: np.ndarray, levels: int | None) -> None:
    data = NpzArrays(path=saved(tmp_path, train=train))
    x = data.load()["train"].x
    assert data.spec.levels == levels
    assert x.dtype == (np.float32 if levels is None else np.uint8 if levels <= 256 else np.int32)
    np.testing.assert_array_equal(x, np.broadcast_to(train.reshape(-1)[0], x.shape))


def test_levels_cover_every_split_and_may_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path, train=bits(10, 3), valid=bits(10, 3), test=bits(10, 3) * 5)
    assert NpzArrays(path=path).spec.levels == 6
    assert NpzArrays(path=path, levels=10).spec.levels == 10


def test_held_out_splits_partition_train(tmp_path: Path) -> None:
    x = np.arange(103)[:, None]
    path = saved(tmp_path, train=x, train_labels=x[:, 0] % 4)
    splits = NpzArrays(path=path).load()
    assert [len(splits[s].x) for s in ("train", "valid", "test")] == [83, 10, 10]
    assert sorted(np.concatenate([s.x.ravel() for s in splits.values()])) == list(range(103))
    for split in splits.values():
        np.testing.assert_array_equal(split.labels, split.x.ravel() % 4)
    assert NpzArrays(path=path).spec.classes == 4


def test_splits_depend_on_the_seed_alone(tmp_path: Path) -> None:
    path = saved(tmp_path, train=np.arange(100)[:, None])
    first = NpzArrays(path=path).load()["valid"].x
    np.random.seed(5)
    state = np.random.get_state(legacy=False)["state"]["key"].copy(), torch.get_rng_state()
    np.testing.assert_array_equal(NpzArrays(path=path).load()["valid"].x, first)
    assert (np.random.get_state(legacy=False)["state"]["key"] == state[0]).all()
    assert torch.equal(torch.get_rng_state(), state[1])
    assert (NpzArrays(path=path, split_seed=1).load()["valid"].x != first).any()
    np.testing.assert_array_equal(shuffled(8, 0), [6, 2, 1, 7, 3, 0, 5, 4])  # the same in every version of NumPy


def test_splits_of_the_file_are_kept(tmp_path: Path) -> None:
    x = bits(20, 3)
    data = NpzArrays(
        path=saved(tmp_path, train_images=x, test_images=x[:7], train_labels=x[:, 0], test_labels=x[:7, 0])
    )
    splits = data.load()
    assert [len(splits[s].x) for s in ("train", "valid", "test")] == [18, 2, 7]
    assert "valid held out" in data.regime and "18/2/7" in data.regime


def test_names_of_keras_are_read_and_what_is_left_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = bits(20, 3)
    arrays = {"x_train": x, "y_train": x[:, 0], "X_val": x, "y_val": x[:, 0], "x_test": x, "y_test": x[:, 0]}
    data = NpzArrays(path=saved(tmp_path, **arrays, mask=x, train_weights=x))
    splits = data.load()
    assert all(len(splits[s].x) == 20 and (splits[s].labels == x[:, 0]).all() for s in ("train", "valid", "test"))
    renamed = "x_train, y_train, X_val, y_val, x_test, y_test read as train, train_labels, valid, valid_labels, test"
    for said in (data.regime, capsys.readouterr().err):
        assert renamed in said and "without mask, train_weights" in said


def test_real_values_of_two_axes_are_said_to_be_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert NpzArrays(path=saved(tmp_path, train=table().reshape(10, 2, 2))).spec == DataSpec((1, 2, 2), None)
    assert "2 x 2 real values are read as grey images" in capsys.readouterr().err


def test_a_constant_or_a_few_tiny_values_are_no_loss(tmp_path: Path) -> None:
    x = table()
    x[:, 0] = 1e-200
    x[3, 1] = 1e-310
    assert NpzArrays(path=saved(tmp_path, train=x, test=x[:1])).spec.levels is None


@pytest.mark.parametrize(("kind", "shape"), [("levels", (20, 4, 6)), ("real", (20, 3, 4, 5))])
def test_images_are_flipped_where_asked(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    x = bits(*shape) if kind == "levels" else np.random.default_rng(0).normal(size=shape)
    path = saved(tmp_path, train=x)
    data = NpzArrays(path=path, flip=True)
    batch = torch.from_numpy(data.load()["train"].x)
    assert "flips" in data.regime and "flips" not in NpzArrays(path=path).regime
    torch.manual_seed(1)
    moved = data.augment(batch)
    assert not torch.equal(moved, batch) and torch.equal(moved.sort(-1).values, batch.sort(-1).values)
    assert torch.equal(NpzArrays(path=path).augment(batch), batch)


def table(row: int = 0, column: int = 0, value: float = 0.5) -> np.ndarray:
    x = np.random.RandomState(0).randn(20, 2)
    x[row, column] = value
    return x


BAD = {
    "missing train": ({"tran": bits(9, 2)}, {}, "is it 'train'? rename"),
    "no train": ({"a": bits(9, 2), "b": bits(9, 2)}, {}, "rename one of a, b"),
    "misspelt split": ({"train": bits(9, 2), "vaild": bits(9, 2)}, {}, "is it 'valid'? rename or remove"),
    "misspelt labels": ({"train": bits(9, 2), "train_label": bits(9)}, {}, "is it 'train_labels'?"),
    "labels of what": ({"train": bits(9, 2), "labels": bits(9)}, {}, "is it 'train_labels'?"),
    "capitals": ({"train": bits(9, 2), "Test": bits(9, 2)}, {}, "is it 'test'?"),
    "lengths of what": (
        {"train": bits(9, 2), "len": bits(9)},
        {},
        "call the lengths of the examples of train 'train_l",
    ),
    "too long": ({"train": bits(9, 2), "train_lengths": bits(9) + 2}, {}, "each of its 9 lengths has to be 0 to T"),
    "too few lengths": ({"train": bits(9, 2), "train_lengths": bits(8)}, {}, "each of its 8 lengths has to be 0 to T"),
    "lengths of images": ({"train": bits(9, 2, 2), "train_lengths": bits(9)}, {}, "is of shape (9, 2, 2); each of its"),
    "real lengths": ({"train": bits(9, 2), "train_lengths": bits(9) * 0.5}, {}, "no row of whole numbers"),
    "offsets": ({"train": bits(9), "train_offsets": np.array([0, 5, 3, 9])}, {}, "have to rise from 0 to its length"),
    "one offset": ({"train": bits(9), "train_offsets": np.array([0])}, {}, "have to rise from 0 to its length"),
    "offsets of rows": ({"train": bits(9, 2), "train_offsets": np.arange(10)}, {}, "is of shape (9, 2); its offsets"),
    "real and of lengths": ({"train": table(), "train_lengths": np.full(20, 2)}, {}, "have no level for an end"),
    "lengths with features": (
        {"train": bits(9, 2), "train_lengths": bits(9), "train_features": np.ones((9, 1, 2))},
        {},
        "have no features",
    ),
    "lengths of one": ({"train": bits(9, 2), "test": bits(9, 2), "test_lengths": bits(9)}, {}, "no 'train_lengths'"),
    "twice": ({"train": bits(9, 2), "x_train": bits(9, 2)}, {}, "'train' and 'x_train' are names of the same array"),
    "Keras without labels": ({"x_train": bits(9, 2), "y_train": bits(9), "x_test": bits(9, 2)}, {}, "no 'y_test'"),
    "Keras label count": ({"x_train": bits(9, 2), "y_train": bits(8)}, {}, "'y_train' has 8 labels for 9"),
    "beyond float32": ({"train": table(5, 1, 1e39)}, {}, "'train' holds 1e+39 in row 5, column 1, and float32 ends at"),
    "beyond float32 in test": ({"train": table(), "test": table(3, 0, -1e200)}, {}, "'test' holds -1e+200 in row 3"),
    "features beyond float32": (
        {"train": bits(9, 2), "train_features": np.full((9, 1, 2), 1e39)},
        {},
        "'train_features' holds 1e+39 in row 0, place (0, 0)",
    ),
    "tiny column": ({"train": table() * [1, 1e-200]}, {}, "column 1: float32 does not tell apart values of"),
    "small column": ({"train": table() * [1, 1e-40]}, {}, "column 1: float32 does not tell apart values of"),
    "column far from 0": ({"train": table() * 1e-3 + [0, 1e9]}, {}, "values of 1e+09 to 1e+09; standardise"),
    "huge whole numbers": ({"train": bits(9, 2) * 1e308}, {}, "up to 1e+308, and"),
    "nan": ({"train": np.full((9, 2), np.nan)}, {}, "NaN"),
    "inf": ({"train": np.full((9, 2), np.inf)}, {}, "infinite"),
    "negative": ({"train": -bits(9, 2)}, {}, "negative integer -1"),
    "above levels": ({"train": bits(9, 2) * 7}, {"levels": 4}, "data.levels=8"),
    "test above levels": ({"train": bits(9, 2), "test": bits(9, 2) * 3}, {"levels": 2}, "'test' holds the value 3"),
    "real with levels": ({"train": np.full((9, 2), 0.5)}, {"levels": 4}, "leave data.levels out"),
    "mixed kinds": ({"train": bits(9, 2), "test": np.full((9, 2), 0.5)}, {}, "'train' holds integers but 'test'"),
    "too many levels": ({"train": bits(9, 2) * 10**6}, {}, "up to 1000000"),
    "text": ({"train": np.array([["a", "b"]])}, {}, "save booleans, integers or floats"),
    "shapes": ({"train": bits(9, 2), "test": bits(9, 3)}, {}, "'test' has examples of shape (3,)"),
    "layout": ({"train": bits(9, 2, 3, 4)}, {}, "reshape to"),
    "flat": ({"train": bits(9)}, {}, "reshape to"),
    "empty": ({"train": bits(9, 2), "valid": bits(0, 2)}, {}, "'valid' is empty"),
    "too few": ({"train": bits(2, 2)}, {}, "too few"),
    "label count": ({"train": bits(9, 2), "train_labels": bits(8)}, {}, "8 labels for 9"),
    "label kind": ({"train": bits(9, 2), "train_labels": np.ones(9)}, {}, "save integers or text of shape (9,)"),
    "label shape": ({"train": bits(9, 2), "train_labels": bits(9, 2, 2)}, {}, "of shape (9, 2, 2); save integers"),
    "label beyond int64": (
        {"train": bits(9, 2), "train_labels": np.full(9, 2**63, np.uint64)},
        {},
        "'train_labels' holds 9223372036854775808; labels are at most 9223372036854775807",
    ),
    "several labels": ({"train": bits(9, 2), "train_labels": np.ones((9, 3), int)}, {}, "of shape (9, 3)"),
    "ids": ({"train": bits(5000, 2), "train_labels": np.arange(5000) * 7}, {}, "5,000 different labels; are they num"),
    "a class of test alone": (
        {"train": bits(9, 2), "train_labels": bits(9) + 3, "x_test": bits(9, 2), "y_test": bits(9) + 4},
        {},
        "'y_test': example 1 has the label 5, which does not occur in train; move",
    ),
    "text and numbers": (
        {"train": bits(9, 2), "train_labels": bits(9), "test": bits(9, 2), "test_labels": np.array(["a"] * 9)},
        {},
        "'test_labels' is <U1, and that of train int64; save one kind",
    ),
    "labels in part": ({"train": bits(9, 2), "test": bits(9, 2), "train_labels": bits(9)}, {}, "no 'test_labels'"),
    "feature count": ({"train": bits(9, 2), "train_features": bits(8, 1, 2)}, {}, "make N that of 'train'"),
    "feature shape": ({"train": bits(9, 2), "train_features": bits(9, 2)}, {}, "shape (N, F, 2)"),
    "feature kind": ({"train": bits(9, 2), "train_features": np.full((9, 1, 2), "a")}, {}, "save numbers"),
    "feature values": ({"train": bits(9, 2), "train_features": np.full((9, 1, 2), np.nan)}, {}, "NaN"),
    "features in part": (
        {"train": bits(9, 2), "test": bits(9, 2), "train_features": bits(9, 1, 2)},
        {},
        "no 'test_features'",
    ),
    "stray features": ({"train": bits(9, 2), "test_features": bits(9, 1, 2)}, {}, "no 'test' to go with"),
    "flipped features": (
        {"train": bits(9, 2, 2), "train_features": bits(9, 1, 2, 2)},
        {"flip": True},
        "would stay as they are",
    ),
    "stray labels": ({"train": bits(9, 2), "test_labels": bits(9)}, {}, "no 'test' to go with"),
    "flipped rows": ({"train": bits(9, 2)}, {"flip": True}, "no images to flip"),
    "objects": ({"train": np.array([{}, {}], dtype=object)}, {}, "pickled objects"),
}


def test_features_stay_with_their_examples(tmp_path: Path) -> None:
    x = np.arange(40).reshape(20, 2)
    data = NpzArrays(path=saved(tmp_path, train=x, train_features=np.stack([x, -x, 0 * x], 1)))
    assert data.spec == DataSpec((1, 2), 40, features=3)
    for split in data.load().values():
        assert split.features is not None and split.features.dtype == np.float32
        assert (split.features[:, 0] == split.x[:, 0]).all() and (split.features[:, 1] == -1.0 * split.x[:, 0]).all()


def test_a_density_given_features_learns_from_them(tmp_path: Path) -> None:
    """Bits that are what their feature says, with an error in ten: 0.47 bits are left of one."""
    random = np.random.default_rng(0)
    told = random.integers(0, 2, (600, 1, 12))
    x = np.where(random.random((600, 12)) < 0.1, 1 - told[:, 0], told[:, 0])
    path = saved(tmp_path, train=x, train_features=told)
    small = ["model=wavenet", "model.channels=4", "model.layers=2", "model.stacks=1", "model.skip=8"]
    given = ["data=npz", f"data.path={path}", "data.batch_size=20", "optimizer.lr=0.02", "trainer.max_epochs=8"]
    quick = ["samples.n=2", "samples.every=0", "tracking.mode=disabled", "trainer.accelerator=cpu", "trainer.devices=1"]
    bits = {}
    for local in ("true", "false"):
        run = tmp_path / local
        assert run_here(*small, *given, *quick, f"model.local={local}", f"run_dir={run}") == 0
        bits[local] = result(run)["test/bpd"]
    assert 0.4 < bits["true"] < 0.65 and bits["false"] > 0.9


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_answered_in_one_line(tmp_path: Path, case: str) -> None:
    arrays, args, expected = BAD[case]
    message = error_of(path=saved(tmp_path, **arrays), **args)
    assert expected in message and "mine.npz" in message


def test_bad_paths_are_answered_by_the_constructor(tmp_path: Path) -> None:
    saved(tmp_path, train=bits(9, 2))
    with pytest.raises(UserError, match=r"give data\.path=my\.npz"):
        NpzArrays()
    with pytest.raises(UserError, match=r"did you mean 'mine\.npz'"):
        NpzArrays(path=str(tmp_path / "mime.npz"))
    with pytest.raises(UserError, match="no folder"):
        NpzArrays(path=str(tmp_path / "nowhere" / "mine.npz"))


@pytest.mark.parametrize("kind", ["text", "npy", "empty", "truncated", "flipped"])
def test_bad_files_are_answered_in_one_line(tmp_path: Path, kind: str) -> None:
    path = Path(saved(tmp_path, train=bits(100, 50)))
    whole = path.read_bytes()
    if kind == "npy":
        with path.open("wb") as file:
            np.save(file, bits(9, 2))
    else:
        flipped = whole[:5000] + bytes([whole[5000] ^ 255]) + whole[5001:]
        path.write_bytes({"text": b"hello", "empty": b"", "truncated": whole[:-300], "flipped": flipped}[kind])
    assert str(path) in error_of(path=str(path))
