"""What a pixel sees is exactly what the papers' layers, composed, let it see: their blind spots and no others."""

from collections.abc import Callable, Iterable

import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from tests.invariants.test_causality import changes
from tests.support.cases import Case, random_values

H, W = 4, 10
Offsets = Iterable[tuple[int, int]]

ABOVE = [(y, x) for y in (-3, -2, -1) for x in range(-3, 4)]
LEFT = [(0, x) for x in (-3, -2, -1)]
HERE = [(0, 0)]


def reads(offsets: Offsets) -> torch.Tensor:
    """Return `(pixels, pixels)`: which input pixels a convolution over these offsets (down, right) reads at each."""
    matrix = torch.zeros(H, W, H, W, dtype=torch.bool)
    for i in range(H):
        for j in range(W):
            for y, x in offsets:
                if 0 <= i + y < H and 0 <= j + x < W:
                    matrix[i, j, i + y, j + x] = True
    return matrix.view(H * W, H * W)


def through(*layers: torch.Tensor) -> torch.Tensor:
    """Compose layers, the last one first."""
    total = layers[0].double()
    for layer in layers[1:]:
        total = total @ layer.double()
    return total > 0


def repeated(recurrence: torch.Tensor) -> torch.Tensor:
    """Return what a state reads that reads other states in turn."""
    closure = reads(HERE)
    for _ in range(H * W):
        closure = closure | through(recurrence, closure)
    return closure


FIRST = reads(ABOVE + LEFT)


def row(y: int, low: int, high: int) -> list[tuple[int, int]]:
    return [(y, x) for x in range(low, high + 1)]


def row_lstm(layers: int, reach: int = 1) -> torch.Tensor:
    state = through(repeated(reads(row(-1, -reach, reach))), reads(row(0, -reach, 0)))
    return through(*[reads(HERE) | state] * layers, FIRST)


def diagonal_bilstm(layers: int) -> torch.Tensor:
    from_left = repeated(reads([(0, -1), (-1, 0)]))
    from_right = through(reads([(-1, 0)]), repeated(reads([(0, 1), (-1, 0)])))  # shifted down by a row
    return through(*[from_left | from_right] * layers, FIRST)


def pixelcnn(layers: int, reach: int = 1) -> torch.Tensor:
    above = [place for y in range(-reach, 0) for place in row(y, -reach, reach)]
    return through(*[reads(above + row(0, -reach, 0))] * layers, FIRST)


def gated_pixelcnn(layers: int, reach: int = 1) -> torch.Tensor:
    vertical, horizontal = reads(ABOVE), FIRST
    for _ in range(layers):
        vertical = through(reads([place for y in range(-reach, 1) for place in row(y, -reach, reach)]), vertical)
        horizontal = through(reads(row(0, -reach, 0)), horizontal) | vertical
    return horizontal


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("expected", [row_lstm, diagonal_bilstm, pixelcnn, gated_pixelcnn])
def test_a_pixel_sees_what_the_layers_composed_let_it_see(expected: type, layers: int) -> None:
    density = Case(expected.__name__, "bernoulli", DataSpec((1, H, W), 2), {"layers": layers}).build()
    assert torch.equal(changes(density, random_values(density.spec, 24), None), expected(layers))


@pytest.mark.parametrize("expected", [row_lstm, pixelcnn, gated_pixelcnn])
def test_wider_kernels_see_further(expected: Callable[..., torch.Tensor]) -> None:
    density = Case(expected.__name__, "bernoulli", DataSpec((1, H, W), 2), {"layers": 1, "kernel": 5}).build()
    assert torch.equal(changes(density, random_values(density.spec, 24), None), expected(1, reach=2))


@pytest.mark.parametrize("model", ["row_lstm", "pixelcnn", "gated_pixelcnn"])
def test_a_kernel_has_a_middle(model: str) -> None:
    with pytest.raises(UserError, match=r"model\.kernel=4 has no middle: take 3 or 5"):
        Case(model, "bernoulli", DataSpec((1, H, W), 2), {"kernel": 4}).build()


def missed(seen: torch.Tensor) -> set[tuple[int, int, int, int]]:
    """Return which earlier pixels (y, x) a pixel (i, j) does not see, as (i, j, y, x)."""
    earlier = torch.ones(H * W, H * W).tril(-1).bool()
    return {(i // W, i % W, j // W, j % W) for i, j in (earlier & ~seen).nonzero().tolist()}


def test_diagonal_bilstm_misses_at_most_one_pixel() -> None:
    """The last one of the row above, where the 7x7 convolution does not reach it."""
    assert missed(diagonal_bilstm(1)) == {(i, j, i - 1, W - 1) for i in range(1, H) for j in range(W - 4)}


def test_pixelcnn_is_blind_to_the_right_and_gated_pixelcnn_is_not() -> None:
    """Enough layers show a Gated PixelCNN all rows above; no number of them shows PixelCNN what is far right there."""
    assert not missed(gated_pixelcnn(W))
    assert {(1, j, 0, j + 4) for j in range(W - 4)} <= missed(pixelcnn(W))
