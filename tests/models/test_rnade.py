"""RNADE is its paper's equations, whatever the likelihood, and it trains to densities that are worth something."""

import pytest
import torch
from torch import Tensor

from ar_lightning.config.build import build_density
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from ar_lightning.models.rnade import RNADE


def built(spec: DataSpec, likelihood: str = "gaussian_mixture", **options: object) -> Density:
    torch.manual_seed(0)
    model = {"hidden": 9, "activation": "relu", "order": "raster", "order_seed": 0, "conditional": False}
    config = {"model": {"name": "rnade", **model, **options}, "likelihood": {"name": likelihood, "components": 3}}
    return build_density(config, spec)


def by_the_paper(model: RNADE, x: Tensor, labels: Tensor | None = None) -> Tensor:
    """A loop over the dimensions in their order, as the paper writes it: parameters `(B, P, D)`."""
    u = model.units
    a = u.c.expand(len(x), -1)
    if model.class_bias is not None:
        a = a + model.class_bias(labels)
    params: list[Tensor] = [torch.empty(0)] * x.shape[2]
    for i, d in enumerate(model.order.tolist()):
        scaled = u.rho[i] * a
        h = scaled.clamp(min=0) if u.f is torch.nn.functional.relu else 1 / (1 + (-scaled).exp())
        params[d] = h @ u.V[i].T + u.b[i]
        if i + 1 < x.shape[2]:
            a = a + x[:, 0, d, None] * u.W[i + 1, 0]
    return torch.stack(params, 2)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("order", ["raster", "random"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@torch.no_grad()
def test_the_equations_of_the_paper(activation: str, order: str, conditional: bool) -> None:
    density = built(DataSpec((1, 6), None, classes=4), activation=activation, order=order, conditional=conditional)
    density = density.double()
    for p in density.parameters():
        p += torch.randn_like(p)
    x = torch.randn(5, 1, 6, dtype=torch.float64)
    labels = torch.arange(5) % 4 if conditional else None
    assert torch.allclose(density.model(x, labels), by_the_paper(density.model, x, labels), atol=1e-13)


def test_density_integrates_to_one() -> None:
    density = built(DataSpec((1, 2), None), order="random").double().eval()
    for p in density.parameters():
        p.data += 0.3 * torch.randn_like(p)
    t = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(t, t)[:, None]
    with torch.no_grad():
        p = density.log_prob(grid).exp().view(601, 601)
    assert torch.trapezoid(torch.trapezoid(p, t), t).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("likelihood", ["gaussian_mixture", "laplace_mixture"])
def test_untrained_densities_are_sensible(likelihood: str) -> None:
    """Near the entropy of a standard normal on what standardised data look like, and every gradient alive."""
    density = built(DataSpec((1, 20), None), likelihood)
    x = torch.randn(200, 1, 20, generator=torch.Generator().manual_seed(1))
    loss = density.loss(x).mean()
    assert 1.2 < loss.item() / 20 < 3.4
    loss.backward()
    for name, p in density.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        assert p.grad.abs().max() > 0, name


def test_learns_a_density_that_no_gaussian_is() -> None:
    """x_2 is x_1^2 with noise: the entropy is known, a Gaussian is far from it."""
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> Tensor:
        one, noise = torch.randn(2, n, generator=generator)
        return torch.stack([one, one**2 + 0.3 * noise], 1)[:, None]

    density = built(DataSpec((1, 2), None), hidden=40)
    optimizer = torch.optim.Adam(density.parameters(), lr=1e-2)
    for _ in range(400):
        loss = density.loss(draw(128)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    normal = 0.5 * torch.tensor(2 * torch.pi * torch.e).log()
    entropy = 2 * normal + torch.tensor(0.3).log()
    gaussian = 2 * normal + 0.5 * torch.tensor(2 + 0.09).log()
    with torch.no_grad():
        nll = -density.eval().log_prob(draw(4000)).mean()
    assert entropy - 0.05 < nll < entropy + 0.15 < gaussian - 1
