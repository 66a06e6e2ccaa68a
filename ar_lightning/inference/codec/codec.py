"""A lossless code from any density over levels: `-log p(x)` nats as that many bits in a file.

A range coder spends `-log2 p(x_i | x_<i)` bits on value x_i, and needs the same conditional to read it again: the same
to the last bit, or all that follows is lost. A parallel forward pass rounds in another order than one that reads value
after value, and a decoder has nothing but the values before. So both sides run the sampler's loop: where it would draw
a value, one writes it and the other reads it. They do so in batches of the same size, on the CPU, on one thread, with
deterministic algorithms, and the tables of probabilities are made of the network's outputs in float64.

A mixture of K members has conditionals of its own only where all have one order. It is coded as it is sampled instead:
a member for each example, which costs log K nats, then the example under that member, the best one. That is at most
log K nats an example more than `-log p(x)`.

The coder: Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979, as
implemented in `constriction` (Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems (ANS)", 2022).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import constriction
import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.condition import Condition, Given, as_condition
from ar_lightning.density.density import Density
from ar_lightning.density.draw import Draw, site_index

__all__ = ["Decoded", "check_codable", "decode", "encode", "level_probs"]

BATCH = 256  # examples coded side by side; part of the format, since kernels may round otherwise in another batch
TABLE = 2**21  # probabilities that a step may compute: many levels are coded in smaller batches
STEP = 2.0**-24  # of the fixed point in which probabilities are coded
SLACK = 64  # bits that a code may be shorter than the information in it: two words of the coder's state
FAMILY = constriction.stream.model.Categorical(perfect=False)  # no level has a probability of 0

Code = Callable[[np.ndarray, Tensor | None], Tensor]  # probabilities `(n, K)` and what to write to the `(n,)` coded
Progress = Callable[[int], Any]


class Decoded(NamedTuple):
    """Decoded examples."""

    x: Tensor  # data values `(N, C, *sites)`
    labels: Tensor | None  # `(N,)` of a conditional density, else None


def encode(
    density: Density, x: Tensor, cond: Given = None, length: int | None = None, progress: Progress | None = None
) -> bytes:
    """Return examples, and the labels that they are given, as bytes: about `-log2 p(x | cond) / 8` of them.

    Vectors that they are given are not among these bytes: the decoder has to be given the same.

    Args:
        density: over levels.
        x: data values `(N, C, *sites)`.
        cond: labels `(N,)` of a conditional density: log2(classes) bits each; with vectors, a `Condition` of both.
        length: number of values to code, in their order in `x`; those after it are 0, and take no bits. Null for all.
        progress: called with the number of values that were just coded, of `N * spec.dims` in all.

    Raises:
        ValueError: wrong shape, values outside the support, labels missing, or a density that is no code (see
            `check_codable`).
    """
    check_codable(density)
    density.check_values(x)
    density.check_condition(len(x), cond)
    encoder = constriction.stream.queue.RangeEncoder()

    def write(probs: np.ndarray, symbols: Tensor | None) -> Tensor:
        assert symbols is not None
        encoder.encode(symbols.numpy().astype(np.int32), FAMILY, probs)
        return symbols

    given = as_condition(cond)
    _code(density, write, len(x), x.long(), given.labels, given.context, length, progress)
    return bytes(encoder.get_compressed().astype("<u4").tobytes())


def decode(
    density: Density, data: bytes, n: int, length: int | None = None, progress: Progress | None = None,
    context: Tensor | None = None,
) -> Decoded:  # fmt: skip
    """Return the examples that `encode` compressed, bit for bit.

    It has to run on the same kind of machine and version of PyTorch: another one may round a conditional otherwise, and
    then decodes something else without noticing.

    Args:
        density: the one that encoded it.
        data: the bytes that `encode` returned.
        n: number of examples.
        length: as given to `encode`.
        progress: as for `encode`.
        context: the vectors `(n, F)` that the examples were given, where the density reads such.

    Raises:
        ValueError: vectors missing, bytes that no encoder wrote, or a density that is no code (see `check_codable`).
    """
    check_codable(density)
    if density.model.context and (context is None or context.shape != (n, density.model.context)):
        raise ValueError(f"this density reads vectors: give `context` {(n, density.model.context)}")
    if len(data) % 4:
        raise ValueError(f"a code is a whole number of 32-bit words, not {len(data)} bytes")
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
    left = 8.0 * len(data) + SLACK  # bits: past its end, a code reads as zeros, and would go on for ever
    values = n * density.spec.dims if length is None else length
    if density.spec.ends:
        values = n  # at least: how many more, the code will tell
    # No level has more than what one step leaves to each of the others.
    if values * math.log2(math.e) * ((density.spec.levels or 1) - 1) * STEP > left:
        raise ValueError("this code is too short for so many values")

    def read(probs: np.ndarray, symbols: Tensor | None) -> Tensor:
        nonlocal left
        try:
            symbols = torch.from_numpy(decoder.decode(FAMILY, probs)).long()
        except AssertionError as error:  # the coder's word for a state that no message leads to
            raise ValueError(f"no code of this density ({error})") from None
        spent = probs[np.arange(len(probs)), symbols.numpy()] + 2 * STEP  # what it was coded with, or more
        left += float(np.log2(spent.clip(max=1)).sum())
        if left < 0:
            raise ValueError("this code ends before its values do")
        return symbols

    x, labels = _code(density, read, n, None, None, context, length, progress)
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


def level_probs(density: Density, params: Tensor, earlier: Tensor | None = None) -> Tensor:
    """Return the probability of every level of one value, `(N, K)` float64, given what the network says `(N, P)`.

    Where the channels of a site are joint, `earlier` `(N, c)` are those of its group before; None for the first.
    """
    c = 0 if earlier is None else earlier.shape[1]
    group = torch.zeros(len(params), density.spec.shape[0] if density.likelihood.joint else 1, 1, dtype=torch.long)
    if earlier is not None:
        group[:, :c] = earlier[..., None]
    distribution: Any = density.likelihood.distribution(params.double()[..., None], group)
    return distribution.probs[:, c, 0]


class _Coding(Draw):
    """Writes the value of a site, of `x` `(B, D)`, or reads it, where the sampler would draw it; but for padding."""

    def __init__(
        self, density: Density, code: Code, x: Tensor | None, padding: Tensor, progress: Progress | None
    ) -> None:
        no_noise = padding.new_zeros(len(padding), 0)
        super().__init__(
            density.likelihood, no_noise, dtype=density.dtype, progress=progress, end=density.spec.end
        )  # fmt: skip
        self.density, self.code, self.x, self.padding = density, code, x, padding

    def of(self, rows: Tensor) -> "_Coding":
        """Return the coding of some of the examples."""
        x = None if self.x is None else self.x[rows]
        return _Coding(self.density, self.code, x, self.padding[rows], self.progress)

    def __call__(self, params: Tensor, site: int | Tensor, earlier: Tensor | None = None) -> Tensor:
        """Return the values `(B,)` of a site, given its parameters `(B, P)`."""
        probs = level_probs(self.density, params, earlier).numpy()
        if not np.isfinite(probs).all():
            raise ValueError("the density gives no probabilities but NaN: it has diverged in training")
        here = site_index(site)
        over = torch.zeros_like(self.padding[here]) if self.over is None else self.over
        coded = ~(self.padding[here] | over)
        values = torch.where(over, self.nothing, 0)
        values[coded] = self.code(probs[coded.numpy()], None if self.x is None else self.x[here][coded])
        return values


@torch.inference_mode()
def _code(
    density: Density, code: Code, n: int, x: Tensor | None, labels: Tensor | None, context: Tensor | None,
    length: int | None, progress: Progress | None,
) -> Decoded:  # fmt: skip
    """Write or read n examples, in the order that both sides keep: all labels, then batch after batch.

    Memory is taken batch by batch: of a code that is read, n may be anything.
    """
    spec, members = density.spec, density.model.members
    length = n * spec.dims if length is None else length
    told: list[Tensor] = []
    parts: list[Tensor] = []
    with _deterministic(density):
        for rows in _batches(n, BATCH) if density.conditional else []:
            told.append(_uniform(code, rows, density.model.classes, None if labels is None else labels[rows]))
        known = torch.cat(told) if told else None
        for rows in _batches(n, max(1, min(BATCH, TABLE // (spec.levels or 1)))):
            given = Condition(*(None if t is None else t[rows] for t in (known, None, context)))
            best = None if x is None else _best_members(density, x[rows], given)
            chosen = (_uniform(code, rows, members, best) + 0.5) / members  # the quantile of that member
            padding = torch.arange(rows.start * spec.dims, rows.stop * spec.dims).view(-1, spec.dims) >= length
            draw = _Coding(density, code, None if x is None else x[rows].flatten(1), padding, progress)
            blank = torch.zeros(len(padding), *spec.shape, dtype=torch.long)
            parts.append(density.fill(draw, blank, given, chosen[:, None, None]))
    return Decoded(torch.cat(parts), known)


def _batches(n: int, size: int) -> Iterator[slice]:
    """Return the slices of n examples that are coded together."""
    return (slice(start, min(n, start + size)) for start in range(0, n, size))


def _uniform(code: Code, rows: slice, k: int, symbols: Tensor | None) -> Tensor:
    """Code a symbol of k that are equally likely for each of some examples."""
    n = rows.stop - rows.start
    return code(np.full((n, k), 1 / k), symbols) if k > 1 else torch.zeros(n, dtype=torch.long)


def _best_members(density: Density, x: Tensor, given: Condition) -> Tensor:
    """Return which member `(B,)` gives each example the highest probability."""
    scores = [density.terms(x, given, k).flatten(1).sum(1) for k in range(density.model.members)]
    return torch.stack(scores).argmax(0)


@contextmanager
def _deterministic(density: Density) -> Iterator[None]:
    """Let the density give the same numbers to the last bit, whenever it is given the same."""
    threads, training = torch.get_num_threads(), density.training
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)  # sums are split among threads
    torch.use_deterministic_algorithms(True)
    density.eval()
    try:
        yield
    finally:
        density.train(training)
        torch.use_deterministic_algorithms(before, warn_only=warns)
        torch.set_num_threads(threads)
