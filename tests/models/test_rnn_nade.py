"""RNN-NADE: frames of channels, a NADE in each, or channels that are independent given the past."""

import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from tests.support.cases import FRAMES as ENDS
from tests.support.cases import Case, random_values, seeded

FRAMES = DataSpec((3, 4), 2)


def build(spec: DataSpec = FRAMES, likelihood: str = "bernoulli", **options: object) -> Density:
    return Case("rnn_nade", likelihood, spec, dict(options)).build()


@torch.no_grad()
def test_a_frame_is_the_nade_of_the_paper() -> None:
    """By its equations, one channel after another: biases of outputs and hidden units are linear in the state."""
    density = build(cell="rnn", layers=1)
    model, x = density.model, random_values(FRAMES, 5).double()
    cell = model.states.recurrent.layers
    state, v = x.new_zeros(5, 6), x.new_zeros(5, 3)
    for t in range(4):
        state = torch.tanh(v @ cell.weight_ih_l0.T + cell.bias_ih_l0 + state @ cell.weight_hh_l0.T + cell.bias_hh_l0)
        v, a = x[:, :, t], model.units.c + state @ model.to_units.weight.T
        for i in range(3):
            a = a if i == 0 else a + v[:, i - 1, None] * model.units.W[i, 0]
            logit = model.units.b[i, 0] + torch.sigmoid(a) @ model.units.V[i, 0] + state @ model.out.weight[i]
            log_p = v[:, i] * logit - torch.nn.functional.softplus(logit)
            assert torch.allclose(density.terms(x.long())[:, i, t], log_p, atol=1e-9)


@torch.no_grad()
def test_independent_channels_depend_on_earlier_frames_alone() -> None:
    density, x = build(frame="independent"), random_values(FRAMES, 1)
    other = x.clone()
    other[:, 0, 1] = 1 - x[:, 0, 1]
    changed = (density.terms(x) != density.terms(other))[0]
    assert changed.tolist() == [[False, True, True, True], *[[False, False, True, True]] * 2]


@torch.no_grad()
def test_a_made_in_a_frame_is_one_whose_units_are_given_the_state() -> None:
    """By the masks of the paper: a path leads from a channel to later ones alone, and from the state to all."""
    density = build(frame="made", frame_layers=2, layers=1)
    model, x = density.model, random_values(FRAMES, 5)
    mlp, masks = model.units.mlp, []
    degrees = list(model.units.degrees.split(model.units.widths))
    for above, below in zip(degrees[1:], degrees, strict=False):
        masks.append((below <= above[:, None]).double())
    z = density.encode(x).transpose(1, 2)  # (B, T, C)
    states = model.states.recurrent(torch.nn.functional.pad(z, (0, 0, 1, 0))[:, :-1])
    h = z
    for i, (layer, mask) in enumerate(zip(mlp.layers, masks, strict=True)):
        h = h @ (layer.weight * mask).T + layer.bias + states @ mlp.class_biases[i].context
        if i < 2:
            h = torch.sigmoid(h)
    h = h + z @ (mlp.direct.weight * torch.ones(3, 3).tril(-1)).T
    assert torch.allclose(density.parameters_of(x, None, 0).transpose(1, 2), h, atol=1e-9)


@torch.no_grad()
def test_a_transformer_over_frames_reads_all_before_and_is_for_any_length() -> None:
    density, x = build(cell="transformer", frame="independent"), random_values(FRAMES, 1)
    longer = build(DataSpec((3, 9), 2), cell="transformer", frame="independent")
    longer.load_state_dict(density.state_dict())
    twice = longer.terms(torch.cat([x, 1 - x, x[..., :1]], 2))
    assert torch.allclose(twice[..., :4], density.terms(x), atol=1e-9)
    for t in range(4):
        other = x.clone()
        other[:, 0, t] = 1 - x[:, 0, t]
        assert (density.terms(x) != density.terms(other))[0, 1].tolist() == [s > t for s in range(4)]


@torch.no_grad()
def test_within_a_frame_a_made_goes_on_with_those_that_have_not_ended() -> None:
    density = Case("rnn_nade", "bernoulli", ENDS, {"frame": "made", "cell": "transformer"}).build(seed=2)
    noise = density.noise(200, seeded(0))
    assert torch.equal(density.sample(200, noise=noise), density.sample(200, noise=noise, naive=True))


def test_layers_of_a_made_are_no_nades() -> None:
    with pytest.raises(UserError, match="frame=made"):
        build(frame_layers=2)


WAYS = [
    {"frame": "independent"},
    {"frame": "nade", "cell": "gru"},
    {"frame": "nade", "cell": "transformer"},
    {"frame": "made", "frame_layers": 2},
]


@pytest.mark.parametrize("options", WAYS)
@torch.no_grad()
def test_any_pieces_give_what_a_full_pass_does(options: dict[str, object]) -> None:
    """A start that ends within a frame is read, and then value after value."""
    from ar_lightning.nn.streaming import streaming

    density = build(DataSpec((3, 4), 4), "categorical", **options)
    model, x = density.model, random_values(DataSpec((3, 4), 4), 4)
    past = model.tokens_before(density.encode(x))
    whole = model.scan(past)
    for sizes in ([1] * 12, [5, 1, 1, 4, 1], [3, 3, 6], [2, 7, 3], [12]):
        with streaming(model):
            parts = torch.cat([model.scan(part) for part in past.split(sizes, 1)], 1)
        assert torch.allclose(parts, whole, atol=1e-12)
