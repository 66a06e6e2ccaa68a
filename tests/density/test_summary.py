"""A density says what it is in a terminal and in a notebook."""

import pytest
import torch

from ar_lightning.core.medium import Audio, Table, Text
from ar_lightning.core.spec import DataSpec
from tests.support.cases import EVERY_CASE, Case

ONE_EACH = {(case.model, *case.options): case for case in EVERY_CASE}
SOUND = DataSpec((1, 400), 16, medium=Audio(4000))
TEXT = DataSpec((1, 6), 3, medium=Text("ab<"))
ROWS = DataSpec((1, 2), None, medium=Table(("a", "b"), (0.0, 0.0), (1.0, 1.0)))


@pytest.mark.parametrize("case", ONE_EACH.values(), ids=str)
def test_a_density_says_what_it_is(case: Case) -> None:
    density = case.build(torch.float32)
    text = repr(density)
    parameters = f"{sum(p.numel() for p in density.parameters()):,}"
    for said in (type(density.model).__name__, type(density.likelihood).__name__, str(case.spec), parameters):
        assert said in text
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
