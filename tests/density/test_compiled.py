"""The compiled engine draws what the eager one draws, and is chosen where it can be and pays."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ar_lightning.config.registry import MODELS, find
from ar_lightning.core.condition import Condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.density import compiled, machine_code
from ar_lightning.density.compiled import choose_loop
from ar_lightning.density.loops import group_of
from ar_lightning.models.base import RasterModel
from ar_lightning.nn.rotary import rotate, turns
from tests.support.cases import (
    CONTEXT_CASES,
    ENDS_CASES,
    EVERY_CASE,
    LARGE_CASES,
    MIXED_CASES,
    Case,
    each,
    random_values,
    seeded,
)

EXPORTING = [name for name in MODELS if find("model", name).exports]
EXPORTED = [
    case
    for case in EVERY_CASE + LARGE_CASES + CONTEXT_CASES
    if case.model in EXPORTING and case.spec.support != "mixed"
]
GATED = next(case for case in EXPORTED if case.model == "gated_pixelcnn" and case.spec.levels == 2)
SEQUENCE = next(case for case in EXPORTED if case.model == "transformer" and case.spec.levels == 3)


def uncompiled(
    function: Callable[..., Any], tensors: Sequence[torch.Tensor], *rest: Any
) -> Callable[[Sequence[torch.Tensor]], Any]:
    """Return the function that would be compiled."""
    return lambda given: function(*(t.view_as(t) for t in given))


def replayed(
    function: Callable[..., Any], tensors: Sequence[torch.Tensor], *rest: Any
) -> Callable[[Sequence[torch.Tensor]], Any]:
    """Return what a CUDA graph does: the function over the very memory that it was captured with."""
    kept = [t.view_as(t) for t in tensors]

    def run(given: Sequence[torch.Tensor]) -> Any:
        assert [t.data_ptr() for t in given] == [t.data_ptr() for t in kept]
        return function(*kept)

    return run


@each([case for case in EXPORTED if issubclass(find("model", case.model), RasterModel)])
def test_a_step_can_be_replayed_over_the_same_memory(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "machine_code", replayed)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    density, cond = case.build(), case.labels(3)
    drawn = [density.sample(3, cond, generator=seeded(3), engine=e) for e in ("eager", "compiled")]
    assert torch.allclose(*drawn, rtol=0, atol=0 if case.spec.levels else 1e-8)


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
    assert choose_loop("auto", density, 1) is None and choose_loop("eager", density, 1) is None
    with pytest.raises(UserError, match=r"--engine compiled: .* has no step that can be compiled; take --engine auto"):
        choose_loop("compiled", density, 1)


@pytest.mark.parametrize("case", [
    case for case in (*ENDS_CASES, *MIXED_CASES) if case.model in EXPORTING
], ids=str)  # fmt: skip
def test_data_whose_steps_differ_have_none(case: Case) -> None:
    """Examples end at different tokens, or columns are of different kinds."""
    density = case.build()
    assert choose_loop("auto", density, 1) is None
    with pytest.raises(UserError, match=r"has no step that can be compiled for such data; take --engine auto"):
        choose_loop("compiled", density, 1)


@pytest.mark.parametrize("spec", [DataSpec((1, 9), 4, features=2), DataSpec((3, 4), 5, features=2)], ids=str)
def test_features_of_the_sites_are_read(spec: DataSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "machine_code", uncompiled)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    density = Case("wavenet", "categorical", spec, {"local": True}).build()
    cond = Condition(None, torch.randn(3, 2, *spec.shape[1:], generator=seeded()))
    one, two = (density.sample(3, cond, generator=seeded(1), engine=e) for e in ("eager", "compiled"))
    assert torch.equal(one, two)
    other = Condition(None, -10 * cond.features)  # type: ignore[operator]
    assert not torch.equal(two, density.sample(3, other, generator=seeded(1), engine="compiled"))


@pytest.mark.parametrize("known", [0, 1, 5, 15, 16])
def test_what_is_known_at_the_start_is_read_before(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "machine_code", uncompiled)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    for model in ("transformer", "wavenet", "rnn"):
        case = next(case for case in LARGE_CASES if case.model == model and case.spec.dims == 16)
        density, cond = case.build(), case.labels(3)
        mask = torch.zeros(16, dtype=torch.bool)
        mask[density.model.order[:known]] = True
        given = random_values(case.spec, 3), mask.view(case.spec.shape)
        chosen: list[int] = []
        eager = density.sample(3, cond, *given, generator=seeded(1), engine="eager")
        drawn = density.sample(3, cond, *given, generator=seeded(1), progress=chosen.append, engine="compiled")
        assert torch.equal(drawn, eager) and sum(chosen) == 3 * 16


def test_without_a_compiler_auto_is_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_compiler", lambda: False)
    density = GATED.build()
    assert choose_loop("auto", density, 1) is None
    with pytest.raises(UserError, match=r"--engine compiled: this machine has no C\+\+ compiler; take --engine auto"):
        choose_loop("compiled", density, 1)


@pytest.mark.parametrize("case", [GATED, SEQUENCE], ids=str)
def test_auto_compiles_where_the_rest_takes_longer(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []

    def code(function: Any, tensors: Any, architecture: str, make: bool, *rest: Any) -> Any:
        made.append(make)
        return uncompiled(function, tensors) if make else None

    monkeypatch.setattr(compiled, "machine_code", code)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr("ar_lightning.density.density.BATCH", 3)  # not a power of two
    density = case.build()
    eager = density.sample(9, case.labels(9), generator=seeded(1), engine="eager")
    for seconds, any_code, expected in (
        (1e9, True, [False]), (1e9, False, []), (-1.0, True, [False, True, True]), (-1.0, False, [True, True])
    ):  # fmt: skip
        made.clear()
        monkeypatch.setattr(compiled, "SECONDS", seconds)
        monkeypatch.setattr(compiled, "any_code", lambda found=any_code: found)
        assert torch.equal(density.sample(9, case.labels(9), generator=seeded(1)), eager)
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


def test_a_full_cache_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch would end the process, could it not write the file itself."""

    def no_room(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        torch._inductor, "aoti_compile_and_package", lambda _, package_path, **to: package_path.write(b"")
    )
    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(UserError, match=r"step\.pt2: No space left on device; make room there, or name another place$"):
        machine_code.machine_code(torch.nn.ReLU(), [torch.zeros(2)], "relu")
    assert not list(tmp_path.rglob("compiled/*"))


