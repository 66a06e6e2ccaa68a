"""Muon is PyTorch's on matrices, treats a kernel as the matrix it is, is Adam elsewhere, and resumes exactly."""

import copy

import pytest
import torch
from torch import Tensor, nn

from ar_lightning.training.muon import Muon, orthogonalize


def trained(params: list[Tensor], make: object, steps: int = 5) -> list[Tensor]:
    """Take steps along fixed random gradients."""
    generator = torch.Generator().manual_seed(1)
    params = [nn.Parameter(p.clone()) for p in params]
    optimizer = make(params)  # type: ignore[operator]
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return [p.detach() for p in params]


def test_matrices_move_as_with_pytorch() -> None:
    matrices = [torch.randn(6, 10), torch.randn(12, 4), torch.randn(6, 10)]
    options = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    ours = trained(matrices, lambda ps: Muon(ps, **options))
    theirs = trained(matrices, lambda ps: torch.optim.Muon(ps, adjust_lr_fn="match_rms_adamw", **options))
    for a, b, start in zip(ours, theirs, matrices, strict=True):
        moved = (b - start).norm()
        assert moved > 0.1
        assert (a - b).norm() < 0.03 * moved  # PyTorch's iteration is in bfloat16


def test_all_else_moves_as_with_adam() -> None:
    others = [torch.randn(7), torch.randn(1, 5), torch.randn(4, 1, 1, 1)]
    ours = trained(others, lambda ps: Muon(ps, lr=0.02, betas=(0.8, 0.9)))
    theirs = trained(others, lambda ps: torch.optim.Adam(ps, lr=0.02, betas=(0.8, 0.9)))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_kernels_are_matrices() -> None:
    kernel = torch.randn(8, 3, 2, 3)
    (a,), (b,) = (trained([k], lambda ps: Muon(ps, lr=0.1)) for k in (kernel, kernel.flatten(1)))
    torch.testing.assert_close(a.flatten(1), b)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (3, 32, 64)])
def test_singular_values(shape: tuple[int, ...]) -> None:
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.min() > 0.6 and values.max() < 1.3


def test_what_a_mask_hides_stays() -> None:
    gradient = torch.randn(6, 10)
    gradient[:, [2, 7]] = 0
    assert (orthogonalize(gradient)[:, [2, 7]] == 0).all()
    assert (orthogonalize(torch.zeros(3, 4)) == 0).all()


def test_resumes_exactly() -> None:
    params = [torch.randn(4, 6), torch.randn(3)]
    whole = trained(params, lambda ps: Muon(ps, lr=0.1), steps=6)

    generator = torch.Generator().manual_seed(1)
    half = [nn.Parameter(p.clone()) for p in params]
    optimizer = Muon(half, lr=0.1)
    for step in range(6):
        if step == 3:
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer = Muon(half, lr=0.5)
            optimizer.load_state_dict(saved)
        for p in half:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    for a, b in zip(whole, half, strict=True):
        assert torch.equal(a, b)
