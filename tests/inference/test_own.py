"""Examples of a run's own data by name: the same syntax for every command, and the first N are the first N."""

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Split
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.inference.codec.content import read_examples
from ar_lightning.inference.inputs import InputDataset
from ar_lightning.inference.own import own_examples_of
from tests.support.files import one_line

N = 100
DATA = ArrayDataModule(InputDataset(Split(np.arange(N, dtype=np.uint8).reshape(N, 1, 1, 1)), DataSpec((1, 1, 1), N)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data:test", range(100)),
        ("data:test[:16]", range(16)),
        ("data:train[:999]", range(100)),
        ("data:valid[90:]", range(90, 100)),
        ("data:test[3:5]", range(3, 5)),
        ("data:test[7]", [7]),
        ("data:test:7", [7]),
    ],
)
def test_slices_are_those_of_python(source: str, expected: list[int]) -> None:
    split, rows = own_examples_of(source, DATA)
    assert split == source[5:].partition("[")[0].partition(":")[0] and rows.tolist() == list(expected)
    assert read_examples(source, DATA, conditional=False).x.flatten().tolist() == list(expected)


@pytest.mark.parametrize("source", ["data:tset", "data:test[:0]", "data:test[100]", "data:test:1e9", "data:test[-3:]"])
def test_what_is_not_there_is_one_line(source: str) -> None:
    with pytest.raises(UserError, match=source[:6]) as info:
        own_examples_of(source, DATA)
    one_line(info)
