"""Arrays that are given after a training: what is taken, what is said, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.inference.inputs import read_inputs
from tests.support.files import one_line

BITS = DataSpec((1, 3), 2)
REAL = DataSpec((1, 3), None, features=1)


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def test_what_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.eye(3, dtype=int)
    split, _, _ = read_inputs(saved(tmp_path, x_test=x, y_test=np.arange(3), train=x[:2], mask=x), BITS)
    assert (split.x[:, 0] == x).all() and split.labels is not None and (split.labels == np.arange(3)).all()
    assert capsys.readouterr().err.endswith("mine.npz: without mask\n")


@pytest.mark.parametrize(
    ("spec", "arrays", "expected"),
    [
        (BITS, {"test": np.eye(3), "vaild": np.eye(3)}, "is it 'valid'?"),
        (BITS, {"test": np.eye(3), "test_lengths": np.arange(3)}, "of different lengths, and this density"),
        (BITS, {"test": np.array(0)}, "'test' is of shape ()"),
        (REAL, {"test": np.diag([1, 1e39, 1]), "test_features": np.ones((3, 1, 3))}, "example 1 holds 1e+39"),
        (
            REAL,
            {"test": np.eye(3), "test_features": np.full((3, 1, 3), -1e200)},
            "holds -1e+200 in row 0, place",
        ),
        (REAL, {"x_test": np.eye(3)}, "save 'test_features' of shape (3, 1, 3)"),
    ],
)
def test_what_cannot_be_taken(tmp_path: Path, spec: DataSpec, arrays: dict[str, np.ndarray], expected: str) -> None:
    with pytest.raises(UserError) as info:
        read_inputs(saved(tmp_path, **arrays), spec)
    assert expected in one_line(info)
