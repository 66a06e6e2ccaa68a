"""The scans of PixelRNN's LSTMs: the values of the paper's equations, and the gradients of these."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ar_lightning.nn.kernels.lstm_scans import DiagonalScan, RowScan
from ar_lightning.nn.lstm import DiagonalLSTMLayer, RowLSTMLayer
from benchmarks.plain.pixels import DiagonalLayer, RowLayer

SIZES = [(4, 5), (5, 4), (1, 3), (3, 1), (1, 1)]  # rows, columns
LAYERS = {
    "row": (RowLSTMLayer, RowLayer),
    "row of 5": (partial(RowLSTMLayer, kernel=5), RowLayer),
    "row of 1": (partial(RowLSTMLayer, kernel=1), RowLayer),
    "diagonal": (DiagonalLSTMLayer, DiagonalLayer),
}


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def arguments(read: int, H: int, W: int, h: int, channels: int, both: tuple[int, ...]) -> tuple[Any, ...]:
    weights = numbers(*both, 4 * h, read), numbers(*both, 4 * h, 1), numbers(*both, h, 1), numbers(*both, h, 1)
    return numbers(2, channels, H, W), *weights


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_gradients_of_rows_are_those_of_the_values(kernel: int, H: int, W: int) -> None:
    torch.manual_seed(0)
    h, channels = 2, 3
    given = arguments((kernel // 2 + 1) * channels + kernel * h, H, W, h, channels, ())
    assert torch.autograd.gradcheck(RowScan.apply, (*given, kernel), raise_exception=True)


@pytest.mark.parametrize(("H", "W"), SIZES)
def test_gradients_of_diagonals_are_those_of_the_values(H: int, W: int) -> None:
    torch.manual_seed(0)
    h, channels = 2, 3
    given = arguments(channels + 2 * h, H, W, h, channels, (2,))
    assert torch.autograd.gradcheck(DiagonalScan.apply, given, raise_exception=True)


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_the_one_of_the_paper(kind: str, H: int, W: int) -> None:
    torch.manual_seed(0)
    ours, plain = LAYERS[kind]
    layer = ours(4, 3).double()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.5)
    reference = plain(layer).double()
    v = numbers(3, 4, H, W)
    out, expected = layer(v), reference(v)
    torch.testing.assert_close(out, expected)
    direction = torch.randn_like(out)
    gradients = [torch.autograd.grad((o * direction).sum(), v)[0] for o in (out, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("kind", LAYERS)
def test_under_autocast_the_cell_is_precise(kind: str) -> None:
    """Inputs are rounded to bfloat16, and nothing else on the way."""
    torch.manual_seed(0)
    layer = LAYERS[kind][0](4, 3)
    v = torch.randn(2, 4, 6, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(v)
        rounded.float().sum().backward()
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), layer(v.float()), atol=4e-3, rtol=4e-3)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
