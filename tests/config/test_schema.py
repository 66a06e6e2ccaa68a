"""A schema read from source is the signature that Python sees."""

import importlib
import inspect
from typing import Any, Literal

import pytest

from ar_lightning.config.registry import REGISTRIES, find, target_of
from ar_lightning.config.schema import REQUIRED, schema_of
from ar_lightning.config.sections import DATA_MODULE, SECTIONS
from ar_lightning.config.values import conform, type_name
from ar_lightning.core.fields import Decay, Fraction, NonNegativeInt, PositiveFloat, PositiveInt

REGISTERED = [target for registry in REGISTRIES.values() for target in registry.values()]
TARGETS = [*REGISTERED, *SECTIONS.values(), DATA_MODULE]


def keyword_only(function: Any) -> list[inspect.Parameter]:
    """Return the keyword-only parameters, with those of the base class that `**shared` passes on to it."""
    parameters = inspect.signature(function).parameters.values()
    passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return [p for p in parameters if p.kind is p.KEYWORD_ONLY] + (keyword_only(function.__base__) if passed_on else [])


@pytest.mark.parametrize("target", TARGETS)
def test_schema_is_the_signature(target: str) -> None:
    module, _, name = target.partition(":")
    expected = {
        p.name: (p.annotation, REQUIRED if p.default is inspect.Parameter.empty else p.default)
        for p in keyword_only(getattr(importlib.import_module(module), name))
    }
    assert {f.name: (f.annotation, f.default) for f in schema_of(target).fields.values()} == expected


@pytest.mark.parametrize("target", TARGETS)
def test_every_field_is_documented_and_its_default_is_legal(target: str) -> None:
    for field in schema_of(target).fields.values():
        assert field.doc.strip() and "\n" not in field.doc, field.name
        assert type_name(field.annotation)
        if field.default is not REQUIRED:
            assert conform(field.annotation, field.default) == field.default, field.name


@pytest.mark.parametrize("target", REGISTERED)
def test_every_summary_is_one_line(target: str) -> None:
    summary = schema_of(target).summary
    assert summary.strip() == summary != ""
    assert "\n" not in summary


@pytest.mark.parametrize("section", REGISTRIES)
def test_class_attributes_are_those_of_the_class(section: str) -> None:
    for name in REGISTRIES[section]:
        for attribute, value in schema_of(target_of(section, name)).attributes.items():
            assert getattr(find(section, name), attribute) == value


def test_schema_of_a_name_that_is_not_there() -> None:
    with pytest.raises(LookupError, match="no Nope"):
        schema_of("ar_lightning.core.spec:Nope")
    with pytest.raises(LookupError, match="no module"):
        schema_of("ar_lightning.nope:Nope")


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (float, 1, 1.0),
        (str, 3, "3"),
        (int | str, 3, 3),
        (str | None, None, None),
        (PositiveInt | None, 2, 2),
        (tuple[Decay, Decay], [0, 0.5], (0.0, 0.5)),
        (list[str], ["a", 1], ["a", "1"]),
        (Literal["32", "64"], "32", "32"),
        (Fraction, 1, 1.0),
    ],
)
def test_conform_converts_what_means_the_same(annotation: Any, value: Any, expected: Any) -> None:
    found = conform(annotation, value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, True), (bool, 1), (bool, "true"), (float, "1.0"), (int, 1.0), (str, True), (str, None), (int, None),
        (float, True), (PositiveInt, 0), (NonNegativeInt, -1), (NonNegativeInt, 2**63), (PositiveFloat, 0),
        (PositiveFloat, float("nan")), (PositiveFloat, float("inf")), (PositiveFloat, 10**400), (Fraction, 0),
        (Decay, 1), (Literal[1, 2], True), (Literal[2], 2.0), (Literal["a"], "b"), (tuple[int, int], [1]),
        (tuple[int, int], [1, 2, 3]), (tuple[int, int], "12"), (list[int], {}), (list[int], [1, "a"]),
        (PositiveInt | None, 0),
    ],
)  # fmt: skip
def test_conform_refuses(annotation: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as refusal:
        conform(annotation, value)
    assert str(refusal.value) == f"expected {type_name(annotation)}"
