"""WaveNet: the layers of the paper, how far it sees, and rings that give what the whole sequence gives."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ar_lightning.config.build import build_density
from ar_lightning.core.condition import Condition
from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.density.density import Density
from ar_lightning.models.wavenet import WaveNet
from ar_lightning.nn.dilated import DilatedStack
from ar_lightning.nn.streaming import streaming
from tests.support.cases import defaults, schema_of, seeded

T = 60
SOUND = Shapes((1, T), params=5, classes=3, embedded=8, features=2)
REAL = Shapes((1, T), params=6, features=2)
PIXELS = Shapes((3, 4, 5), params=4, classes=3, embedded=3, features=2)  # 60 tokens, three to a site
SHAPES = {"sound": SOUND, "real": REAL, "pixels": PIXELS}
SIZES = [(2, 3, 2), (3, 2, 2), (2, 1, 1)]  # kernel, layers, stacks: receptive fields of 15, 13 and 2


def built(shapes: Shapes, kernel: int = 2, layers: int = 3, stacks: int = 2, **options: Any) -> WaveNet:
    torch.manual_seed(0)
    model = WaveNet(shapes, channels=4, skip=16, kernel=kernel, layers=layers, stacks=stacks, **options).double()
    for p in model.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return model.eval()


def tokens(shapes: Shapes, n: int, length: int = T) -> torch.Tensor:
    """Tokens `(n, length, 1)` as `scan` reads them."""
    if shapes.embedded:
        return torch.randint(shapes.embedded, (n, length, 1), generator=seeded()).double()
    return torch.randn(n, length, 1, dtype=torch.float64, generator=seeded())


def condition(model: WaveNet, n: int) -> Condition:
    features = torch.randn(n, 2, *model.shapes.data[1:], dtype=torch.float64, generator=seeded(1))
    return Condition(torch.arange(n) % 3 if model.classes else None, features if model.features else None)


def jacobian(params: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Return `(T, T)`: whether the parameters `(1, T, P)` of token i depend on `given` (1, ..., T) at j."""
    weights = torch.randn(params.shape[-1], dtype=torch.float64, generator=seeded())
    rows = [torch.autograd.grad(p @ weights, given, retain_graph=True)[0] for p in params[0]]
    return torch.stack([(row != 0).view(-1, row.shape[-1]).any(0) for row in rows])


@pytest.mark.parametrize(("kernel", "layers", "stacks"), SIZES)
def test_it_sees_as_far_as_it_says_and_no_further(kernel: int, layers: int, stacks: int) -> None:
    model = built(REAL, kernel, layers, stacks)
    assert model.receptive_field == 1 + (kernel - 1) * stacks * (2**layers - 1) < T - 20
    z = torch.randn(1, 1, T, dtype=torch.float64, requires_grad=True)
    back = torch.arange(T)[:, None] - torch.arange(T)
    seen = jacobian(model(z).transpose(1, 2), z)
    assert torch.equal(seen, (back > 0) & (back <= model.receptive_field))


def test_a_block_of_the_paper_sees_1024_samples() -> None:
    assert WaveNet(SOUND, channels=1, skip=1, layers=10, stacks=1).receptive_field == 1024


def transcribed(model: WaveNet, past: torch.Tensor, cond: Condition) -> torch.Tensor:
    """The equations of the paper, a convolution each, channels before time."""
    stack, channels = model.dilated, model.dilated.channels
    assert model.read.table is not None and stack.label is not None and stack.local is not None
    x = F.one_hot(past[..., 0].long(), model.shapes.embedded).to(past.dtype).transpose(1, 2)
    x = F.conv1d(x, model.read.table.weight.t()[..., None])
    labels = stack.label(cond.labels).view(len(past), -1, 2 * channels, 1)
    skips = torch.zeros(())
    for i, dilation in enumerate(stack.dilations):
        W = stack.weight[i].view(stack.kernel, channels, 2 * channels).permute(2, 1, 0)
        h = F.conv1d(F.pad(x, ((stack.kernel - 1) * dilation, 0)), W, stack.bias[i], dilation=dilation) + labels[:, i]
        h = h + F.conv1d(cond.features, stack.local[i].t()[..., None])
        z = torch.tanh(h[:, :channels]) * torch.sigmoid(h[:, channels:])
        skips = skips + F.conv1d(z, stack.skip.weight.chunk(len(stack.dilations), 1)[i][..., None])
        if i + 1 < len(stack.dilations):
            x = x + F.conv1d(z, stack.residual[i].t()[..., None])
    h = torch.relu(skips + stack.skip.bias[:, None])
    h = torch.relu(F.conv1d(h, model.hidden.weight[..., None], model.hidden.bias))
    return F.conv1d(h, model.out.weight[..., None], model.out.bias).transpose(1, 2)