def test_a_mistake_of_ours_is_none_of_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return group_of(None, 0, 2)  # type: ignore[no-any-return]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(TypeError, match="not iterable"):
        machine_code.machine_code(Wrong(), [torch.zeros(2)], "wrong")
    assert not list(tmp_path.rglob("compiled/*"))


@pytest.mark.parametrize("features", [6, 7])
def test_rotary_positions_are_the_same_without_complex_numbers(features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which compilers do not know."""
    x = torch.randn(3, features, dtype=torch.float64, generator=seeded())
    turn = turns(torch.arange(3, dtype=torch.float64)[:, None], features, 100.0)
    exact = rotate(x, turn)
    monkeypatch.setattr("torch.compiler.is_exporting", lambda: True)
    monkeypatch.setattr(torch, "view_as_complex", None)
    assert torch.allclose(rotate(x, turn), exact, rtol=0, atol=1e-12) and not torch.equal(exact, x)


def test_code_is_of_all_settings_and_of_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that a module, such as a likelihood of the user's own, does not print."""
    keys: list[str] = []

    def code(function: Any, tensors: Any, architecture: str, make: bool, *rest: Any) -> Any:
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

    def code(function: Any, tensors: Any, architecture: str, make: bool, *rest: Any) -> Any:
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
@pytest.mark.parametrize(("model", "steps"), [
    ("gated_pixelcnn", 1), ("transformer", 1), ("pixelcnnpp", 3), ("deep_nade", 1)
])  # fmt: skip
def test_compiled_code_serves_any_weights_and_is_kept(
    model: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled.has_compiler():
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    case = next(case for case in LARGE_CASES if case.model == model and case.spec.shape[0] == 1)
    for seed in (0, 1):
        density = case.build(seed=seed)
        drawn = [density.sample(4, case.labels(4), generator=seeded(3), engine=e) for e in ("eager", "compiled")]
        assert torch.equal(*drawn)
    assert len(list(tmp_path.glob("ar_lightning/compiled/*/step.pt2"))) == steps  # one for each resolution
