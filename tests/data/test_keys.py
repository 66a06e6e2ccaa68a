"""Names of arrays in files that are read after a training: which is taken, and what is left out."""

import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.data.user.keys import Examples, examples_in

TAKEN = {
    "mine": Examples("mine"),
    "mine mine_labels notes": "no array 'test' among mine, notes",
    "mine mine_labels mine_features": Examples("mine", "mine_labels", "mine_features"),
    "train test test_labels train_labels": Examples("test", "test_labels"),
    "test_images test_labels": Examples("test_images", "test_labels"),
    "train train_labels": Examples("train", "train_labels"),
    "x_test y_test x_train y_train": Examples("x_test", "y_test"),
    "X_test Y_test mask": Examples("X_test", "Y_test", None, ("mask",)),
    "test mask weights": Examples("test", None, None, ("mask", "weights")),
    "train valid": "no array 'test' among train, valid",
    "test test_label": "is it 'test_labels'?",
    "test tset_labels": "is it 'test_labels'?",
    "test seq_len": "without lengths padding would be modelled; call the lengths",
    "": "no array 'test' among none",
}


@pytest.mark.parametrize("names", TAKEN)
def test_which_array_is_taken(names: str) -> None:
    expected = TAKEN[names]
    if isinstance(expected, Examples):
        assert examples_in(names.split(), "test", "mine.npz") == expected
        return
    with pytest.raises(UserError) as info:
        examples_in(names.split(), "test", "mine.npz")
    assert expected in str(info.value) and "mine.npz" in str(info.value)


def test_a_split_of_any_name() -> None:
    assert examples_in(["a", "b", "b_labels"], "b", "mine.npz") == Examples("b", "b_labels", None, ("a",))
