"""Labels of any value: classes are those that occur, keep what they are called, and are known again in other data."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.labels import numbers_of
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.relabelled import relabelled
from ar_lightning.data.user.npz import NpzArrays
from tests.support.files import one_line

YEARS = DataSpec((1, 3), 2, 3, labels=(1950, 1953, 1960))
ANIMALS = DataSpec((1, 3), 2, 2, labels=("cat", "dog"))


def labelled(folder: Path, labels: Any, **more: Any) -> NpzArrays:
    np.savez(folder / "mine.npz", train=np.zeros((len(labels), 3), bool), train_labels=labels, **more)
    return NpzArrays(path=str(folder / "mine.npz"))


@pytest.mark.parametrize(
    ("labels", "values", "numbers", "note"),
    [
        ([1960, 1950, 1953] * 5, (1950, 1953, 1960), [2, 0, 1], ""),
        ([-1, 1, 7] * 5, (-1, 1, 7), [0, 1, 2], ""),
        (["dog", "cat", "cat"] * 5, ("cat", "dog"), [1, 0, 0], ""),
        ([2, 0, 1] * 5, (), [2, 0, 1], ""),
        ([True, False, True] * 5, (), [1, 0, 1], ""),
        ([[2], [0], [1]] * 5, (), [2, 0, 1], "labels of shape (N, 1)"),
        (np.eye(3)[[2, 0, 1] * 5], (), [2, 0, 1], "labels one-hot"),
        (np.eye(4, dtype=bool)[[3, 0, 1] * 5], (0, 1, 3), [2, 0, 1], "labels one-hot"),
        (np.full(15, 2**62, np.uint64), (2**62,), [0, 0, 0], ""),
    ],
)
def test_classes_are_the_labels_that_occur(
    tmp_path: Path, labels: Any, values: tuple[Any, ...], numbers: list[int], note: str
) -> None:
    np.savez(tmp_path / "mine.npz", train=np.zeros((15, 3), bool), valid=np.zeros((3, 3), bool), train_labels=labels,
             valid_labels=labels[:3], test=np.zeros((3, 3), bool), test_labels=labels[:3])  # fmt: skip
    data = NpzArrays(path=str(tmp_path / "mine.npz"))
    assert data.spec == DataSpec((1, 3), 2, max(numbers) + 1, labels=values)
    found = data.load()["valid"].labels
    assert found is not None and found.tolist() == numbers and found.dtype == np.int64
    assert note in data.regime and data.regime.endswith(note)


def test_a_spec_keeps_labels_and_older_ones_have_none() -> None:
    assert DataSpec.from_dict(YEARS.to_dict()) == YEARS and DataSpec.from_dict(ANIMALS.to_dict()) == ANIMALS
    plain = replace(YEARS, labels=())
    assert "labels" not in plain.to_dict() and DataSpec.from_dict(plain.to_dict()) == plain
    assert (YEARS.class_of("1953"), YEARS.class_of(1960), YEARS.class_of("2")) == (1, 2, None)
    assert (plain.class_of("1"), plain.class_of("3"), plain.label_of(1), ANIMALS.label_of(1)) == (1, None, 1, "dog")
    assert replace(YEARS, classes=60, labels=tuple(range(1950, 2010))).class_names == "1950, 1951, 1952, .., 2009"


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"], ["a", "a"], [1, "1"], [1.5, 2], [True, 2], [None, 1]])
def test_a_damaged_spec_is_told(labels: list[Any]) -> None:
    with pytest.raises(ValueError, match="labels"):
        DataSpec.from_dict(ANIMALS.to_dict() | {"labels": labels})


def test_labels_of_files_are_known_by_their_value() -> None:
    assert numbers_of(np.array([1960, 1950, 1960]), YEARS, "mine").tolist() == [2, 0, 2]
    assert numbers_of(np.array(["dog", "cat"]), ANIMALS, "mine").tolist() == [1, 0]
    for labels, spec, expected in (
        (np.array([1950, 2]), YEARS, "mine: example 1 has the label 2; the classes are 1950, 1953, 1960"),
        (np.array(["cat", "dgo"]), ANIMALS, "has the label dgo; the classes are cat, dog; did you mean 'dog'?"),
        (np.array([0, 10]), replace(YEARS, classes=10, labels=()), "the label 10; the classes are 0..9"),
    ):
        with pytest.raises(UserError) as info:
            numbers_of(labels, spec, "mine")
        assert expected in one_line(info)


def test_other_data_is_numbered_as_the_density_numbers_it(tmp_path: Path) -> None:
    data = labelled(tmp_path, [1960, 1953] * 10)
    module = ArrayDataModule(relabelled(data, YEARS))
    assert module.spec == YEARS
    assert module.split("train")[1].unique().tolist() == [1, 2]
    torch.testing.assert_close(module.class_prior()[0], torch.tensor(0.0).double())
    with pytest.raises(UserError, match="has the label 1953; the classes are 1960, 1961"):
        relabelled(data, replace(YEARS, classes=2, labels=(1960, 1961))).load()


def test_an_older_density_keeps_its_numbers(tmp_path: Path) -> None:
    """It was trained with a class for every number from 0, or for every folder, whose names it does not know."""
    older = DataSpec((1, 3), 2, 8)
    gaps = relabelled(labelled(tmp_path, [1, 7, 3] * 10), older)
    labels = gaps.load()["train"].labels
    assert gaps.spec == older and labels is not None and set(labels) == {1, 3, 7}
    named = labelled(tmp_path, ["cat", "dog"] * 10)
    assert relabelled(named, DataSpec((1, 3), 2, 2)) is named
    plain = labelled(tmp_path, [0, 1] * 10)
    assert relabelled(plain, plain.spec) is plain