@pytest.mark.parametrize(("kernel", "layers", "stacks"), SIZES)
def test_it_is_the_network_of_the_paper(kernel: int, layers: int, stacks: int) -> None:
    """Its outputs and the gradients of all its weights are those of the paper's equations."""
    model = built(SOUND, kernel, layers, stacks, conditional=True, local=True)
    past, cond = tokens(SOUND, 3), condition(model, 3)
    ours, theirs = model.scan(past, cond), transcribed(model, past, cond)
    assert torch.allclose(ours, theirs, atol=1e-12)
    weights = torch.randn_like(ours)
    a, b = (torch.autograd.grad((out * weights).sum(), list(model.parameters())) for out in (ours, theirs))
    assert all(torch.allclose(p, q, atol=1e-11) and p.any() for p, q in zip(a, b, strict=True))


CHUNKS = {"one by one": [1] * T, "sevens": [7] * 8 + [4], "a prompt, then one by one": [33] + [1] * 27,
          "mixed": [1, 1, 2, 1, 20, 1, 1, 3, 30]}  # fmt: skip


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("given", [False, True], ids=["", "labels and features"])
@pytest.mark.parametrize(("kernel", "layers", "stacks"), SIZES)
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@torch.no_grad()
def test_rings_give_what_the_whole_gives(
    shapes: Shapes, kernel: int, layers: int, stacks: int, given: bool, chunks: list[int]
) -> None:
    """Far beyond the receptive field, where every ring has been written over many times."""
    model = built(shapes, kernel, layers, stacks, conditional=given and bool(shapes.classes), local=given)
    past, cond = tokens(shapes, 4), condition(model, 4)
    with streaming(model):
        parts = [model.scan(part, cond) for part in past.split(chunks, 1)]
    assert torch.allclose(torch.cat(parts, 1), model.scan(past, cond), atol=1e-12, rtol=0)


@torch.no_grad()
def test_a_ring_holds_what_later_sites_read_and_stays_where_it_is() -> None:
    model = built(SOUND, kernel=3, layers=4, stacks=2)
    with streaming(model):
        places = set()
        for part in tokens(SOUND, 5).split(1, 1):
            model.scan(part)
            assert model.dilated.past is not None
            places.add((model.dilated.past["ring"].data_ptr(), model.dilated.past["ring"].shape))
    assert len(places) == 1
    assert places.pop()[1] == (model.receptive_field - 1, 5, 4)


@pytest.mark.parametrize("shapes", [SOUND, PIXELS], ids=["sound", "pixels"])
@torch.no_grad()
def test_a_label_reaches_every_token(shapes: Shapes) -> None:
    model = built(shapes, conditional=True)
    past = tokens(shapes, 1).expand(3, -1, -1)
    params = model.scan(past, torch.arange(3))
    assert all((params[a] != params[b]).any(1).all() for a, b in ((0, 1), (1, 2), (0, 2)))


@pytest.mark.parametrize(("kernel", "layers", "stacks"), SIZES)
def test_features_reach_their_site_and_those_after(kernel: int, layers: int, stacks: int) -> None:
    """Those of site t are first read for site t itself, and by later ones through all layers but the first."""
    model = built(REAL, kernel, layers, stacks, local=True)
    features = condition(model, 1).features
    assert features is not None
    features.requires_grad_()
    ahead = torch.arange(T)[:, None] - torch.arange(T)
    seen = jacobian(model.scan(tokens(REAL, 1), Condition(None, features)), features)
    assert torch.equal(seen, (ahead >= 0) & (ahead < model.receptive_field - (kernel - 1)))


