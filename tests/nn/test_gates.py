"""The gate: tanh(a) * sigmoid(b), and its gradient."""

import pytest
import torch

from ar_lightning.nn.gates import Gate, gate


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


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("linked", [False, True])
def test_its_gradient_is_that_of_its_values(groups: int, linked: bool) -> None:
    torch.manual_seed(0)
    shape = (2, groups * 4, 2, 1)
    maps = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    link = torch.randn(shape, dtype=torch.float64, requires_grad=True) if linked else None
    assert torch.autograd.gradcheck(Gate.apply, (maps, groups, link))


def test_a_small_tanh_survives_bfloat16() -> None:
    maps = torch.tensor([1e-3, 0.0]).bfloat16().view(1, 2, 1)
    torch.testing.assert_close(gate(maps).item(), 5e-4, rtol=1e-2, atol=0)
