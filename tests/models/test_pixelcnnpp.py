"""PixelCNN++: one network in two modes at several resolutions, causal, without a blind spot, initialised from data."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ar_lightning.config.build import build_density
from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.data.datasets.digits import Digits
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import Density
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import sample_raster
from ar_lightning.models.pixelcnnpp import Border, GatedResnet, PixelCNNpp, concat_elu
from ar_lightning.nn.weightnorm import initialise_from_data, normalise_weights
from ar_lightning.training.lit import LitDensity
from tests.support.cases import random_values, seeded
from tests.support.marks import slow_but

SIZES = [(1, 3), (2, 3), (4, 4), (5, 7), (8, 8)]
LEVELS, CLASSES = 4, 3


def build(shape: tuple[int, ...], downsamplings: int = 2, conditional: bool = False, **options: Any) -> Density:
    """A small density whose weights are large enough for every dependence to show."""
    torch.manual_seed(0)
    model = {"filters": 6, "resnets": 1, "downsamplings": downsamplings, "conditional": conditional, **options}
    config = {
        "model": {"name": "pixelcnnpp", **model},
        "likelihood": {"name": "discretized_logistic_mixture", "mixtures": 2},
    }
    density = build_density(config, DataSpec(shape, LEVELS, CLASSES))
    for p in density.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return density.eval()


class Recorder(Draw):
    """Records the parameters it is shown, site by site."""

    def __call__(self, params: Tensor, site: int, earlier: Tensor | None = None) -> Tensor:
        self.seen[site] = params
        return super().__call__(params, site, earlier)

    seen: dict[int, Tensor]


@pytest.mark.parametrize(("channels", "conditional"), [(1, False), (3, True)])
@pytest.mark.parametrize("size", [*SIZES, (1, 1), (3, 1)], ids=str)
@pytest.mark.parametrize("downsamplings", slow_but([2], [0, 1, 2, 3]))
@torch.no_grad()
def test_streaming_equals_the_full_forward(
    size: tuple[int, int], downsamplings: int, channels: int, conditional: bool
) -> None:
    density, n = build((channels, *size), downsamplings, conditional), 4
    x, cond = random_values(density.spec, n), torch.arange(n) % CLASSES if conditional else None
    everything = torch.ones(n, density.spec.dims, dtype=torch.bool)
    draw = Recorder(density.likelihood, density.noise(n), x.flatten(1), everything)
    draw.seen = {}
    fed = sample_raster(density.model, draw, torch.zeros_like(x), cond)
    streamed = torch.stack([draw.seen[site] for site in range(size[0] * size[1])], 2)
    full = density.model(density.encode(x), cond).flatten(2)
    assert torch.equal(fed, x)
    assert (streamed - full).abs().max() <= 1e-5


@pytest.mark.parametrize(("channels", "conditional"), [(1, True), (3, False)])
@pytest.mark.parametrize("size", slow_but([SIZES[0]], SIZES), ids=str)
def test_same_seed_same_samples_as_the_naive_loop(size: tuple[int, int], channels: int, conditional: bool) -> None:
    density, n = build((channels, *size), conditional=conditional), 6
    cond = torch.arange(n) % CLASSES if conditional else None
    streamed, naive = (density.sample(n, cond, generator=seeded(1), naive=naive) for naive in (False, True))
    assert torch.equal(streamed, naive)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "downsamplings"), [((2, 3), 1), ((5, 7), 1), ((5, 7), 2), ((4, 4), 3), ((8, 8), 2)])
def test_a_pixel_depends_on_all_before_it_and_on_none_after(
    size: tuple[int, int], downsamplings: int, channels: int
) -> None:
    density = build((channels, *size), downsamplings, resnets=2).double()
    z = density.encode(random_values(density.spec, 1))
    weights = torch.randn(density.model.shapes.outputs, 1, 1, generator=seeded(2), dtype=torch.float64)

    def outputs(z: Tensor) -> Tensor:
        return (density.model(z) * weights).sum(1).flatten()

    jacobian = torch.autograd.functional.jacobian(outputs, z)[:, 0].flatten(2).transpose(0, 1)  # (C, H * W, H * W)
    seen = jacobian != 0
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


def test_labels_reach_every_pixel() -> None:
    density = build((1, 5, 4), conditional=True)
    z = density.encode(random_values(density.spec, 2))
    one, two = (density.model(z, torch.full((2,), label)) for label in (0, 1))
    assert (one != two).any(1).all()


def test_the_border_is_marked() -> None:
    x = torch.zeros(1, 2, 2, 3)
    assert Border(dim=2)(x)[0, 2].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert Border(dim=3)(x)[0, 2].tolist() == [[0, 1, 1], [0, 1, 1]]


def test_concat_elu() -> None:
    x = torch.linspace(-20, 20, 101)[:, None].requires_grad_()
    reference = nn.functional.elu(torch.cat([x, -x], 1))
    assert torch.allclose(concat_elu(x), reference, atol=1e-6)
    gradients = [torch.autograd.grad((y * torch.tensor([1.0, 2.0])).sum(), x)[0] for y in (concat_elu(x), reference)]
    assert torch.allclose(*gradients, atol=1e-6)


def test_refuses_colours_one_after_another() -> None:
    with pytest.raises(ValueError, match="discretized_logistic_mixture"):
        PixelCNNpp(Shapes((3, 4, 4), 1, 5))


@contextmanager
def preactivations(model: nn.Module) -> Iterator[dict[nn.Module, Tensor]]:
    """Collect what the convolutions return."""
    seen: dict[nn.Module, Tensor] = {}
    convs = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    hooks = [m.register_forward_hook(lambda m, _, y: seen.__setitem__(m, y)) for m in convs]
    yield seen
    assert len(seen) == len(convs)
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_initialised_preactivations_have_mean_zero_and_variance_one(channels: int) -> None:
    density = build((channels, 8, 8), dropout=0.5, conditional=True)
    model, cond = density.model, torch.arange(32) % CLASSES
    z = density.encode(random_values(density.spec, 32))
    model.train()
    model.initialise(z, cond)
    assert model.training
    model.eval()
    gates = {conv for m in model.modules() if isinstance(m, GatedResnet) for conv in m.gates.modules()}
    with preactivations(model) as seen:
        model(z, cond)
    for conv, y in seen.items():
        std, mean = torch.std_mean(y, (0, 2, 3), correction=0)
        wanted = 0.1 if conv in gates else 1.0
        assert torch.allclose(std, torch.full_like(std, wanted), rtol=1e-3)
        assert mean.abs().max() < 1e-4


@torch.no_grad()
def test_initialisation_survives_channels_that_are_constant() -> None:
    for size in ((1, 1), (4, 4)):
        density = build((1, *size))
        z = torch.full((8, 1, *size), -1.0)
        density.model.initialise(z)
        assert all(p.isfinite().all() and p.abs().max() < 1000 for p in density.parameters())
        assert density.model(z).isfinite().all()
    conv = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False))
    normalise_weights(conv)
    before = conv[0].weight.clone()
    initialise_from_data(conv, lambda: conv(torch.ones(4, 1, 3, 3)))
    assert torch.equal(conv[0].weight, before)


@torch.no_grad()
def test_initialisation_scales_without_bias_too() -> None:
    conv = nn.Sequential(nn.Conv2d(3, 4, 2, bias=False), nn.ConvTranspose2d(4, 5, 2, stride=2, bias=False))
    normalise_weights(conv)
    x = torch.randn(16, 3, 5, 5, generator=seeded(3))
    initialise_from_data(conv, lambda: conv(x), {conv[1]: 0.5})
    assert torch.allclose(conv[0](x).std((0, 2, 3), correction=0), torch.ones(4), rtol=1e-4)
    assert torch.allclose(conv(x).std((0, 2, 3), correction=0), torch.full((5,), 0.5), rtol=1e-4)


@torch.no_grad()
def test_a_compiled_model_is_initialised_alike() -> None:
    eager, compiled = build((1, 4, 4)), build((1, 4, 4))
    compiled.model.compile(backend="aot_eager")
    z = eager.encode(random_values(eager.spec, 8))
    for density in (eager, compiled):
        density.model.initialise(z)
    assert states_equal(eager.model, compiled.model)


def states_equal(a: nn.Module, b: nn.Module) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("conditional", [False, True])
def test_processes_initialise_alike_on_the_data(conditional: bool) -> None:
    config = {
        "seed": 0, "model": {"name": "pixelcnnpp", "filters": 4, "resnets": 1, "conditional": conditional},
        "likelihood": {"name": "discretized_logistic_mixture"},
    }  # fmt: skip
    lits = []
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        torch.manual_seed(0)
        data = ArrayDataModule(Digits(), batch_size=4)
        lit = LitDensity(build_density(config, data.spec), config)
        before = deepcopy(lit)
        data.trainer = lit.trainer = SimpleNamespace(global_rank=rank, world_size=world, datamodule=data)
        torch.manual_seed(rank)
        lit.setup("test")
        assert states_equal(before, lit)
        lit.setup("fit")
        assert not states_equal(before, lit)
        lits.append(lit)
    assert states_equal(lits[0], lits[1]) and states_equal(lits[0], lits[2])


def test_can_be_copied_and_saved() -> None:
    density = build((1, 4, 4))
    z = density.encode(random_values(density.spec, 3))
    twin = deepcopy(density)
    loaded = build((1, 4, 4))
    loaded.load_state_dict(density.state_dict())
    before = density.model(z)
    assert torch.equal(before, twin.model(z)) and torch.equal(before, loaded.model(z))
    for p in twin.parameters():
        p.data.zero_()
    assert torch.equal(before, density.model(z))


def test_streaming_computes_weights_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where there is no code to look for
    density, calls = build((1, 4, 4)), []
    norm = type(density.model.head.parametrizations.weight[0])  # type: ignore[union-attr, index]
    original = norm.forward
    monkeypatch.setattr(norm, "forward", lambda self, *args: calls.append(self) or original(self, *args))
    density.sample(2)
    assert len(calls) == len(set(calls)) == sum(isinstance(m, norm) for m in density.modules())