def test_features_are_those_of_the_token_s_site() -> None:
    model = built(PIXELS, local=True)
    features = condition(model, 1).features
    assert features is not None
    features.requires_grad_()
    out = model.scan(tokens(PIXELS, 1), Condition(None, features))[0].sum(1)
    latest = [int(torch.autograd.grad(o, features, retain_graph=True)[0].any(1).flatten().nonzero().max()) for o in out]
    assert latest == [token // 3 for token in range(60)]


def density(spec: DataSpec, **options: Any) -> Density:
    torch.manual_seed(0)
    small = {"channels": 4, "skip": 8, "layers": 3, **options}
    model = {"name": "wavenet", **defaults(schema_of("ar_lightning.models.wavenet:WaveNet")), **small}
    built = build_density({"model": model, "likelihood": {"name": "auto"}}, spec).eval()
    for p in built.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return built


@pytest.mark.parametrize("spec", [
    DataSpec((1, 40), 16, classes=3, features=2), DataSpec((1, 40), 2, classes=3, features=2),
    DataSpec((1, 40), None, classes=3, features=2), DataSpec((3, 4), 5, classes=3, features=2),
], ids=str)  # fmt: skip
def test_samples_follow_labels_and_features(spec: DataSpec) -> None:
    """Streaming draws what the naive sampler draws, also beyond the receptive field."""
    d, n = density(spec, conditional=True, local=True), 6
    cond = Condition(torch.arange(n) % 3, torch.randn(n, 2, *spec.shape[1:], generator=seeded()))
    drawn = d.sample(n, cond, generator=seeded(2))
    assert torch.allclose(drawn, d.sample(n, cond, generator=seeded(2), naive=True), atol=1e-5)
    other = Condition(cond.labels, -10 * cond.features)  # type: ignore[operator]
    assert not torch.equal(drawn, d.sample(n, other, generator=seeded(2)))
    assert not torch.allclose(d.log_prob(drawn, cond), d.log_prob(drawn, other))


def test_the_weights_are_for_any_length() -> None:
    short, long = (density(DataSpec((1, length), 4)) for length in (30, 50))
    long.load_state_dict(short.state_dict())
    x = torch.randint(4, (3, 1, 50), generator=seeded())
    with torch.no_grad():
        a, b = short.model(short.encode(x[..., :30])), long.model(long.encode(x))
    assert torch.allclose(a, b[..., :30], atol=1e-6)


@torch.no_grad()
def test_mixed_precision_rounds_no_parameters_and_no_stream() -> None:
    model, past = built(SOUND, conditional=True, local=True).float(), tokens(SOUND, 3).float()
    labels, features, _ = condition(model, 3)
    assert features is not None
    cond = Condition(labels, features.float())
    exact = model.scan(past, cond)
    with torch.autocast("cpu", torch.bfloat16):
        params = model.scan(past, cond)
        with streaming(model):
            streamed = torch.cat([model.scan(part, cond) for part in past.split([20] + [1] * 40, 1)], 1)
    assert params.dtype == streamed.dtype == torch.float32
    assert (params.bfloat16() != params).any()
    assert 1e-4 < (params - exact).abs().max() < 0.2 and (streamed - exact).abs().max() < 0.2


def test_what_it_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kernel=1 sees no past"):
        WaveNet(SOUND, kernel=1)
    with pytest.raises(ValueError, match="needs features"):
        WaveNet(Shapes((1, T)), local=True)


def test_nothing_follows_the_last_residual() -> None:
    """A single layer has no residual connection; every weight has a gradient, as DDP demands."""
    stack = DilatedStack(4, 3, 2, [1])
    stack(torch.randn(5, 2, 4)).sum().backward()
    assert all(p.grad is not None for p in stack.parameters())
