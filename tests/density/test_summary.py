"""A density says what it is, in every notebook and terminal, and shows values of its data."""

from html.parser import HTMLParser

import pytest
import torch

from ar_lightning.core.medium import Audio, Table, Text
from ar_lightning.core.spec import DataSpec
from tests.support.cases import BINARY, EVERY_CASE, SPECS, Case, random_values

ONE_EACH = {(case.model, *case.options): case for case in EVERY_CASE}
IMAGES = [*SPECS.values(), DataSpec((1, 4, 4), None, quantised=17), DataSpec((1, 9), 5), DataSpec((2, 3, 3), 2)]
SOUND = DataSpec((1, 400), 16, medium=Audio(4000))
TEXT = DataSpec((1, 6), 3, medium=Text("ab<"))
ROWS = DataSpec((1, 2), None, medium=Table(("a", "b"), (0.0, 0.0), (1.0, 1.0)))


class Cells(HTMLParser):
    """The texts of a table's cells; each element is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("case", ONE_EACH.values(), ids=str)
def test_a_density_says_what_it_is(case: Case) -> None:
    density = case.build(torch.float32)
    text, cells = repr(density), Cells(density._repr_html_()).texts
    parameters = f"{sum(p.numel() for p in density.parameters()):,}"
    for said in (type(density.model).__name__, type(density.likelihood).__name__, str(case.spec), parameters):
        assert said in text and any(said in cell for cell in cells)
    assert ("3 classes" in text) == case.conditional == ("p(x | y)" in text)
    assert ("averaged" in text) == (case.members > 1)
    raster = torch.arange(case.spec.dims).view(case.spec.shape[0], -1).t().flatten()  # the channels of a site in turn
    assert ("random" in text) == (density.model.orders != raster).any()
    assert len(text.splitlines()) == 7 and max(map(len, text.splitlines())) <= 120
    assert type(density.model).__name__ in repr(density.model)


@pytest.mark.parametrize("spec", [SOUND, TEXT, ROWS], ids=["sound", "text", "table"])
def test_the_medium_is_said(spec: DataSpec) -> None:
    density = Case(
        "rnn" if spec.levels else "rnade", "categorical" if spec.levels else "gaussian_mixture", spec
    ).build()
    said = {Audio: "4000 samples a second", Text: "3 characters", Table: "2 columns"}[type(spec.medium)]
    assert said in repr(density) and "first to last" in repr(density)


@pytest.mark.parametrize("spec", IMAGES, ids=str)
def test_examples_are_shown_as_a_grid(spec: DataSpec) -> None:
    case = Case("independent", "categorical" if spec.levels else "gaussian_mixture", spec)
    picture = case.build().show(random_values(spec, 6), columns=3)
    assert picture.mode == "RGB" and len(set(picture.getdata())) > 2  # two values at least, and the gaps
    assert picture._repr_png_()  # what a notebook shows


def test_sound_is_shown_as_a_sheet() -> None:
    picture = Case("independent", "categorical", SOUND).build().show(random_values(SOUND, 2))
    assert min(picture.size) > 100 and picture._repr_png_()


@pytest.mark.parametrize(
    ("spec", "n", "message"),
    [(TEXT, 2, "to_text"), (ROWS, 2, "write_samples"), (BINARY, 0, "no example")],
    ids=["text", "table", "none"],
)
def test_what_is_no_picture_is_said(spec: DataSpec, n: int, message: str) -> None:
    density = Case("independent", "categorical" if spec.levels else "gaussian_mixture", spec).build()
    with pytest.raises(ValueError, match=message):
        density.show(random_values(spec, n))
    with pytest.raises(ValueError, match="expected data"):
        density.show(random_values(DataSpec((1, 1, 1), 2), 2))
