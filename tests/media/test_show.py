"""Values of the data are shown as one picture."""

import pytest

from ar_lightning import show
from ar_lightning.core.medium import Audio, Table, Text
from ar_lightning.core.spec import DataSpec
from tests.support.cases import BINARY, SPECS, random_values

IMAGES = [
    *(s for s in SPECS.values() if s.medium is None),
    DataSpec((1, 4, 4), None, quantised=17),
    DataSpec((1, 9), 5),
    DataSpec((2, 3, 3), 2),
]
SOUND = DataSpec((1, 400), 16, medium=Audio(4000))
TEXT = DataSpec((1, 6), 3, medium=Text("ab<"))
ROWS = DataSpec((1, 2), None, medium=Table(("a", "b"), (0.0, 0.0), (1.0, 1.0)))


@pytest.mark.parametrize("spec", IMAGES, ids=str)
def test_examples_are_shown_as_a_grid(spec: DataSpec) -> None:
    picture = show(random_values(spec, 6), spec, columns=3)
    assert picture.mode == "RGB" and len(set(picture.getdata())) > 2  # two values at least, and the gaps
    assert picture._repr_png_()  # what a notebook shows


def test_sound_is_shown_as_a_sheet() -> None:
    picture = show(random_values(SOUND, 2), SOUND)
    assert min(picture.size) > 100 and picture._repr_png_()


@pytest.mark.parametrize(
    ("spec", "n", "message"),
    [(TEXT, 2, "write_samples"), (ROWS, 2, "write_samples"), (BINARY, 0, "no example")],
    ids=["text", "table", "none"],
)
def test_what_is_no_picture_is_said(spec: DataSpec, n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        show(random_values(spec, n), spec)
    with pytest.raises(ValueError, match="expected data"):
        show(random_values(DataSpec((1, 1, 1), 2), 2), spec)
