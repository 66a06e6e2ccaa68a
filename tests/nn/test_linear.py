"""The linear map of many rows or pixels is the one of PyTorch, with its gradients, whichever way it is computed."""

import pytest
import torch
from torch import nn

from ar_lightning.nn.conv import Pointwise, batch_last
from ar_lightning.nn.kernels.rows_linear import LARGE, RowsLinear

ROWS = {"few": (5, 3), "one": (1,), "many": (2477, 3), "as many as stay": (LARGE // 16,), "a list": (7919,)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sites", ROWS.values(), ids=ROWS)
def test_it_is_a_linear_map(sites: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    ours, theirs = (m(16, 24, bias=bias, dtype=dtype) for m in (RowsLinear, nn.Linear))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(*sites, 16, dtype=dtype, requires_grad=True)
    a, b = ours(x), theirs(x)
    assert a.shape == b.shape
    assert torch.allclose(a, b, atol=1e-5)
    weights = torch.randn_like(b)
    gradients = [torch.autograd.grad((y * weights).sum(), [x, *m.parameters()]) for y, m in ((a, ours), (b, theirs))]
    assert all(torch.allclose(p, q, rtol=1e-4, atol=1e-3) for p, q in zip(*gradients, strict=True))


def test_rows_may_lie_anywhere() -> None:
    x = torch.randn(40, 3000).t()
    layer = RowsLinear(40, 8)
    assert torch.allclose(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-5)


@pytest.mark.parametrize("rows", [4, 4000])
def test_autocast_gives_bfloat16(rows: int) -> None:
    layer, x = RowsLinear(16, 8), torch.randn(rows, 16)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), layer(x), atol=0.05)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_of_maps_with_the_batch_last_a_1x1_convolution_is_the_same(bias: bool, colours: int) -> None:
    torch.manual_seed(0)
    layer = Pointwise(6, 9, bias=bias, colours=colours).double()
    maps = torch.randn(2, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    found = [layer.parallel(x) for x in (maps, batch_last(maps))]
    assert found[1].permute(1, 2, 3, 0).is_contiguous()
    torch.testing.assert_close(*found)
    gradients = [torch.autograd.grad(out.sin().sum(), (maps, *layer.parameters())) for out in found]
    torch.testing.assert_close(*gradients)
