"""Mixtures of densities against PyTorch's own, their tempered draws, and how their components start."""

import pytest
import torch
from torch.distributions import Categorical, Laplace, MixtureSameFamily, Normal

from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.mixtures import GaussianMixture, LaplaceMixture, Mixture
from tests.support.cases import seeded

REAL = DataSpec((2, 3), None)
KINDS = [(GaussianMixture, Normal), (LaplaceMixture, Laplace)]


@pytest.mark.parametrize(("kind", "family"), KINDS)
def test_log_prob_is_the_mixture_s(kind: type[Mixture], family: type) -> None:
    likelihood = kind(REAL, components=4, floor=0.01)
    params = torch.randn(5, 2 * 12, 3, generator=seeded(1), dtype=torch.float64)
    x = 3 * torch.randn(5, 2, 3, generator=seeded(2), dtype=torch.float64)
    logits, means, raw = params.view(5, 2, 3, 4, 3).transpose(3, 4).unbind(2)  # (B, C, T, M)
    scales = torch.nn.functional.softplus(raw) + 0.01
    mixture = MixtureSameFamily(Categorical(logits=logits), family(means + likelihood.places, scales))
    assert torch.allclose(likelihood.log_prob(params, x), mixture.log_prob(x), atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_components_start_apart_and_cover_a_standard_normal(kind: type[Mixture]) -> None:
    likelihood = kind(REAL, components=9)
    assert len(likelihood.places.unique()) == 9
    x = torch.randn(1000, 2, 3, generator=seeded(1))
    params = torch.zeros(1000, 2 * likelihood.params, 3)
    nll = -likelihood.log_prob(params, x).mean()
    assert nll < 1.6  # a standard normal has 1.42 nats
    params.requires_grad_()
    likelihood.log_prob(params, x).sum().backward()
    assert params.grad is not None
    means = params.grad.view(1000, 2, 3, 9, 3)[:, :, 1].sum((0, 1, 3))
    assert len(means.unique()) == 9, "components with the same gradients would stay the same for ever"


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_far_tails_keep_their_score_and_gradient(kind: type[Mixture]) -> None:
    likelihood = kind(DataSpec((1, 1), None), components=3)
    params = torch.zeros(1, 9, 1, requires_grad=True)
    score = likelihood.log_prob(params, torch.full((1, 1, 1), 1e4))
    score.sum().backward()
    assert params.grad is not None
    assert torch.isfinite(score).all() and torch.isfinite(params.grad).all() and params.grad.abs().max() > 0


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_extreme_noise_gives_finite_draws(kind: type[Mixture]) -> None:
    likelihood = kind(DataSpec((1, 1), None), components=2)
    noise = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    for temperature in (1.0, 0.1, 3.0):
        assert torch.isfinite(likelihood.sample(torch.zeros(4, 6), noise, temperature)).all()


@pytest.mark.parametrize(("kind", "power"), [(GaussianMixture, 0.5), (LaplaceMixture, 1.0)])
@pytest.mark.parametrize("temperature", [0.02, 0.3, 4.0])
def test_a_single_tempered_component_is_itself_with_another_scale(
    kind: type[Mixture], power: float, temperature: float
) -> None:
    likelihood = kind(DataSpec((1, 1), None), components=1, floor=1.0)
    params = torch.tensor([[0.0, 2.0, -50.0]], dtype=torch.float64).expand(999, 3)  # mean 2, scale 1
    u = torch.arange(1, 1000, dtype=torch.float64) / 1000
    drawn = likelihood.sample(params, torch.stack([u, u], 1), temperature)
    expected = 2 + temperature**power * likelihood.quantile(u)
    assert ((drawn - expected).abs() / temperature**power).max() < 0.02


def test_what_is_no_real_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.dequantise=true"):
        GaussianMixture(DataSpec((1, 3), 4))
    likelihood = GaussianMixture(REAL)
    with pytest.raises(ValueError, match="NaN"):
        likelihood.check(torch.tensor([0.0, float("nan")]))
