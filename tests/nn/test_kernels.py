"""Every hand-written kernel equals its reference, in value and in every gradient, in float64."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ar_lightning.nn.kernels import dilated, nade, nade_compiled
from ar_lightning.nn.kernels.elu import concat_elu
from ar_lightning.nn.kernels.gate import gate
from ar_lightning.nn.kernels.lstm_scans import DiagonalScan, RowScan
from ar_lightning.nn.kernels.staircase import Staircase, edges, reads, staircase
from ar_lightning.nn.lstm import diagonal_reference, row_reference
from ar_lightning.nn.masked import spread_degrees


class Pair(NamedTuple):
    """A kernel and its reference, both functions of `inputs`, and the inputs."""

    kernel: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: list[Tensor]


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def gates(groups: int, linked: bool) -> Pair:
    def reference(maps: Tensor, link: Tensor | None = None) -> Tensor:
        a, b = (maps if link is None else maps + link).unflatten(1, (groups, 2, -1)).unbind(2)
        return (torch.tanh(a) * torch.sigmoid(b)).flatten(1, 2)

    maps = [numbers(2, groups * 4, 2, 3) for _ in range(1 + linked)]
    return Pair(lambda maps, link=None: gate(maps, groups, link), reference, maps)


def elus() -> Pair:
    return Pair(concat_elu, lambda x: F.elu(torch.cat([x, -x], 1)), [numbers(2, 3, 4, 5)])


def stairs(hidden: int, tokens: int, biased: bool) -> Pair:
    below, degrees = torch.arange(tokens).repeat_interleave(2), spread_degrees(hidden, tokens + 1)
    blocks = staircase(degrees, below)
    assert len(blocks) > 1 and blocks[0][1].stop < blocks[-1][1].stop == len(below)
    masks = [mask.double() for mask in edges(degrees, below, blocks)]
    return Pair(
        lambda x, weight, bias=None: Staircase.apply(x, weight, bias, blocks, *masks),
        lambda x, weight, bias=None: F.linear(x, weight * reads(degrees, below), bias),
        [numbers(3, len(below)), numbers(hidden, len(below)), *([numbers(hidden)] if biased else [])],
    )


KEPT = torch.tensor([[0.0, 2.0, 2.0, 0.0, 2.0], [2.0] * 5, [0.0] * 5])  # of 3 examples and 5 hidden units


def nade_inputs(sites: int, inputs: int, params: int) -> list[Tensor]:
    batch, hidden = 3, 5
    weights = numbers(sites, inputs, hidden), numbers(sites, params, hidden), numbers(sites, params)
    return [numbers(sites, batch, inputs), *weights, numbers(batch, hidden)]


def prefix(sites: int, activation: str, inputs: int, params: int, dropping: bool = False) -> Pair:
    kept = KEPT if dropping else None
    return Pair(
        lambda *t: nade.Prefix.apply(*t, activation, 4, kept),
        lambda *t: nade.reference(*t, activation, kept)[0],
        nade_inputs(sites, inputs, params),
    )


def compiled_prefix(sites: int, activation: str, dropping: bool = False) -> Pair:
    """The blocks as Python runs them, not compiled; they give no gradient of the values."""
    past, *weights = nade_inputs(sites, 1, 1)
    kept = KEPT if dropping else None
    return Pair(
        lambda *t: nade_compiled.CompiledPrefix.apply(past.detach(), *t, activation, 4, kept),
        lambda *t: nade.reference(past.detach(), *t, activation, kept)[0],
        weights,
    )


def rows_of_lstms(kernel: int, H: int, W: int) -> Pair:
    h, channels = 2, 3
    read = (kernel // 2 + 1) * channels + kernel * h
    return Pair(
        lambda *t: RowScan.apply(*t, kernel),
        partial(row_reference, kernel=kernel),
        [numbers(2, channels, H, W), numbers(4 * h, read), numbers(4 * h, 1), numbers(h, 1), numbers(h, 1)],
    )


def diagonals_of_lstms(H: int, W: int) -> Pair:
    h, channels = 2, 3

    def reference(v: Tensor, *weights: Tensor) -> Tensor:
        there, back = (diagonal_reference(x, *(t[k] for t in weights)) for k, x in enumerate((v, v.flip(3))))
        return there + F.pad(back.flip(3)[:, :, :-1], (0, 0, 1, 0))

    weights = numbers(2, 4 * h, channels + 2 * h), numbers(2, 4 * h, 1), numbers(2, h, 1), numbers(2, h, 1)
    return Pair(DiagonalScan.apply, reference, [numbers(2, channels, H, W), *weights])


def layers(kernel: int, shift: int, masked: bool, last: bool) -> Pair:
    n, channels = 7, 3
    mask = (torch.rand(n, channels) < 0.5).double() * 2 if masked else None

    def of(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, h, W, R=None: f(x, h, W, R, mask, shift)

    inputs = [numbers(n, channels), numbers(n, 2 * channels), numbers(kernel * channels, 2 * channels)]
    residual = [] if last else [numbers(channels, channels)]
    return Pair(of(dilated.DilatedLayer.apply), of(dilated.reference), [*inputs, *residual])


SIZES = [(4, 5), (1, 3), (3, 1)]  # rows, columns
PAIRS: dict[str, Callable[[], Pair]] = {
    **{f"gate-{g}-{linked}": partial(gates, g, linked) for g in (1, 3) for linked in (False, True)},
    "concat_elu": elus,
    **{f"staircase-{biased}": partial(stairs, 600, 400, biased) for biased in (False, True)},
    **{
        f"nade-{f}-{n}-{e}x{p}": partial(prefix, n, f, e, p)
        for f in ("sigmoid", "relu")
        for n in (1, 4, 7, 8)
        for e, p in ((1, 1), (3, 2))
    },
    **{f"nade_compiled-{f}-{n}": partial(compiled_prefix, n, f) for f in ("sigmoid", "relu") for n in (1, 4, 7, 8)},
    **{f"nade-{f}-{n}-dropping": partial(prefix, n, f, 3, 2, True) for f in ("sigmoid", "relu") for n in (1, 7)},
    **{f"nade_compiled-{f}-dropping": partial(compiled_prefix, 7, f, True) for f in ("sigmoid", "relu")},
    **{f"row_lstm-{k}-{H}x{W}": partial(rows_of_lstms, k, H, W) for k in (1, 3, 5) for H, W in SIZES},
    **{f"diagonal_lstm-{H}x{W}": partial(diagonals_of_lstms, H, W) for H, W in SIZES},
    **{
        f"dilated-{k}-{shift}-{masked}-{last}": partial(layers, k, shift, masked, last)
        for k, shift in ((1, 1), (2, 2), (3, 2), (3, 5))
        for masked in (False, True)
        for last in (False, True)
    },
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_kernel_is_its_reference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nade_compiled, "compiled", lambda block: block)
    torch.manual_seed(0)
    kernel, reference, inputs = PAIRS[name]()
    ours, expected = kernel(*inputs), reference(*inputs)
    torch.testing.assert_close(ours, expected)
    several = isinstance(ours, tuple)
    direction = [torch.randn_like(t) for t in (expected if several else [expected])]
    gradients = [
        torch.autograd.grad(out if several else [out], inputs, direction, materialize_grads=True)
        for out in (ours, expected)
    ]
    torch.testing.assert_close(*gradients)
