"""Optimizers and learning-rate schedules by name; their keyword arguments are their config keys."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, ReduceLROnPlateau

from ar_lightning.core.fields import Decay, Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat

__all__ = ["adagrad", "adam", "adamw", "constant", "cosine", "exponential", "plateau", "rmsprop", "sgd"]

Parameters = Iterable[nn.Parameter]


def adam(
    params: Parameters,
    *,
    lr: PositiveFloat = 1e-3,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0,
) -> Optimizer:
    """Adam.

    Args:
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: L2 penalty, part of the gradient.
    """
    return _fused(torch.optim.Adam, params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def adamw(
    params: Parameters,
    *,
    lr: PositiveFloat = 1e-3,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.01,
) -> Optimizer:
    """Adam with decoupled weight decay.

    Args:
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: decay of the weights per step, times lr.
    """
    return _fused(torch.optim.AdamW, params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def rmsprop(
    params: Parameters,
    *,
    lr: PositiveFloat = 1e-3,
    alpha: Decay = 0.99,
    eps: PositiveFloat = 1e-8,
    momentum: Decay = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
) -> Optimizer:
    """RMSProp, the PixelRNN paper's choice.

    Args:
        lr: learning rate.
        alpha: decay of the running mean of the squared gradient.
        eps: added to the denominator.
        momentum: momentum.
        weight_decay: L2 penalty, part of the gradient.
    """
    return torch.optim.RMSprop(params, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


def sgd(
    params: Parameters,
    *,
    lr: PositiveFloat = 1e-2,
    momentum: Decay = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegativeFloat = 0.0,
) -> Optimizer:
    """Stochastic gradient descent with momentum.

    Args:
        lr: learning rate.
        momentum: momentum.
        nesterov: Nesterov's variant; needs momentum.
        weight_decay: L2 penalty, part of the gradient.
    """
    return torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def adagrad(
    params: Parameters,
    *,
    lr: PositiveFloat = 1e-2,
    lr_decay: NonNegativeFloat = 0.0,
    eps: PositiveFloat = 1e-10,
    weight_decay: NonNegativeFloat = 0.0,
) -> Optimizer:
    """Adagrad, the MADE paper's choice.

    Args:
        lr: learning rate.
        lr_decay: decay of the learning rate with the steps.
        eps: added to the denominator.
        weight_decay: L2 penalty, part of the gradient.
    """
    return torch.optim.Adagrad(params, lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay)


def constant(optimizer: Optimizer, steps: int, *, warmup_steps: NonNegativeInt = 0) -> dict[str, Any] | None:
    """The learning rate as it is, after an optional linear warm-up.

    Args:
        warmup_steps: steps over which the learning rate rises from zero.
    """
    return _per_step(LambdaLR(optimizer, lambda t: _warmup(t, warmup_steps))) if warmup_steps else None


def cosine(
    optimizer: Optimizer, steps: int, *, warmup_steps: NonNegativeInt = 0, final: NonNegativeFloat = 0.0
) -> dict[str, Any]:
    """Linear warm-up, then half a cosine down to the end of training.

    Args:
        warmup_steps: steps over which the learning rate rises from zero.
        final: learning rate at the end, as a fraction of lr.
    """

    def factor(t: int) -> float:
        progress = min(max(t - warmup_steps, 0) / max(steps - warmup_steps, 1), 1.0)
        return _warmup(t, warmup_steps) * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))

    return _per_step(LambdaLR(optimizer, factor))


def exponential(optimizer: Optimizer, steps: int, *, gamma: Fraction = 0.999995) -> dict[str, Any]:
    """Multiply the learning rate by gamma at every step.

    Args:
        gamma: factor per step.
    """
    return _per_step(ExponentialLR(optimizer, gamma))


def plateau(optimizer: Optimizer, steps: int, *, factor: Decay = 0.5, patience: NonNegativeInt = 5) -> dict[str, Any]:
    """Lower the learning rate whenever the validation score stops improving.

    Args:
        factor: what to multiply the learning rate by.
        patience: validations without improvement to wait for.
    """
    scheduler = ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
    return {"scheduler": scheduler, "interval": "epoch", "monitor": "val/nll"}


def _fused(kind: Callable[..., Optimizer], params: Parameters, **options: Any) -> Optimizer:
    """Make an optimizer that updates a parameter in one pass over it, where PyTorch can: on a CPU and on CUDA."""
    params = list(params)
    optimizer = kind(params, fused=all(p.device.type in ("cpu", "cuda") for p in params) or None, **options)
    # Else Lightning, for an optimizer that says to unscale gradients itself, refuses to clip them in mixed precision.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def _per_step(scheduler: Any) -> dict[str, Any]:
    return {"scheduler": scheduler, "interval": "step"}


def _warmup(t: int, warmup_steps: int) -> float:
    return min((t + 1) / warmup_steps, 1.0) if warmup_steps else 1.0
