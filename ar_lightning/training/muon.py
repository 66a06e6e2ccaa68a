r"""Muon: momentum, orthogonalised, for the matrices of a network; Adam for all else.

    M_t = mu M_{t-1} + (1 - mu) G_t,    U_t = (1 - mu) G_t + mu M_t,    W_t = W_{t-1} - lr 0.2 sqrt(max(n, k)) orth(U_t)

`orth` replaces the singular values of an `(n, k)` matrix by ones, roughly: five steps of Newton and Schulz's iteration.
A step then moves all directions of a matrix alike, where the gradient's few large singular values would take it all.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale, by which lr means as much as
Adam's, is of Liu et al., "Muon is Scalable for LLM Training", 2025. Kernels `(out, in, kh, kw)` are matrices
`(out, in * kh * kw)`, as there. PyTorch's `torch.optim.Muon` takes matrices only, and one after another; here those of
one shape, as the layers of a residual network have them, are one product.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ar_lightning.core.fields import Decay, NonNegativeFloat, PositiveFloat

__all__ = ["Muon", "orthogonalize"]

# The authors' quintic: steepest at zero, so that five steps take all but tiny singular values near one.
A, B, C = 3.4445, -4.7750, 2.0315
STEPS = 5


class Muon(Optimizer):
    """Muon: orthogonalised momentum for matrices and kernels, Adam for the rest.

    Args:
        params: of the model; what has a single row or column is no matrix.
        lr: learning rate of both.
        momentum: decay of the running mean of a matrix's gradient.
        betas: decay of Adam's running means of the gradient and of its square.
        eps: added to Adam's denominator.
        weight_decay: decay of the weights per step, times lr.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: PositiveFloat = 3e-3,
        momentum: Decay = 0.95,
        betas: tuple[Decay, Decay] = (0.9, 0.99),
        eps: PositiveFloat = 1e-8,
        weight_decay: NonNegativeFloat = 0.0,
    ) -> None:
        params = list(params)
        groups = [{"params": [p for p in params if is_matrix(p) == kind], "matrices": kind} for kind in (True, False)]
        options = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update all parameters with gradients; return the loss of the closure, if one is given."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            (self._orthogonal_step if group["matrices"] else self._adam_step)(params, group)
        return loss

    def _orthogonal_step(self, params: list[nn.Parameter], group: dict[str, Any]) -> None:
        same: defaultdict[Any, list[nn.Parameter]] = defaultdict(list)
        for p in params:
            same[p.shape, p.dtype, p.device].append(p)
        for alike in same.values():
            means = [self._mean(p, "mean") for p in alike]
            grads = [p.grad for p in alike if p.grad is not None]
            torch._foreach_lerp_(means, grads, 1 - group["momentum"])
            updates = torch._foreach_lerp(grads, means, group["momentum"])
            directions = orthogonalize(torch.stack(updates).flatten(2))  # (layers, out, in * kh * kw)
            scale = -group["lr"] * 0.2 * max(directions.shape[1:]) ** 0.5
            torch._foreach_add_(tuple(alike), list(directions.view(-1, *alike[0].shape)), alpha=scale)

    def _adam_step(self, params: list[nn.Parameter], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for p in params:
            grad: Any = p.grad
            mean, square = self._mean(p, "mean").lerp_(grad, 1 - beta1), self._mean(p, "square")
            square.lerp_(grad.square(), 1 - beta2)
            t = self.state[p]["steps"] = self.state[p].get("steps", 0) + 1
            deviation = (square / (1 - beta2**t)).sqrt() + group["eps"]
            p.addcdiv_(mean, deviation, value=-group["lr"] / (1 - beta1**t))

    def _mean(self, p: nn.Parameter, name: str) -> Tensor:
        state = self.state[p]
        if name not in state:
            state[name] = torch.zeros_like(p)
        mean: Tensor = state[name]
        return mean


def is_matrix(p: Tensor) -> bool:
    """Return whether a parameter, its last dimensions flattened, is a matrix of more than one row and column."""
    return p.ndim >= 2 and min(p.shape[0], p[0].numel()) > 1


def orthogonalize(matrices: Tensor) -> Tensor:
    """Bring the singular values of `(..., n, k)` matrices near one: between 0.6 and 1.3, unless they are tiny.

    Rows and columns of zeros stay zeros.
    """
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x if wide else x.mT
