"""Transformers: rotary places, tied embeddings, free lengths, and all orders of the values by one network."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.density.orderless import OrderlessDensity, orders_of
from ar_lightning.density.step import Step
from ar_lightning.models.transformer import Transformer
from ar_lightning.nn.rotary import rotate, turns
from ar_lightning.nn.streaming import streaming
from tests.invariants.test_exactness import SAMPLES, assert_frequencies
from tests.support.cases import BINARY, CLASSES, SPECS, Case, every_value, random_values, seeded

TEXT = DataSpec((1, 12), 5, CLASSES)


def built(shapes: Shapes, **options: object) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(shapes, **{"width": 8, "layers": 2, "heads": 2, **options})
    for p in model.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return model.double().eval()


@pytest.mark.parametrize(("axes", "features"), [(1, 6), (1, 7), (2, 8), (2, 10), (3, 4)])
def test_products_depend_on_how_far_apart_two_places_are(axes: int, features: int) -> None:
    """On every axis on its own; and a turn keeps lengths."""
    q, k = torch.randn(2, 1, 1, 1, features, generator=seeded(1)).double()
    here, came = torch.randint(9, (2, 40, axes), generator=seeded(2))
    moved = torch.randint(9, (1, axes), generator=seeded(3))

    def product(here: Tensor, came: Tensor) -> Tensor:
        a, b = (
            rotate(x.expand(1, 1, len(p), -1), turns(p.double(), features, 100.0)) for x, p in ((q, here), (k, came))
        )
        assert torch.allclose(a.norm(dim=-1), q.norm(dim=-1)) and torch.allclose(b.norm(dim=-1), k.norm(dim=-1))
        return (a * b).sum(-1)

    assert torch.allclose(product(here, came), product(here + moved, came + moved))
    for axis in range(min(axes, features // 2)):
        step = torch.eye(axes, dtype=torch.long)[axis]
        assert not torch.isclose(product(here + step, came), product(here, came)).any()
    assert torch.allclose(product(here, here), (q * k).sum())


@torch.no_grad()
def test_attention_knows_how_far_apart_what_is_predicted_is_from_what_was_read() -> None:
    """On a way without embeddings of places: moved as a whole, it gives the same; the last step alone, another."""
    model = built(Shapes((1, 40), embedded=5, params=4), position=False)
    z = torch.randint(1, 5, (3, 4, 1), generator=seeded(1)).double()
    way = torch.tensor([9, 3, 5, 20, 11])
    params = model.along(z, way)
    assert torch.allclose(model.along(z, way + 15), params)
    for i in range(5):
        other = way.clone()
        other[i] = 30
        assert not torch.isclose(model.along(z, other)[:, -1], params[:, -1]).any(), i


def test_without_positions_a_window_may_lie_anywhere_and_be_of_any_length() -> None:
    """What is predicted of a value depends on what came before it, not on where that began."""
    short, long = Shapes((1, 7), embedded=5, params=4), Shapes((1, 20), embedded=5, params=4)
    model = built(short, position=False)
    other = Transformer(long, width=8, layers=2, heads=2, position=False).double().eval()
    other.load_state_dict(model.state_dict())
    z = torch.randint(1, 5, (3, 1, 20), generator=seeded(1)).double()
    assert torch.allclose(model(z[..., :7]), other(z)[..., :7])
    everywhere = [other.along(z[:, 0, 2:9, None], torch.arange(s, s + 8)) for s in (2, 11)]
    assert torch.allclose(*everywhere)
    fixed = built(Shapes((1, 20), embedded=5, params=4))
    everywhere = [fixed.along(z[:, 0, 2:9, None], torch.arange(s, s + 8)) for s in (2, 11)]
    assert not torch.isclose(*everywhere).any()


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("steps", [1, 3, 7], ids="{} at a time".format)
@torch.no_grad()
def test_kept_keys_and_values_give_what_the_whole_gives(steps: int, conditional: bool) -> None:
    shapes = Shapes((3, 2, 4), inputs=2, params=5, classes=3)
    model = built(shapes, conditional=conditional, order="random", mlp="swiglu")
    past = torch.randn(4, shapes.tokens, shapes.token_inputs, dtype=torch.float64)
    cond = torch.tensor([0, 1, 2, 1]) if conditional else None
    with streaming(model):
        parts = [model.scan(part, cond) for part in past.split(steps, 1)]
    assert torch.allclose(torch.cat(parts, 1), model.scan(past, cond), atol=1e-12, rtol=0)


@torch.no_grad()
def test_tied_levels_are_scored_by_the_embeddings_that_they_are_read_by() -> None:
    case = Case("transformer", "categorical", TEXT, {"tie": True})
    density, x = case.build(), random_values(TEXT, 4)
    model, table = density.model, density.model.read.table.weight
    norms: list[Tensor] = []
    hook = model.norm.register_forward_hook(lambda module, args, output: norms.append(output))
    params = model(density.encode(x))
    hook.remove()
    expected = norms[0] @ table[1:].T / len(table[0]) ** 0.5 + model.bias
    assert torch.allclose(params.transpose(1, 2), expected)
    untied = Case("transformer", "categorical", TEXT).build().model
    count = [sum(p.numel() for p in m.parameters()) for m in (model, untied)]
    assert count[1] - count[0] == 8 * 5, "one table less"


def test_without_any_positions_there_is_no_transformer() -> None:
    with pytest.raises(Exception, match="nothing tells where a value is"):
        Case("transformer", "categorical", TEXT, {"rotary": False, "position": False}).build()


@pytest.mark.parametrize(
    "case",
    [
        Case("transformer", "bernoulli", BINARY, {"tie": True}),
        Case("transformer", "gaussian_mixture", SPECS["real"], {"tie": True}),
        Case("transformer", "categorical", TEXT, {"tie": True}, encoding="one_hot"),
        Case("any_order_transformer", "categorical", TEXT, {"tie": True}, encoding="scaled"),
    ],
    ids=str,
)
def test_numbers_have_no_embeddings_to_tie(case: Case) -> None:
    with pytest.raises(Exception, match=r"model\.tie=true needs levels that are looked up"):
        case.build()


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"heads=5 does not divide width=64: take heads=4"):
        Transformer(Shapes((1, 5)), width=64, heads=5)
    with pytest.raises(ValueError, match=r"take heads=6"):
        Transformer(Shapes((1, 5)), width=6, heads=100)


@torch.no_grad()
def test_heads_of_one_feature_have_none_to_turn() -> None:
    model, past = built(Shapes((1, 5), params=3), heads=8), torch.randn(2, 5, 1, generator=seeded(1)).double()
    params = model.scan(past)
    with streaming(model):
        assert torch.allclose(torch.cat([model.scan(part) for part in past.split(1, 1)], 1), params)


@torch.no_grad()
def test_mixed_precision_does_not_round_the_parameters() -> None:
    model = built(Shapes((1, 9), inputs=4, params=4)).float()
    with torch.autocast("cpu", torch.bfloat16):
        params = model.scan(torch.randn(2, 9, 4))
    assert params.dtype == torch.float32
    assert (params.bfloat16() != params).any()


# Any order.

THREE = {"ensemble": 3}
ANY = [
    Case("any_order_transformer", likelihood, spec, options)
    for likelihood, spec in (
        ("bernoulli", BINARY),
        ("categorical", SPECS["colours"]),
        ("discretized_logistic_mixture", DataSpec((3, 3, 1), 3, CLASSES)),
        ("gaussian_mixture", SPECS["real colours"]),
    )
    for options in (THREE, {**THREE, "conditional": True, "layers": 1})
]


def any_order(case: Case) -> OrderlessDensity:
    density = case.build()
    assert isinstance(density, OrderlessDensity) and density.model.one_pass
    return density


def terms(density: OrderlessDensity, x: Tensor, params: Tensor) -> Tensor:
    """Return log p of every token `(B, tokens)`."""
    shapes = density.model.shapes
    return density.likelihood.log_prob(params, x).view(len(x), shapes.groups, -1, shapes.sites).sum(2).flatten(1)


def random_orders(density: OrderlessDensity, n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, density.model.shapes.tokens, generator=seeded(seed)).argsort(1)


@pytest.mark.parametrize("case", ANY, ids=str)
@torch.no_grad()
def test_conditionals_of_an_order_in_one_pass_are_those_one_by_one(case: Case) -> None:
    """Each alone: what is known is read in the member's order, so the order is one that begins with it, sorted."""
    density, n = any_order(case), 4
    x, cond = random_values(case.spec, n), case.labels(n)
    z, model = density.encode(x), density.model
    tokens = model.shapes.tokens
    for k in range(3):
        with density.member(k):
            own = orders_of(model, torch.full((n,), k), None)
            whole, each = terms(density, x, model(z, cond)), torch.zeros(n, tokens, dtype=torch.float64)
            assert torch.allclose(terms(density, x, model.in_orders(z, own, cond)), whole)
            known = torch.zeros(n, tokens, dtype=torch.bool)
            for token in own[0]:
                each[:, token] = terms(density, x, model(z, cond, known))[:, token]
                known[:, token] = True
            assert torch.allclose(whole, each)


