"""The linear map of many rows: that of `torch.nn.Linear`, with its gradients, whichever way it is computed."""

import pytest
import torch
from torch import nn

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
