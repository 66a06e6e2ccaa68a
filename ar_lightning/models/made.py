r"""MADE, the masked autoencoder for distribution estimation.

    h^1 = f(b^1 + (W^1 * M^1) x),    h^l = f(b^l + (W^l * M^l) h^{l-1}),    params = c + (V * M^V) h^L [+ (A * M^A) x]
    M^l_{kj} = 1[m^{l-1}(j) <= m^l(k)],    M^V_{dk} = 1[m^L(k) < d],    M^A_{dj} = 1[j < d]

Germain, Gregor, Murray & Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", ICML 2015. An autoencoder
whose masks take out every path from a value to itself or an earlier one: all conditionals in one pass. `masks` above 1
trains several masks in turn (connectivity-agnostic), with `vary_order` each with an order of its own (order-agnostic);
the density is then the average of their probabilities.

Deviations: degrees m are spread evenly, not drawn, so that no unit is wasted and none of the past unseen; any
likelihood (the paper's is Bernoulli), whose E inputs and P parameters of a value share its degree; several orders are
as many as there are masks, not a new one each step; optional class-dependent biases and dropout. Published: 88.40 nats
on fixed binarized MNIST (one mask, one layer of 8000 units); `conf/published/made_binarized_mnist.yaml` reaches 88.28
with 2000.
"""

import torch
from torch import Tensor

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Activation, Dropout, NonNegativeInt, Order, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.models.orders import token_order
from ar_lightning.nn.masked import MaskedMLP, spread_degrees

__all__ = ["MADE"]


class MADE(SequenceModel):
    """MADE: a masked autoencoder, which gives every conditional in one pass.

    References:
        Germain, Gregor, Murray & Larochelle, MADE: Masked Autoencoder for Distribution Estimation (2015).

    Args:
        hidden: units of each hidden layer; fewer than there are values leave a part of the past unseen, unless direct.
        layers: hidden layers L.
        activation: activation f of the hidden units.
        dropout: probability of dropping a hidden unit while training.
        order: the order in which the values are visited.
        order_seed: seed of a random order, and of the masks.
        masks: masks trained in turn; the density is the average of their probabilities.
        vary_order: every mask has a random order of its own.
        direct: connect the inputs directly to the outputs, too.
        conditional: condition on the data's labels and vectors.

    Raises:
        ValueError: orders are to vary, but not to be random.
    """

    encoding = "scaled"
    reads_context = True
    degrees: Tensor

    def __init__(
        self,
        shapes: Shapes,
        *,
        hidden: PositiveInt = 500,
        layers: PositiveInt = 2,
        activation: Activation = "relu",
        dropout: Dropout = 0.0,
        order: Order = "random",
        order_seed: NonNegativeInt = 0,
        masks: PositiveInt = 1,
        vary_order: bool = False,
        direct: bool = False,
        conditional: bool = False,
    ) -> None:
        if vary_order and order != "random":
            raise ValueError("vary_order=true gives every mask a random order: set order=random")
        super().__init__(shapes, order, order_seed, conditional, orders=masks if vary_order else 1)
        self.members = masks
        degrees = hidden_degrees(hidden, layers, shapes.tokens, masks, order_seed)
        self.register_buffer("degrees", degrees, persistent=masks > 1)  # random ones belong to the weights
        widths = [shapes.tokens * shapes.token_inputs, *[hidden] * layers, shapes.tokens * shapes.params]
        ascending = self.unit_degrees() if masks == 1 else None
        self.units = MaskedMLP(widths, activation, direct, self.given_sizes, ascending, dropout)

    def forward(self, z: Tensor, cond: Given = None) -> Tensor:
        params = self.units(self._inputs(z), self._degrees(), cond).unflatten(1, (self.shapes.tokens, -1))
        columns = self._columns()
        at = torch.empty_like(columns).index_copy_(0, columns, torch.arange(len(columns), device=columns.device))
        return self.at_sites(params.index_select(1, at))

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        """Read the tokens one by one, while streaming: `forward` needs no order."""
        if not self.units.past:
            self.units.begin(self.unit_degrees(), len(past), cond)
        return torch.stack([self.units.read(token) for token in past.unbind(1)], 1)

    def hidden_units(self, z: Tensor, cond: Given = None, only: str | None = None) -> dict[str, Tensor]:
        """Return the hidden units `(B, 1, H)` of every layer: each has read some of the example, and has no site."""
        layers = self.units.hidden(self._inputs(z), self._degrees(), cond)
        return {f"units.layers.{i}": h[:, None] for i, h in enumerate(layers)}

    def _inputs(self, z: Tensor) -> Tensor:
        """Return what the network reads `(B, tokens * E)` of encoded values `(B, C * E, *sites)`."""
        return self.tokens(z).index_select(1, self._columns()).flatten(1)

    def _columns(self) -> Tensor:
        """Return the token that each column of the weights belongs to: they lie in the order of the first member."""
        return token_order(self.orders[0], self.shapes)

    def _degrees(self) -> list[Tensor] | None:
        """Return the degrees of this member; None of a single one, whose degrees the network knows."""
        return self.unit_degrees() if self.members > 1 else None

    def places(self) -> Tensor:
        """Return where in this member's order each token is `(tokens,)`, those in the order of the first member."""
        if len(self.orders) == 1:
            return torch.arange(self.shapes.tokens, device=self.orders.device)
        first, order = (token_order(o, self.shapes) for o in (self.orders[0], self.order))
        return order.argsort()[first]

    def unit_degrees(self) -> list[Tensor]:
        """Return this member's degrees of the inputs, of every hidden layer and of the outputs."""
        place, shapes = self.places(), self.shapes
        inputs, outputs = (place.repeat_interleave(n) for n in (shapes.token_inputs, shapes.params))
        return [inputs, *self.degrees[self.member], outputs - 1]


def hidden_degrees(hidden: int, layers: int, tokens: int, masks: int, seed: int) -> Tensor:
    """Return the degrees of the units of every hidden layer under every mask, `(masks, layers, hidden)`.

    The degrees of a single mask ascend; under several masks, a unit has another random degree in each.
    """
    generator = torch.Generator().manual_seed(seed) if masks > 1 else None
    every = torch.empty(masks, layers, hidden, dtype=torch.long)
    for mask in every:
        lowest = 0
        for layer in mask:
            degrees = spread_degrees(hidden, tokens, lowest, generator)
            layer.copy_(degrees if generator is None else degrees[torch.randperm(hidden, generator=generator)])
            lowest = int(degrees.min())
    return every