@pytest.mark.parametrize("case", ANY, ids=str)
@torch.no_grad()
def test_what_is_known_is_read_and_nothing_else(case: Case) -> None:
    """Each example has a mask of its own; the parameters of every unknown token are those of an order of its own."""
    density, n = any_order(case), 3
    x, cond, model = random_values(case.spec, n), case.labels(n), density.model
    tokens = model.shapes.tokens
    known = torch.rand(n, tokens, generator=seeded(1)) < 0.5
    found = terms(density, x, model(density.encode(x), cond, known))
    own = orders_of(model, torch.zeros(n, dtype=torch.long), None)[0].tolist()
    for i, mask in enumerate(known):
        row = slice(i, i + 1)
        for token in (~mask).nonzero()[:, 0].tolist():
            rest = [t for t in own if not mask[t] and t != token]
            order = torch.tensor([[*(t for t in own if mask[t]), token, *reversed(rest)]])
            params = model.in_orders(density.encode(x[row]), order, None if cond is None else cond[row])
            assert torch.allclose(terms(density, x[row], params)[0, token], found[i, token])


@pytest.mark.parametrize("case", ANY, ids=str)
@torch.no_grad()
def test_keys_kept_in_any_order_give_what_the_whole_gives(case: Case) -> None:
    density, n = any_order(case), 5
    x, cond, model = random_values(case.spec, n), case.labels(n), density.model
    orders, tokens = random_orders(density, n), model.tokens(density.encode(x))
    past = tokens.gather(1, orders[..., None].expand_as(tokens)).roll(1, 1)
    past[:, 0] = 0
    path = torch.nn.functional.pad(orders, (1, 0))
    with streaming(model.eval()):
        parts = [model.scan_in(past[:, i:j], path, cond) for i, j in ((0, 1), (1, 3), (3, len(orders[0])))]
    whole = model.tokens(model.in_orders(density.encode(x), orders, cond))
    expected = whole.gather(1, orders[..., None].expand_as(whole))
    assert torch.allclose(torch.cat(parts, 1), expected, atol=1e-12, rtol=0)
    assert all(m.past is None for m in model.modules() if hasattr(m, "past")), "nothing stays"


