"""The discretized logistic mixture is a distribution over the levels, exactly, and draws follow it."""

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.logistic import DiscretizedLogisticMixture
from tests.support.cases import seeded
from tests.support.marks import slow_but

M = 4
DRAWS = 40_000
GREY, RGB = 1, 3


def mixture(levels: int, channels: int) -> DiscretizedLogisticMixture:
    return DiscretizedLogisticMixture(DataSpec((channels, 1), levels), mixtures=M)


def random_params(channels: int, n: int = 1, seed: int = 0, log_scale: float = -1.0, spread: float = 1.0) -> Tensor:
    """Parameters `(n, P, 1)` in float32 of logistics with about these scales, whose means are up to `spread` away."""
    parts = torch.randn(n, 1 + 2 * channels + channels * (channels - 1) // 2, M, 1, generator=seeded(seed))
    parts[:, 1 : 1 + channels] *= spread
    parts[:, 1 + channels : 1 + 2 * channels] = 0.3 * parts[:, 1 + channels : 1 + 2 * channels] + log_scale
    return parts.flatten(1, 2)


def every_pixel(levels: int, channels: int) -> Tensor:
    return torch.cartesian_prod(*[torch.arange(levels)] * channels).view(-1, channels, 1)


def by_differences(params: Tensor, x: Tensor, levels: int) -> Tensor:
    """The equations of the paper as they stand, in float64: `(B, C)`, each channel joint with those before.

    Differences of sigmoids lose digits where they are small.
    """
    channels, params = x.shape[1], params.double()[..., 0].unflatten(1, (-1, M))
    weights = params[:, 0].softmax(1)
    values = 2 * x[..., 0].double() / (levels - 1) - 1
    joint = []
    for c in range(channels):
        mean = params[:, 1 + c]
        for j in range(c):
            k = 1 + 2 * channels + c * (c - 1) // 2 + j
            mean = mean + params[:, k].tanh() * values[:, j, None]
        scale = params[:, 1 + channels + c].clamp(min=-7).exp()
        above = torch.sigmoid((values[:, c, None] + 1 / (levels - 1) - mean) / scale)
        below = torch.sigmoid((values[:, c, None] - 1 / (levels - 1) - mean) / scale)
        above = torch.where(x[:, c] == levels - 1, 1.0, above)
        below = torch.where(x[:, c] == 0, 0.0, below)
        weights = weights * (above - below)
        joint.append(weights.sum(1).log())
    return torch.stack(joint, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("levels", "channels"), [(2, 1), (3, 1), (5, 1), (17, 1), (256, 1), (2, 3), (3, 3), (5, 3)])
@pytest.mark.parametrize("log_scale", [-20.0, -3.0, 0.0, 6.0, 60.0])
@pytest.mark.parametrize("spread", [0.5, 30.0])
def test_probabilities_sum_to_one(
    levels: int, channels: int, log_scale: float, spread: float, dtype: torch.dtype
) -> None:
    x = every_pixel(levels, channels)
    for seed in range(5):
        params = random_params(channels, seed=seed, log_scale=log_scale, spread=spread).to(dtype)
        log_p = mixture(levels, channels).log_prob(params.expand(len(x), -1, -1), x)
        assert log_p.dtype == dtype and log_p.shape == x.shape
        total = log_p.sum((1, 2)).double().logsumexp(0).exp().item()
        assert total == pytest.approx(1, abs=2e-6 if dtype == torch.float32 else 1e-13)


def test_half_precision_parameters_are_scored_in_float32() -> None:
    assert mixture(5, 3).log_prob(random_params(3).bfloat16(), torch.zeros(1, 3, 1)).dtype == torch.float32


@pytest.mark.parametrize(("levels", "channels"), [(2, 1), (17, 1), (256, 1), (3, 3), (256, 3)])
@pytest.mark.parametrize("log_scale", [-20.0, -4.0, -1.0, 2.0])
def test_agrees_with_differences_of_sigmoids(levels: int, channels: int, log_scale: float) -> None:
    n = 4000
    params = random_params(channels, n, log_scale=log_scale)
    x = draw_pixels(mixture(levels, channels), params, n)[..., None]
    reference = by_differences(params, x, levels)
    log_p = mixture(levels, channels).log_prob(params.double(), x)[..., 0].cumsum(1)
    conditioned = reference > -20  # what the reference has digits for
    assert conditioned.float().mean() > 0.9
    assert (log_p - reference)[conditioned].abs().max() < 1e-6
    single = mixture(levels, channels).log_prob(params, x)[..., 0].cumsum(1)
    # Means that depend on other channels are rounded to float32, and small scales enlarge that.
    tolerance = 1e-5 if channels == GREY or log_scale > -20 else 3e-4
    assert ((single - log_p).abs() / log_p.abs().clamp(min=1)).max() < tolerance


def test_no_probability_is_lost_far_from_every_mean() -> None:
    params = torch.tensor([0.0, 30.0, -7.0]).view(1, 3, 1)
    likelihood = DiscretizedLogisticMixture(DataSpec((1, 1), 256), mixtures=1)
    x = torch.arange(256).view(-1, 1, 1)
    log_p = likelihood.log_prob(params.expand(256, -1, -1), x)[:, 0, 0]
    assert log_p[255] == 0 and log_p[0].item() == pytest.approx(-(31 - 1 / 255) * 7.0 * torch.e**7 / 7, rel=1e-6)
    assert (log_p.diff() > 0).all()


@pytest.mark.parametrize("channels", [GREY, RGB])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_gradients_are_finite_whatever_the_parameters(channels: int, size: float) -> None:
    for levels in (2, 17, 256):
        x = torch.randint(levels, (2000, channels, 1), generator=seeded(3))
        params = (random_params(channels, 2000) * size * torch.rand(2000, 1, 1, generator=seeded(4))).requires_grad_()
        log_p = mixture(levels, channels).log_prob(params, x)
        (gradient,) = torch.autograd.grad(log_p.sum(), params)
        assert log_p.isfinite().all() and gradient.isfinite().all()


@pytest.mark.parametrize("channels", [GREY, RGB])
def test_gradients_are_those_of_the_density(channels: int) -> None:
    likelihood, x = mixture(5, channels), torch.randint(5, (6, channels, 1), generator=seeded(5))
    params = random_params(channels, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: likelihood.log_prob(p, x), (params,))


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_conditionals_multiply_to_the_joint_and_each_sums_to_one(levels: int) -> None:
    likelihood, params = mixture(levels, RGB), random_params(RGB).double()
    x = every_pixel(levels, RGB)
    log_p = likelihood.log_prob(params.expand(len(x), -1, -1), x)
    assert torch.allclose(log_p[..., 0].cumsum(1), by_differences(params.expand(len(x), -1, -1), x, levels))
    for c in range(RGB):  # given the channels before; those after change nothing
        conditional = log_p[:, c].view(*[levels] * (c + 1), -1)
        assert torch.equal(conditional, conditional[..., :1].expand_as(conditional))
        assert torch.allclose(conditional[..., 0].exp().sum(-1), torch.ones([], dtype=torch.float64))


def test_channels_depend_on_each_other_through_the_means_and_the_mixture() -> None:
    x = every_pixel(5, RGB)
    params = random_params(RGB).expand(len(x), -1, -1)
    green = mixture(5, RGB).log_prob(params, x)[:, 1, 0].view(5, 5, 5)[..., 0]
    assert (green[0] - green[4]).abs().max() > 0.1


def tempered(likelihood: DiscretizedLogisticMixture, log_p: Tensor, x: Tensor, temperature: float) -> Tensor:
    """Temper the conditional of each channel: `(N,)` nats, given those of all pixels `(N, C, 1)`."""
    total = torch.zeros(len(x))
    for c in range(x.shape[1]):
        conditional = log_p[:, c, 0] / temperature
        before = (x[:, None, :c, 0] == x[None, :, :c, 0]).all(2)  # the same channels before
        others = torch.zeros(len(x), likelihood.levels).fill_(-torch.inf)
        for level in range(likelihood.levels):
            same = before & (x[None, :, c, 0] == level)
            others[:, level] = conditional[same.int().argmax(1)]
        total += conditional - others.logsumexp(1)
    return total


def draw_pixels(
    likelihood: DiscretizedLogisticMixture, params: Tensor, n: int, temperature: float = 1.0,
    known: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Draw `(n, C)` channel by channel from parameters `(1 or n, P, 1)`, the first ones given by `known` `(c,)`."""
    x = torch.zeros(n, 0, dtype=torch.long) if known is None else known.expand(n, -1)
    generator = seeded(7)
    while x.shape[1] < likelihood.colours:
        noise = torch.rand(n, likelihood.noise, generator=generator)
        earlier = x if x.shape[1] else None
        drawn = likelihood.sample(params[..., 0].expand(n, -1), noise, temperature, earlier)
        assert drawn.shape == (n,) and drawn.dtype == torch.long
        x = torch.cat([x, drawn[:, None]], 1)
    return x


def assert_frequencies(drawn: Tensor, x: Tensor, log_p: Tensor, levels: int) -> None:
    place = levels ** torch.arange(x.shape[1])
    counts = torch.bincount((drawn * place).sum(1), minlength=levels ** x.shape[1])[(x[..., 0] * place).sum(1)].double()
    assert counts.sum() == len(drawn)  # nothing but what is in x was drawn
    expected = log_p.double().exp() * len(drawn)
    rare = expected < 5
    observed, wanted = (torch.cat([t[~rare], t[rare].sum()[None] + 1e-9]) for t in (counts, expected))
    assert chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-4


@pytest.mark.parametrize("temperature", slow_but([0.6], [1.0, 0.6, 1.7]))
@pytest.mark.parametrize(("levels", "channels"), [(2, 1), (3, 1), (5, 1), (256, 1), (2, 3), (3, 3), (5, 3)])
def test_draws_follow_the_density(levels: int, channels: int, temperature: float) -> None:
    likelihood, params, x = mixture(levels, channels), random_params(channels, seed=2), every_pixel(levels, channels)
    conditionals = likelihood.log_prob(params.expand(len(x), -1, -1), x)
    log_p = tempered(likelihood, conditionals, x, temperature)
    drawn = draw_pixels(likelihood, params, DRAWS, temperature)
    assert drawn.min() >= 0 and drawn.max() < levels
    assert_frequencies(drawn, x, log_p, levels)


@pytest.mark.parametrize("known", [[0], [4], [2, 3], [4, 0]])
def test_draws_given_earlier_channels_follow_the_conditional(known: list[int]) -> None:
    levels = 5
    likelihood, params, x = mixture(levels, RGB), random_params(RGB, seed=8), every_pixel(levels, RGB)
    x = x[(x[:, : len(known), 0] == torch.tensor(known)).all(1)]
    log_p = likelihood.log_prob(params.expand(len(x), -1, -1), x)[:, len(known) :].sum((1, 2))
    drawn = draw_pixels(likelihood, params, DRAWS, known=torch.tensor(known))
    assert_frequencies(drawn, x, log_p, levels)


def test_a_draw_is_a_function_of_its_noise_and_legal_for_any() -> None:
    likelihood, params = mixture(17, GREY), random_params(GREY, 9)[..., 0]
    noise = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 2)
    drawn = likelihood.sample(params, noise)
    assert torch.equal(drawn, likelihood.sample(params, noise)) and drawn.min() >= 0 and drawn.max() < 17
    u = torch.linspace(0, 1, 1001)
    levels = likelihood.sample(params[:1].expand(1001, -1), torch.stack([torch.full_like(u, 0.2), u], 1))
    assert (levels.diff() >= 0).all() and levels[0] < levels[-1]  # the second uniform is a quantile


def test_temperature_sharpens_to_the_mode() -> None:
    params = torch.tensor([1.0, 0.0, -0.5, 0.5, -1.0, -1.0]).view(1, 6, 1)  # two logistics, the first more likely
    likelihood = DiscretizedLogisticMixture(DataSpec((1, 1), 5), mixtures=2)
    assert (draw_pixels(likelihood, params, 100, temperature=1e-3) == 1).all()


@pytest.mark.parametrize("spec", [DataSpec((2, 4), 5), DataSpec((4, 2, 2), 2), DataSpec((1, 4), None)])
def test_refuses_other_data(spec: DataSpec) -> None:
    with pytest.raises(ValueError, match="the discretized logistic mixture"):
        DiscretizedLogisticMixture(spec)


def test_checks_values_and_scales_them() -> None:
    likelihood = mixture(17, GREY)
    with pytest.raises(ValueError, match=r"0\.\.16"):
        likelihood.check(torch.tensor([17]))
    assert likelihood.encode(torch.tensor([0, 8, 16])).tolist() == [-1, 0, 1]


@pytest.mark.parametrize(("channels", "joint", "params"), [(1, False, 30), (3, True, 100)])
def test_number_of_parameters(channels: int, joint: bool, params: int) -> None:
    likelihood = DiscretizedLogisticMixture(DataSpec((channels, 32, 32), 256))
    assert (likelihood.joint, likelihood.params) == (joint, params)
