"""The LSTM layers of PixelRNN: the values of the paper's equations, and their gradients."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

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
    names, weights = zip(*layer.named_parameters(), strict=True)

    def of(v: Tensor, *weights: Tensor) -> Tensor:
        mapped: Tensor = functional_call(layer, dict(zip(names, weights, strict=True)), v)
        return mapped

    assert torch.autograd.gradcheck(of, (v, *weights), fast_mode=True)


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