@torch.no_grad()
def test_what_is_known_is_as_likely_as_all_that_it_may_become() -> None:
    """p(known) by its own terms is the sum over completions; and that of one given what is known is the quotient."""
    density, x = any_order(Case("any_order_transformer", "bernoulli", BINARY, THREE)), every_value(BINARY)
    for mask in torch.tensor([[1, 0, 0, 0, 0, 1], [0, 1, 1, 1, 0, 0]]).bool().view(2, 1, *BINARY.shape):
        alike = (x[:, None] == x).masked_fill(~mask, True).flatten(2).all(2)  # (64, 64): share what is known
        known_ones = []
        for k in range(3):
            orders = orders_of(density.model, torch.full((len(x),), k), density.visited_first(x, mask.expand_as(x)))
            each = terms(density, x, density.model.in_orders(density.encode(x), orders))
            known = (each * mask.flatten()).sum(1)
            assert torch.allclose(known, each.sum(1).expand_as(alike).where(alike, -torch.inf).logsumexp(1))
            known_ones.append(known)
        assert torch.allclose(known_ones[0], known_ones[1]) and torch.allclose(known_ones[0], known_ones[2])
        completed = density.conditional_log_prob(x, mask)
        assert torch.allclose(completed.expand_as(alike).where(alike, -torch.inf).logsumexp(1), torch.zeros(1).double())


