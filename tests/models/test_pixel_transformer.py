"""Pixel Transformer: where each token is, what it keeps while streaming, and what it refuses."""

import pytest
import torch

from ar_lightning.core.spec import Shapes
from ar_lightning.models.orders import token_order
from ar_lightning.models.pixel_transformer import PixelTransformer
from ar_lightning.nn.attention import CausalSelfAttention
from ar_lightning.nn.streaming import streaming

GREY = Shapes((1, 3, 2), inputs=4, params=4, classes=3)
COLOUR = Shapes((3, 2, 4), inputs=1, params=5, classes=3)
JOINT = Shapes((3, 2, 4), inputs=1, params=20, classes=3, joint=True)
SHAPES = {"grey": GREY, "colour": COLOUR, "joint": JOINT}


def built(shapes: Shapes, conditional: bool = False) -> PixelTransformer:
    torch.manual_seed(0)
    model = PixelTransformer(shapes, width=8, layers=2, heads=2, conditional=conditional)
    for p in model.parameters():
        p.data += 0.5 * torch.randn_like(p)
    return model.eval()


def test_raster_order_by_hand() -> None:
    """Row, column and colour of the tokens, in the order in which they are read; joint colours have no places."""
    for shapes, places in (
        (Shapes((2, 1, 2)), [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]),
        (Shapes((2, 2, 1), joint=True), [[0, 0], [1, 0]]),
    ):
        model = built(shapes)
        assert model.places.where.T[token_order(model.order, shapes)].tolist() == places


@pytest.mark.parametrize("steps", [1, 2, 5], ids="{} at a time".format)
@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@torch.no_grad()
def test_kept_keys_and_values_give_what_the_whole_gives(shapes: Shapes, conditional: bool, steps: int) -> None:
    model = built(shapes, conditional).double()
    past = torch.randn(4, shapes.tokens, shapes.token_inputs, dtype=torch.float64)
    cond = torch.tensor([0, 1, 2, 1]) if conditional else None
    with streaming(model):
        parts = [model.scan(part, cond) for part in past.split(steps, 1)]
        kept = [m.past["kv"] for m in model.modules() if isinstance(m, CausalSelfAttention) and m.past]
    assert torch.allclose(torch.cat(parts, 1), model.scan(past, cond), atol=1e-12, rtol=0)
    assert [kv.shape for kv in kept] == [(2, 4, 2, shapes.tokens + 1, 4)] * 2


@torch.no_grad()
def test_a_label_reaches_the_first_token() -> None:
    model = built(GREY, conditional=True)
    nothing = torch.zeros(3, GREY.tokens, GREY.token_inputs)
    first = model.scan(nothing, torch.arange(3))[:, 0]
    assert all((a != b).any() for a, b in ((first[0], first[1]), (first[1], first[2]), (first[0], first[2])))


@torch.no_grad()
def test_mixed_precision_does_not_round_the_parameters() -> None:
    model, past = built(GREY), torch.randn(2, GREY.tokens, GREY.token_inputs)
    with torch.autocast("cpu", torch.bfloat16):
        params = model.scan(past)
    assert params.dtype == torch.float32
    assert (params.bfloat16() != params).any()


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"heads=5 does not divide width=64: take heads=4"):
        PixelTransformer(GREY, width=64, heads=5)
    with pytest.raises(ValueError, match=r"take heads=6"):
        PixelTransformer(GREY, width=6, heads=100)


def test_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="reads images"):
        PixelTransformer(Shapes((1, 10)))
