"""Functions of tensors as machine code, kept in the user's cache.

`torch.export` traces a function once, and AOTInductor compiles it: nothing of Python is left inside, nor are guards.
All tensors are inputs, weights too, so that the code serves any weights.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

import ar_lightning
from ar_lightning.core.errors import UserError, first_line
from ar_lightning.core.files import write_bytes
from ar_lightning.core.notice import notice

__all__ = ["SECONDS", "Code", "any_code", "deterministic_algorithms", "has_compiler", "machine_code", "maker"]

SECONDS = 60.0  # that compiling takes, about
PACKAGE = Path(ar_lightning.__file__).parent
INPUTS = "inputs.json"  # which of the tensors the code reads
Code = Callable[[Sequence[Tensor]], Any]  # returns a list of tensors
LOADED: dict[Path, Code] = {}


def has_compiler() -> bool:
    """Return whether this machine has a C++ compiler."""
    return any(shutil.which(c) for c in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def any_code() -> bool:
    """Return whether there is any in the cache."""
    return _cache().is_dir() and any(_cache().iterdir())


@cache
def maker() -> str:
    """Return a short digest of what makes the code: this program, PyTorch, the compiler and the processor."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # takes long

    compiler = get_cpp_compiler()
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    what = json.dumps([_program(), torch.__version__, compiler, version, _processor()])
    return hashlib.sha256(what.encode()).hexdigest()[:8]


def machine_code(
    function: nn.Module, tensors: Sequence[Tensor], architecture: str, make: bool = True, longest: int | None = None
) -> Code | None:  # fmt: skip
    """Return the compiled form of a function of tensors on the CPU, which it may change in place.

    Args:
        function: called with the tensors, one by one; it returns a tensor, or several in a tuple.
        tensors: an example of these, for their shapes and strides. The code takes as many that are alike.
        architecture: all else that the function depends on.
        make: compile it if it is not in the cache; else None is returned then.
        longest: the length of the first tensor is from 2 up to this; None where it is as in the example.

    Raises:
        UserError: the compiler fails, or what is in the cache cannot be loaded.
    """
    shapes = [(str(t.dtype), tuple(t.shape), t.stride()) for t in tensors]
    if longest:
        shapes[0] = (str(tensors[0].dtype), (longest,), (1,))
    key = json.dumps([_program(), torch.__version__, _processor(), architecture, shapes])
    folder = _cache() / hashlib.sha256(key.encode()).hexdigest()[:32]
    if folder not in LOADED:
        there = (folder / INPUTS).exists()
        if not there and not make:
            return None
        try:
            if not there:
                _compile(function, tensors, folder, longest)
            LOADED[folder] = _loaded(folder)
        except Exception as error:  # of the compiler, the linker or the loader
            shutil.rmtree(folder, ignore_errors=True)  # what is damaged is made anew the next time
            if _is_ours(error) or isinstance(error, UserError):  # of a file that cannot be written
                raise
            raise UserError(f"the step of the sampler does not compile here: {first_line(error)}") from error
    return LOADED[folder]


def _is_ours(error: Exception) -> bool:
    """Whether an error is a mistake in the code of this program, of which a step is made."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).is_relative_to(PACKAGE)
    return ours and isinstance(error, (TypeError, AttributeError, NameError, LookupError))


def _loaded(folder: Path) -> Code:
    inputs = json.loads((folder / INPUTS).read_bytes())
    loader = torch._inductor.aoti_load_package(str(folder / "step.pt2")).loader

    def run(tensors: Sequence[Tensor]) -> Any:
        return loader.run([tensors[i] for i in inputs])

    return run


def _compile(function: nn.Module, tensors: Sequence[Tensor], folder: Path, longest: int | None) -> None:
    """Compile a function of tensors into a folder, of those alone that it reads."""
    notice("compiling the step of the sampler, once for this architecture; it takes about a minute")
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        deterministic_algorithms(False),  # all are on one thread, and others are slow at writing in place
    ):
        examples = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype).zero_() for t in tensors]
        lengths: Any = [None] * len(examples)
        if longest:
            examples[0], lengths[0] = examples[0].new_zeros(longest // 2 + 1), {0: Dim("length", min=2, max=longest)}

        def exported(read: Sequence[int]) -> ExportedProgram:
            needed, dynamic = tuple(examples[i] for i in read), tuple(lengths[i] for i in read)
            return export(_Of(function, examples, read), needed, dynamic_shapes=(dynamic,))

        nodes = [node for node in exported(range(len(examples))).graph.nodes if node.op == "placeholder"]
        read = [i for i, node in enumerate(nodes[-len(examples) :]) if node.users]
        package = io.BytesIO()  # PyTorch ends the process where a file has no room
        settings = {"cpp.threads": 1}  # a step is too small to share
        torch._inductor.aoti_compile_and_package(exported(read), package_path=package, inductor_configs=settings)
    write_bytes(package.getvalue(), folder / "step.pt2")
    write_bytes(json.dumps(read).encode(), folder / INPUTS)


@contextmanager
def deterministic_algorithms(use: bool) -> Iterator[None]:
    """Let PyTorch take deterministic algorithms alone, or any."""
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(use)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


class _Of(nn.Module):
    """A function of some of its tensors; it does not read the others."""

    def __init__(self, function: nn.Module, examples: Sequence[Tensor], read: Sequence[int]) -> None:
        super().__init__()
        self.function, self.examples, self.read = function, tuple(examples), tuple(read)

    def forward(self, *tensors: Tensor) -> Any:
        every = list(self.examples)
        for i, t in zip(self.read, tensors, strict=True):
            every[i] = t
        return self.function(*every)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "ar_lightning" / "compiled"


@cache
def _program() -> str:
    """Return a digest of the code of this program that a step may be made of."""
    digest = hashlib.sha256()
    for folder in ("nn", "models", "likelihoods", "density"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _processor() -> str:
    """Return what the code is compiled for: the processor and its instructions."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else [platform.processor(), platform.machine()]
    chosen = {line for line in lines if line.startswith(("flags", "Features", "model name"))} or set(lines)
    return "\n".join(sorted(chosen))
