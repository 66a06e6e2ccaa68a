"""A code is of one engine, which its file names: compiled code gives back what went in, and eager files stay eager."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ar_lightning.config.registry import find
from ar_lightning.core.condition import as_condition
from ar_lightning.density import compiled
from ar_lightning.inference.codec import codec, coding
from ar_lightning.inference.codec import file as codec_file
from ar_lightning.inference.codec.codec import decode, encode, encode_by
from ar_lightning.inference.codec.file import FRAME, HEADER
from ar_lightning.models.base import RasterModel
from tests.support.cases import CONTEXT_CASES, EVERY_CASE, LARGE_CASES, Case, each, random_values
from tests.support.commands import QUICK, run_apart, run_here

EXPORTED = [
    case
    for case in EVERY_CASE + LARGE_CASES + CONTEXT_CASES
    if find("model", case.model).exports and case.spec.support != "mixed" and case.spec.levels
]
CODED = {(case.model, case.likelihood, case.spec.shape, case.conditional): case for case in EXPORTED}
GATED = next(case for case in EXPORTED if case.model == "gated_pixelcnn" and case.spec.levels == 2)
SEQUENCE = next(case for case in EXPORTED if case.model == "transformer" and case.spec.levels == 3)
BOTH = pytest.mark.parametrize("case", [GATED, SEQUENCE], ids=str)


def uncompiled(function: Callable[..., Any], tensors: Sequence[Tensor], *rest: Any) -> Callable[..., Any]:
    """Return the function that would be compiled."""
    return lambda given: function(*(t.view_as(t) for t in given))


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "machine_code", uncompiled)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)


@each(list(CODED.values()))
def test_what_compiled_steps_wrote_they_read(case: Case, in_python: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_size", lambda *args: 3)
    density, n = case.build(torch.float32), 5  # two batches, of which the second is smaller
    x, cond = random_values(case.spec, n), case.labels(n)
    given = as_condition(cond)
    for engine in ("compiled", "eager"):
        code = encode_by(engine, density, x, cond)
        assert code.engine == engine
        back = decode(density, code.data, n, context=given.context, engine=code.engine)
        assert torch.equal(back.x, x)
        with torch.no_grad():
            assert code.nats == pytest.approx(-float(density.log_prob(x, cond).double().sum()), rel=1e-5)


@BOTH
def test_auto_takes_one_engine_for_all(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first batch was without is coded again, if the others are worth compiling."""
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr(codec, "_size", lambda *args: 3)
    density, n = case.build(torch.float32), 9
    x, cond = random_values(case.spec, n), case.labels(n)
    kept: list[bool] = []

    def code(function: Any, tensors: Any, architecture: str, make: bool, *rest: Any) -> Any:
        return uncompiled(function, tensors) if make or kept[-1] else None

    monkeypatch.setattr(compiled, "machine_code", code)
    for there, seconds, expected in ((False, 1e9, "eager"), (False, -1.0, "compiled"), (True, 1e9, "compiled")):
        monkeypatch.setattr(compiled, "SECONDS", seconds)
        kept.append(there)
        coded: list[int] = []
        found = encode_by("auto", density, x, cond, progress=coded.append)
        assert found.engine == expected and sum(coded) == x.numel()
        assert found.data == encode(density, x, cond, engine=found.engine)