@pytest.mark.parametrize("case", ANY, ids=str)
def test_streaming_equals_naive_whatever_is_known(case: Case) -> None:
    density, n = any_order(case), 30
    x, cond = random_values(case.spec, n), case.labels(n)
    channels = 1 if case.likelihood == "discretized_logistic_mixture" else case.spec.shape[0]
    mask = (torch.rand(n, channels, *case.spec.shape[1:], generator=seeded(8)) < 0.5).expand(n, *case.spec.shape)
    for known in ({}, {"known": x, "mask": mask}):
        drawn = density.sample(n, cond, **known, generator=seeded(3))
        naive = density.sample(n, cond, **known, generator=seeded(3), naive=True)
        assert torch.allclose(drawn, naive, rtol=0, atol=1e-9)
    assert torch.equal(drawn[mask], x[mask].to(drawn.dtype))


@torch.no_grad()
def test_completions_follow_their_conditionals() -> None:
    density, every = any_order(Case("any_order_transformer", "bernoulli", BINARY, THREE)), every_value(BINARY)
    mask, known = torch.tensor([1, 0, 0, 1, 0, 0]).bool().view(BINARY.shape), random_values(BINARY, 1, seed=5)
    x = every[(every == known)[:, mask].all(1)]
    drawn = density.sample(SAMPLES, known=known.expand(SAMPLES, *BINARY.shape), mask=mask, generator=seeded(2))
    assert_frequencies(density, drawn, x, density.conditional_log_prob(x, mask))


@torch.no_grad()
def test_the_objective_is_an_unbiased_estimate_of_the_mean_over_orders() -> None:
    """Whatever orders are drawn, it is -log p in them; and each is drawn equally often."""
    spec = DataSpec((1, 3), 2)
    density, n = any_order(Case("any_order_transformer", "bernoulli", spec)), 6000
    x = random_values(spec, 1).expand(n, 1, 3)
    losses = density.loss(x)
    in_order = {
        order: -terms(density, x[:1], density.model.in_orders(density.encode(x[:1]), torch.tensor([order]))).sum()
        for order in permutations(range(3))
    }
    close = torch.stack([torch.isclose(losses, nll) for nll in in_order.values()])
    assert torch.equal(close.sum(0), torch.ones(n, dtype=torch.long)), "each is of one order"
    assert ((close.sum(1) - n / 6).abs() < 5 * (n / 6) ** 0.5).all()


def test_the_objective_does_not_depend_on_the_number_of_processes() -> None:
    density = any_order(Case("any_order_transformer", "bernoulli", BINARY))
    x = random_values(BINARY, 12)
    whole = density.loss(x, step=Step(3, seed=5))
    shares = [density.loss(x[r::2], step=Step(3, 5, r, 2)) for r in (0, 1)]
    assert torch.allclose(whole, torch.stack(shares, 1).flatten())
    assert not torch.allclose(whole, density.loss(x, step=Step(4, seed=5)))
