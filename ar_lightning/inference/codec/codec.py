"""A lossless code from any density over levels: `-log p(x)` nats as that many bits in a file.

A range coder spends `-log2 p(x_i | x_<i)` bits on value x_i, and needs the same conditional to read it again: the same
to the last bit, or all that follows is lost. A parallel forward pass rounds in another order than one that reads value
after value, and a decoder has nothing but the values before. So both sides run the sampler's loop: where it would draw
a value, one writes it and the other reads it. They do so by the same engine, in batches of the same size, on the CPU,
on one thread, with deterministic algorithms, and the tables of probabilities are made of the network's outputs in
float64.

A mixture of K members has conditionals of its own only where all have one order. It is coded as it is sampled instead:
a member for each example, which costs log K nats, then the example under that member, the best one. That is at most
log K nats an example more than `-log p(x)`.

The coder: Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979, as
implemented in `constriction` (Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems (ANS)", 2022).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import constriction
import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.condition import Condition, Given, as_condition
from ar_lightning.core.fields import Engine
from ar_lightning.density.compiled import choose_loop
from ar_lightning.density.density import Density
from ar_lightning.density.machine_code import deterministic_algorithms
from ar_lightning.inference.codec.coding import Code, Coding, Progress
from ar_lightning.nn.attention import CausalSelfAttention
from ar_lightning.nn.rounding import FORM, rounding_of

__all__ = ["Decoded", "Encoded", "check_codable", "decode", "encode", "encode_by"]

BATCH = {1: 256, 2: 1024, 3: 1024}  # examples coded side by side; part of the form: kernels may round by their number
ATTENDING = 256  # of models that remember all before, of which more take memory and no less time
TABLE = 2**21  # probabilities that a step may compute: many levels are coded in smaller batches
STEP = 2.0**-24  # of the fixed point in which probabilities are coded
SLACK = 64  # bits that a code may be shorter than the information in it: two words of the coder's state
FAMILY = constriction.stream.model.Categorical(perfect=False)  # no level has a probability of 0


class Encoded(NamedTuple):
    """Encoded examples."""

    data: bytes
    nats: float  # `-log p` of all examples together
    engine: Engine  # that computed the probabilities, `eager` or `compiled`: the decoder needs the same


class Decoded(NamedTuple):
    """Decoded examples."""

    x: Tensor  # data values `(N, C, *sites)`
    labels: Tensor | None  # `(N,)` of a conditional density, else None


def encode(
    density: Density, x: Tensor, cond: Given = None, length: int | None = None, progress: Progress | None = None,
    engine: Engine = "eager",
) -> bytes:  # fmt: skip
    """Return examples, and the labels that they are given, as bytes: about `-log2 p(x | cond) / 8` of them.

    Vectors that they are given are not among these bytes: the decoder has to be given the same.

    Args:
        density: over levels.
        x: data values `(N, C, *sites)`.
        cond: labels `(N,)` of a conditional density: log2(classes) bits each; with vectors, a `Condition` of both.
        length: number of values to code, in their order in `x`; those after it are 0, and take no bits. Null for all.
        progress: called with the number of values that were just coded, of `N * spec.dims` in all.
        engine: how steps run, as of `Density.sample`; the decoder needs the same. `encode_by` tells which `auto` took.

    Raises:
        UserError: `engine="compiled"`, and the model or the machine cannot.
        ValueError: wrong shape, values outside the support, labels missing, or a density that is no code (see
            `check_codable`).
    """
    return encode_by(engine, density, x, cond, length, progress).data


def encode_by(
    engine: Engine, density: Density, x: Tensor, cond: Given = None, length: int | None = None,
    progress: Progress | None = None,
) -> Encoded:  # fmt: skip
    """Return what `encode` does, and which engine and how many nats that was."""
    check_codable(density)
    density.check_values(x)
    density.check_condition(len(x), cond)
    loop, given = choose_loop(engine, density, len(x)), as_condition(cond)
    while True:
        writer = _Writer()
        try:
            nats, _ = _code(density, writer, len(x), x.long(), given, length, progress, FORM, loop)
            break
        except _Again:
            loop = loop if loop and loop.make and loop.able else None
    if density.model.members == 1:
        nats = writer.nats - (len(x) * math.log(density.model.classes) if density.conditional else 0)
    data = bytes(writer.encoder.get_compressed().astype("<u4").tobytes())
    return Encoded(data, nats, "compiled" if loop and loop.found else "eager")


class _Again(Exception):
    """All is to be of one engine: compiled code would save time after all, or there was some for a part of the step."""


class _Writer:
    """Writes symbols, and adds up the nats of them."""

    def __init__(self) -> None:
        self.encoder = constriction.stream.queue.RangeEncoder()
        self.nats = 0.0

    def __call__(self, probs: Tensor, symbols: Tensor | None) -> Tensor:
        assert symbols is not None
        self.nats -= float(probs.gather(1, symbols[:, None]).log().sum())
        self.encoder.encode(symbols.numpy().astype(np.int32), FAMILY, probs.contiguous().numpy())
        return symbols


class _Reader:
    """Reads symbols, as long as there are bits left for them."""

    def __init__(self, data: bytes) -> None:
        self.decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        self.left = 8.0 * len(data) + SLACK  # bits: past its end, a code reads as zeros, and would go on for ever

    def __call__(self, probs: Tensor, symbols: Tensor | None) -> Tensor:
        try:
            symbols = torch.from_numpy(self.decoder.decode(FAMILY, probs.contiguous().numpy())).long()
        except AssertionError as error:  # the coder's word for a state that no message leads to
            raise ValueError(f"no code of this density ({error})") from None
        spent = probs.gather(1, symbols[:, None]) + 2 * STEP  # what it was coded with, or more
        self.left += float(spent.clamp_(max=1).log2_().sum())
        if self.left < 0:
            raise ValueError("this code ends before its values do")
        return symbols


def decode(
    density: Density, data: bytes, n: int, length: int | None = None, progress: Progress | None = None,
    context: Tensor | None = None, engine: Engine = "eager", form: int = FORM,
) -> Decoded:  # fmt: skip
    """Return the examples that `encode` compressed, bit for bit.

    It has to run on the same kind of machine and version of PyTorch: another one may round a conditional otherwise, and
    then decodes something else without noticing. Compiled code may also round otherwise in another version of this
    program, or by another C++ compiler.

    Args:
        density: the one that encoded it.
        data: the bytes that `encode` returned.
        n: number of examples.
        length: as given to `encode`.
        progress: as for `encode`.
        context: the vectors `(n, F)` that the examples were given, where the density reads such.
        engine: the one that encoded it, `eager` or `compiled`.
        form: that of the code: versions up to 0.2 wrote form 1, which is eager, of smaller batches and of tables that
            are normalised once more.

    Raises:
        UserError: `engine="compiled"`, and the model or the machine cannot.
        ValueError: vectors missing, bytes that no encoder wrote, or a density that is no code (see `check_codable`).
    """
    check_codable(density)
    if engine == "auto":
        raise ValueError("a code is read by the engine that wrote it: eager or compiled")
    if density.model.context and (context is None or context.shape != (n, density.model.context)):
        raise ValueError(f"this density reads vectors: give `context` {(n, density.model.context)}")
    if len(data) % 4:
        raise ValueError(f"a code is a whole number of 32-bit words, not {len(data)} bytes")
    reader = _Reader(data)
    values = n * density.spec.dims if length is None else length
    if density.spec.ends:
        values = n  # at least: how many more, the code will tell
    # No level has more than what one step leaves to each of the others.
    if values * math.log2(math.e) * ((density.spec.levels or 1) - 1) * STEP > reader.left:
        raise ValueError("this code is too short for so many values")
    loop = choose_loop(engine if form > 1 else "eager", density, n)
    _, (x, labels) = _code(density, reader, n, None, Condition(None, None, context), length, progress, form, loop)
    return Decoded(x.clone(), None if labels is None else labels.clone())  # which a training may read


def check_codable(density: Density) -> None:
    """Raise ValueError if a density cannot encode data losslessly: real values, features, or not on the CPU."""
    if density.spec.levels is None:
        noise = "; train it without data.dequantise" if density.spec.quantised else ""
        raise ValueError(f"{density.spec} cannot be coded: a real value takes infinitely many bits{noise}")
    if density.model.features:
        raise ValueError("this density is given features, which the decoder would not have")
    if density.device.type != "cpu":
        raise ValueError(f"coding takes the rounding of the CPU: move the density there from {density.device}")


@torch.inference_mode()
def _code(
    density: Density, code: Code, n: int, x: Tensor | None, given: Condition, length: int | None,
    progress: Progress | None, form: int, loop: Any,
) -> tuple[float, Decoded]:  # fmt: skip
    """Write or read n examples, in the order that both sides keep: all labels, then batch after batch.

    Memory is taken batch by batch: of a code that is read, n may be anything. Also return the nats of a mixture.
    """
    spec, members, nats = density.spec, density.model.members, 0.0
    length = n * spec.dims if length is None else length
    told: list[Tensor] = []
    parts: list[Tensor] = []
    coded = 0

    def update(values: int) -> None:
        nonlocal coded
        coded += values
        if progress:
            progress(values)

    with _deterministic(density), rounding_of(form):
        for rows in _batches(n, BATCH[1]) if density.conditional else []:
            told.append(_uniform(code, rows, density.model.classes, _part(given.labels, rows)))
        known = torch.cat(told) if told else None
        for rows in _batches(n, _size(density, form)):
            here, values = Condition(_part(known, rows), None, _part(given.context, rows)), _part(x, rows)
            ends = torch.arange(rows.start * spec.dims, rows.stop * spec.dims).view(-1, spec.dims) >= length
            padding = ends if ends.any() else None
            best = None
            if values is not None and members > 1:
                scores = _of_members(density, values, here, ends)
                best = scores.argmax(0)
                nats -= float((scores.logsumexp(0) - math.log(members)).sum())
            chosen = (_uniform(code, rows, members, best) + 0.5) / members  # the quantile of that member
            flat = None if values is None else values.flatten(1)
            draw = Coding(density, code, len(ends), flat, padding, update, form)
            blank = torch.zeros(len(ends), *spec.shape, dtype=torch.long)
            parts.append(density.fill(draw, blank, here, chosen[:, None, None], loop=loop))
            if loop and not (loop.always or loop.found):
                if (loop.make and loop.able) or coded > rows.stop * spec.dims:  # some by the code that there is
                    update(-coded)
                    raise _Again
                loop = None  # and so are all other batches
    return nats, Decoded(torch.cat(parts), known)


def _size(density: Density, form: int) -> int:
    """Return how many examples are coded side by side."""
    attends = any(isinstance(m, CausalSelfAttention) for m in density.model.modules())
    most = ATTENDING if attends else BATCH[form]
    return max(1, min(most, TABLE // (density.spec.levels or 1)))


def _batches(n: int, size: int) -> Iterator[slice]:
    """Return the slices of n examples that are coded together."""
    return (slice(start, min(n, start + size)) for start in range(0, n, size))


def _part(t: Tensor | None, rows: slice) -> Tensor | None:
    return None if t is None else t[rows]


def _uniform(code: Code, rows: slice, k: int, symbols: Tensor | None) -> Tensor:
    """Code a symbol of k that are equally likely for each of some examples."""
    n = rows.stop - rows.start
    return code(torch.full((n, k), 1 / k, dtype=torch.double), symbols) if k > 1 else torch.zeros(n, dtype=torch.long)


def _of_members(density: Density, x: Tensor, given: Condition, padding: Tensor) -> Tensor:
    """Return the log-probability that each member gives each example, `(K, B)` nats, without padding `(B, D)`."""
    terms = (density.terms(x, given, k).double().flatten(1) for k in range(density.model.members))
    return torch.stack([t.masked_fill(padding, 0).sum(1) for t in terms])


@contextmanager
def _deterministic(density: Density) -> Iterator[None]:
    """Let the density give the same numbers to the last bit, whenever it is given the same."""
    unread: Any = torch.utils.deterministic
    threads, training, filled = torch.get_num_threads(), density.training, unread.fill_uninitialized_memory
    torch.set_num_threads(1)  # sums are split among threads
    unread.fill_uninitialized_memory = False
    density.eval()
    try:
        with deterministic_algorithms(True):
            yield
    finally:
        density.train(training)
        unread.fill_uninitialized_memory = filled
        torch.set_num_threads(threads)