@BOTH
def test_a_compiler_that_fails_leaves_auto_eager(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> None:
        raise RuntimeError("no omp.h")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("ar_lightning.density.machine_code._compile", fails)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr(compiled, "SECONDS", -1.0)
    monkeypatch.setattr(codec, "_size", lambda *args: 2)
    density = case.build(torch.float32)
    x, cond = random_values(case.spec, 6), case.labels(6)
    code = encode_by("auto", density, x, cond)
    assert code.engine == "eager" and code.data == encode(density, x, cond)


@pytest.mark.parametrize("seconds", [1e9, -1.0], ids=["eager", "compiled"])
def test_code_for_a_part_of_the_step_writes_nothing_twice(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is kept where compiling was interrupted after the first group of channels."""
    case = next(
        c for c in EXPORTED if issubclass(find("model", c.model), RasterModel) and c.build().model.shapes.groups > 1
    )
    density, n = case.build(torch.float32), 5
    x, cond = random_values(case.spec, n), case.labels(n)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr(compiled, "any_code", lambda: True)
    monkeypatch.setattr(compiled, "SECONDS", seconds)
    monkeypatch.setattr(codec, "_size", lambda *args: 3)

    def code(step: Any, tensors: Any, architecture: str, make: bool, *rest: Any) -> Any:
        return uncompiled(step, tensors) if make or step.group == 0 else None

    monkeypatch.setattr(compiled, "machine_code", code)
    coded: list[int] = []
    found = encode_by("auto", density, x, cond, progress=coded.append)
    assert found.data == encode(density, x, cond, engine=found.engine) and sum(coded) == x.numel()
    assert found.engine == ("eager" if seconds > 0 else "compiled")


def test_a_code_is_read_by_a_certain_engine() -> None:
    density = GATED.build(torch.float32)
    with pytest.raises(ValueError, match="eager or compiled"):
        decode(density, b"", 1, engine="auto")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    small = ["model=pixelcnn", "model.hidden=8", "model.layers=2", "model.head=8"]
    assert run_here(*small, *QUICK, f"run_dir={folder}") == 0
    return folder


def engine_of(packed: Path) -> str:
    """Return the engine that a compressed file names."""
    return packed.read_bytes()[FRAME.size + HEADER.size :].split(b"\t")[2].decode().partition("%20")[0].split(" ")[0]


def packed_by(engine: str, run: Path, folder: Path) -> Path:
    packed = folder / f"{engine}.arl"
    assert run_here("compress", str(run), "data:test[:5]", "--out", str(packed), "--engine", engine) == 0
    assert engine_of(packed) == engine
    return packed


def unpacked(run: Path, packed: Path, *options: str) -> np.ndarray:
    out = packed.with_suffix(".npz")
    assert run_here("decompress", str(run), str(packed), "--out", str(out), *options) == 0
    with np.load(out) as arrays:
        return arrays["test"]  # type: ignore[no-any-return]


def test_a_file_is_read_by_the_engine_that_it_names(run: Path, tmp_path: Path, in_python: None) -> None:
    both = [unpacked(run, packed_by(engine, run, tmp_path)) for engine in ("eager", "compiled")]
    assert both[0].shape[0] == 5 and np.array_equal(*both)


def test_a_file_of_version_1_is_eager(run: Path, tmp_path: Path, in_python: None) -> None:
    """Which has no field for it."""
    packed = packed_by("eager", run, tmp_path)
    expected = unpacked(run, packed)
    head, line = packed.read_bytes()[FRAME.size :], b"\teager"
    body = head.replace(line, b"", 1)
    (tmp_path / "old.arl").write_bytes(FRAME.pack(b"ARL\x01", codec_file.zlib.crc32(body)) + body)
    assert np.array_equal(unpacked(run, tmp_path / "old.arl"), expected)


def test_without_a_compiler_a_compiled_file_is_one_line(
    run: Path, tmp_path: Path, in_python: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, eager = packed_by("compiled", run, tmp_path), packed_by("eager", run, tmp_path)
    monkeypatch.setattr(compiled, "has_compiler", lambda: False)
    capsys.readouterr()
    assert run_here("decompress", str(run), str(packed), "--out", str(tmp_path / "out.npz")) == 2
    error = capsys.readouterr().err
    assert "was compressed by compiled code, and this machine has no C++ compiler" in error and error.count("\n") == 1
    assert not (tmp_path / "out.npz").exists() and len(unpacked(run, eager)) == 5


def test_an_eager_file_is_not_said_to_be_compiled(
    run: Path, tmp_path: Path, in_python: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = packed_by("eager", run, tmp_path)
    asked = ("decompress", str(run), str(packed), "--out", str(tmp_path / "out.npz"), "--engine", "compiled")
    body = packed.read_bytes()[FRAME.size :].replace(b"\teager", b"", 1)
    for version, able, message in (
        (2, False, f"--engine compiled: this machine has no C++ compiler; {packed} was compressed by the eager one"),
        (1, True, "is of version 1, which is eager alone; take --engine auto"),
    ):
        monkeypatch.setattr(compiled, "has_compiler", lambda able=able: able)
        if version == 1:
            packed.write_bytes(FRAME.pack(b"ARL\x01", codec_file.zlib.crc32(body)) + body)
        capsys.readouterr()
        assert run_here(*asked) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "maker", "why"),
    [
        ((), "another", "compiled by other versions or for another processor"),
        ((), "the same", "the two round otherwise"),
        (("--engine", "eager"), "the same", "compressed by the compiled engine, and the eager one rounds otherwise"),
    ],
)
def test_another_rounding_is_one_line(
    options: tuple[str, ...], maker: str, why: str, run: Path, tmp_path: Path, in_python: None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(codec_file, "maker", lambda: "the")
    packed, exact = packed_by("compiled", run, tmp_path), coding.level_probs
    monkeypatch.setattr(codec_file, "maker", lambda: "the" if maker == "the same" else "other")
    monkeypatch.setattr(coding, "level_probs", lambda *args: exact(*args) + 1e-3)
    capsys.readouterr()
    assert run_here("decompress", str(run), str(packed), "--out", str(tmp_path / "out.npz"), *options) == 2
    error = capsys.readouterr().err
    assert "does not come out as it went in" in error and why in error and error.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.slow
def test_compiled_code_of_another_process_reads_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cache, and compiled anew."""
    if not compiled.has_compiler():
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packed, eager = packed_by("compiled", run, tmp_path), packed_by("eager", run, tmp_path)
    expected = unpacked(run, eager)
    for again in ("cached", "compiled"):
        run_apart("decompress", str(run), str(packed), "--out", str(tmp_path / f"{again}.npz"))
        with np.load(tmp_path / f"{again}.npz") as arrays:
            assert np.array_equal(arrays["test"], expected)
        shutil.rmtree(tmp_path / "cache")
