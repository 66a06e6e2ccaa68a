"""Vectors in .npz files: read beside the examples, kept in their units, and refused in one line if they are wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.core.condition import as_condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.user.keys import Examples, examples_in
from ar_lightning.data.user.npz import NpzArrays
from ar_lightning.inference.inputs import read_context, read_inputs

X = np.arange(40 * 6).reshape(40, 6) % 2
U = np.stack([np.arange(40) * 10.0, np.full(40, 3.0)], 1)
SPEC = DataSpec((1, 6), 2, context=((0.0, 1.0), (0.0, 1.0)))


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "mine.npz", **arrays)
    return str(folder / "mine.npz")


def test_they_are_kept_in_their_units_with_their_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, train=X[:30], train_context=U[:30], test=X[30:], test_context=U[30:])
    data = NpzArrays(path=path)
    splits = data.load()
    # Validation is held out of train, whose moments are those of all its rows in the file.
    assert data.spec.context == ((145.0, pytest.approx(U[:30, 0].std())), (3.0, 0.0))
    assert "train_context 1, constant in train" in capsys.readouterr().err and "constant in train" in data.regime
    for split in splits.values():
        assert split.context is not None and split.context.dtype == np.float32
    test = splits["test"].context
    assert test is not None and np.array_equal(test, U[30:].astype(np.float32))


def test_held_out_examples_take_theirs_along(tmp_path: Path) -> None:
    data = NpzArrays(path=saved(tmp_path, train=np.arange(40)[:, None].repeat(3, 1), train_context=U))
    for split in data.load().values():
        assert split.context is not None and np.array_equal(split.context[:, 0], 10.0 * split.x[:, 0, 0])


@pytest.mark.parametrize("dequantise", [False, True])
def test_batches_have_them_beside_labels(tmp_path: Path, dequantise: bool) -> None:
    labels = np.arange(40) % 4
    data = NpzArrays(path=saved(tmp_path, train=X, train_context=U, train_labels=labels), levels=2)
    module = ArrayDataModule(data, batch_size=5, dequantise=dequantise)
    for name in ("train", "valid", "test"):
        _, cond = module.split(name)
        given = as_condition(cond)
        assert given.labels is not None and given.context is not None and given.features is None
        assert torch.equal(given.labels.float(), given.context[:, 0] / 10 % 4)
    assert len(module.spec.context) == 2


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "missing in a split": ({"train_context": U, "test": X}, "no 'test_context'"),
    "too few": ({"train_context": U[:7]}, "make N that of 'train'"),
    "another width": (
        {"train_context": U, "test": X, "test_context": U[:, :1]}, "F the same in all splits",
    ),
    "flat": ({"train_context": U[:, 0]}, r"save numbers of shape (N, F)"),
    "no numbers": ({"train_context": U[:, :0]}, r"save numbers of shape (N, F)"),
    "text": ({"train_context": U.astype(str)}, r"save numbers of shape (N, F)"),
    "NaN": ({"train_context": np.where(U == 20, np.nan, U)}, "NaN or infinite values, the first in row 2, column 0"),
    "beyond float32": ({"train_context": U * 1e40}, "float32 ends at"),
    "of nothing": ({"valid_context": U, "train_context": U}, "has no 'valid' to go with"),
    "a slip": ({"train_contxt": U}, "is it 'train_context'?"),
}  # fmt: skip


@pytest.mark.parametrize("arrays, message", WRONG.values(), ids=WRONG)
def test_wrong_ones_are_named_in_one_line(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as info:
        NpzArrays(path=saved(tmp_path, train=X, **arrays)).load()
    assert message in str(info.value) and "mine.npz" in str(info.value) and "\n" not in str(info.value)


def test_names_beside_examples() -> None:
    found = examples_in(["test", "test_context", "test_labels"], "test", "mine.npz")
    assert found == Examples("test", "test_labels", context="test_context")
    assert examples_in(["x_test", "test_context"], "test", "mine.npz").context == "test_context"
    assert examples_in(["mine", "mine_context", "b"], "mine", "mine.npz") == Examples(
        "mine", None, None, ("b",), "mine_context"
    )


def test_a_file_for_a_density_that_reads_vectors(tmp_path: Path) -> None:
    split = read_inputs(Path(saved(tmp_path, test=X, test_context=U)), SPEC).split
    assert split.context is not None and np.array_equal(split.context, U.astype(np.float32))
    plain = DataSpec((1, 6), 2)
    assert read_inputs(Path(saved(tmp_path, test=X, test_context=U)), plain).split.context is None
    for arrays in ({}, {"test_context": U[:3]}, {"test_context": U[:, :1]}):
        with pytest.raises(UserError, match=r"reads context: save 'test_context' of shape \(40, 2\)"):
            read_inputs(Path(saved(tmp_path, test=X, **arrays)), SPEC)
    (tmp_path / "row.csv").write_text("0,1,0,1,0,1\n")
    with pytest.raises(UserError, match=r"give an .npz file of 'test' and 'test_context' of shape \(N, 2\)"):
        read_inputs(tmp_path / "row.csv", SPEC)


def test_vectors_for_samples(tmp_path: Path) -> None:
    assert torch.equal(read_context(saved(tmp_path, context=U), SPEC), torch.from_numpy(U).float())
    assert len(read_context(saved(tmp_path, train_context=U, test_context=U[:2]), SPEC)) == 2
    with pytest.raises(UserError, match="no array 'context' among u"):
        read_context(saved(tmp_path, u=U), SPEC)
    for wrong in (U[0], U[:, :1], U[:0], U.astype(str)):
        with pytest.raises(UserError, match=r"this density reads vectors of shape \(n, 2\)"):
            read_context(saved(tmp_path, context=wrong), SPEC)
    with pytest.raises(UserError, match="no such file"):
        read_context(str(tmp_path / "none.npz"), SPEC)
