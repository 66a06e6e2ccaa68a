"""The compiled engine draws what the eager one draws, and is chosen where it can be and pays."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ar_lightning.config.registry import MODELS, find
from ar_lightning.core.errors import UserError
from ar_lightning.density import compiled, machine_code
from ar_lightning.density.compiled import choose_loop
from tests.support.cases import (
    CONTEXT_CASES,
    EVERY_CASE,
    LARGE_CASES,
    Case,
    each,
    random_values,
    seeded,
)

EXPORTING = [name for name in MODELS if find("model", name).exports]
EXPORTED = [case for case in EVERY_CASE + LARGE_CASES + CONTEXT_CASES if case.model in EXPORTING]
GATED = next(case for case in EXPORTED if case.model == "gated_pixelcnn" and case.spec.levels == 2)


def uncompiled(
    function: Callable[..., Any], tensors: Sequence[torch.Tensor], *rest: Any
) -> Callable[[Sequence[torch.Tensor]], Any]:
    """Return the function that would be compiled."""
    return lambda given: function(*(t.view_as(t) for t in given))


@each(EXPORTED)
def test_the_step_as_a_function_of_tensors_draws_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "machine_code", uncompiled)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    density, n = case.build(), 5  # not a power of two
    known, mask = random_values(case.spec, n), torch.zeros(case.spec.dims, dtype=torch.bool)
    mask[::2] = True
    cond = case.labels(n)
    for given in ((), (known, mask.view(case.spec.shape))):
        drawn = [density.sample(n, cond, *given, generator=seeded(3), engine=e) for e in ("eager", "compiled")]
        assert torch.allclose(*drawn, rtol=0, atol=0 if case.spec.levels else 1e-8)
    tempered = [density.sample(n, cond, temperature=0.5, generator=seeded(3), engine=e) for e in ("eager", "compiled")]
    assert torch.allclose(*tempered, rtol=0, atol=0 if case.spec.levels else 1e-8)


@pytest.mark.parametrize("model", [name for name in MODELS if name not in EXPORTING])
def test_a_model_without_a_step_that_compiles_says_so(model: str) -> None:
    density = next(case for case in EVERY_CASE if case.model == model).build()
    assert choose_loop("auto", density.model, 1) is None and choose_loop("eager", density.model, 1) is None
    with pytest.raises(UserError, match=r"--engine compiled: .* has no step that can be compiled; take --engine auto"):
        choose_loop("compiled", density.model, 1)


def test_without_a_compiler_auto_is_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_compiler", lambda: False)
    model = GATED.build().model
    assert choose_loop("auto", model, 1) is None
    with pytest.raises(UserError, match=r"--engine compiled: this machine has no C\+\+ compiler; take --engine auto"):
        choose_loop("compiled", model, 1)


def test_auto_compiles_where_the_rest_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []

    def code(function: Any, tensors: Any, architecture: str, make: bool) -> Any:
        made.append(make)
        return uncompiled(function, tensors) if make else None

    monkeypatch.setattr(compiled, "machine_code", code)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr("ar_lightning.density.density.BATCH", 2)
    density = GATED.build()
    eager = density.sample(6, GATED.labels(6), generator=seeded(1), engine="eager")
    for seconds, expected in ((1e9, [False] * 3), (-1.0, [False, True, True])):
        made.clear()
        monkeypatch.setattr(compiled, "SECONDS", seconds)
        assert torch.equal(density.sample(6, GATED.labels(6), generator=seeded(1)), eager)
        assert made == expected


def test_a_compiler_that_fails_leaves_auto_eager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> None:
        raise RuntimeError("no omp.h\nsecond line")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine_code, "_compile", fails)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr(compiled, "SECONDS", -1.0)
    monkeypatch.setattr("ar_lightning.density.density.BATCH", 2)
    density, labels = GATED.build(), GATED.labels(6)
    eager = density.sample(6, labels, generator=seeded(1), engine="eager")
    assert torch.equal(density.sample(6, labels, generator=seeded(1)), eager)
    with pytest.raises(UserError, match=r"the step of the sampler does not compile here: no omp\.h$"):
        density.sample(6, labels, engine="compiled")


def test_code_is_of_all_settings_and_of_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that a module, such as a likelihood of the user's own, does not print."""
    keys: list[str] = []

    def code(function: Any, tensors: Any, architecture: str, make: bool) -> Any:
        keys.append(architecture)
        return uncompiled(function, tensors)

    monkeypatch.setattr(compiled, "machine_code", code)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    for seed, secret in ((0, 1), (1, 1), (0, 2)):
        density = GATED.build(seed=seed)
        density.likelihood.secret = secret
        density.sample(1, GATED.labels(1), engine="compiled")
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.slow
@pytest.mark.parametrize("model", EXPORTING)
def test_no_weight_is_a_constant_of_the_code(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are inputs, or the code would go on with those that it was made of."""
    programs = []

    def code(function: Any, tensors: Any, architecture: str, make: bool) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            examples = tuple(torch.zeros(t.shape, dtype=t.dtype) for t in tensors)
            every = machine_code._Of(function, examples, range(len(examples)))
            programs.append(torch.export.export(every, examples))
        return uncompiled(function, tensors)

    monkeypatch.setattr(compiled, "machine_code", code)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    case = next(case for case in LARGE_CASES if case.model == model)
    case.build().sample(1, case.labels(1), engine="compiled")
    assert [(dict(p.constants), dict(p.state_dict)) for p in programs[:1]] == [({}, {})]


@pytest.mark.slow
def test_compiled_code_serves_any_weights_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled.has_compiler():
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    case = next(case for case in LARGE_CASES if case.model == "gated_pixelcnn" and case.spec.shape[0] == 1)
    for seed in (0, 1):
        density = case.build(seed=seed)
        drawn = [density.sample(4, case.labels(4), generator=seeded(3), engine=e) for e in ("eager", "compiled")]
        assert torch.equal(*drawn)
    assert len(list(tmp_path.glob("ar_lightning/compiled/*/step.pt2"))) == 1
