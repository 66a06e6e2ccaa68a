"""The gate: tanh(a) * sigmoid(b), in any precision."""

import pytest
import torch

from ar_lightning.nn.kernels.gate import gate


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("groups", [1, 3])
def test_it_is_what_it_says(groups: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, groups * 4, 3, 2).to(dtype)
    link = torch.randn(2, groups * 4, 3, 2).to(dtype)
    a, b = (maps + link).unflatten(1, (groups, 2, 2)).unbind(2)
    expected = (torch.tanh(a) * torch.sigmoid(b)).flatten(1, 2)
    torch.testing.assert_close(gate(maps, groups, link), expected)
    assert not gate(maps, groups).isclose(expected).all(), "what is added counts"


def test_a_small_tanh_survives_bfloat16() -> None:
    maps = torch.tensor([1e-3, 0.0]).bfloat16().view(1, 2, 1)
    torch.testing.assert_close(gate(maps).item(), 5e-4, rtol=1e-2, atol=0)
