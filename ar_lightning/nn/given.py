"""What is given with an example as a whole, its label and its vector, as a bias of a layer.

bias(y, u) = E[y] + u C,    y a class of K, u a vector of F numbers
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given, as_condition
from ar_lightning.nn.precision import uncast

__all__ = ["GivenBias", "GivenSizes", "given_bias"]


class GivenSizes(NamedTuple):
    """How much is given with an example: its class, of so many, and so many numbers; 0 for none."""

    classes: int = 0
    context: int = 0


class GivenBias(nn.Module):
    """Map a label and a vector to the sum of what each adds to the `width` units of a layer.

    Vectors are expected to be standardised. A learned vector of a class and the map of a vector start at the same size.
    """

    def __init__(self, sizes: GivenSizes, width: int) -> None:
        super().__init__()
        classes, context = sizes
        self.weight = nn.Parameter(torch.empty(classes, width)) if classes else None
        self.context = nn.Parameter(torch.empty(context, width)) if context else None
        self.initialise(1.0)

    def initialise(self, std: float) -> None:
        """Draw the weights, so that what a label or a vector adds has this standard deviation."""
        if self.weight is not None:
            nn.init.normal_(self.weight, std=std)
        if self.context is not None:
            nn.init.normal_(self.context, std=std * len(self.context) ** -0.5)

    def forward(self, cond: Given) -> Tensor:
        """Return the bias `(B, width)` of each example; `cond` has labels `(B,)`, vectors `(B, F)`, or both."""
        labels, _, context = as_condition(cond)
        terms = []
        if self.weight is not None:
            if labels is None:
                raise ValueError("this layer is given labels, and there are none")
            terms.append(F.embedding(labels, self.weight))
        if self.context is not None:
            if context is None:
                raise ValueError("this layer is given vectors (context), and there are none")
            with uncast(context):  # in the precision of the weights, as an embedding is
                terms.append(context.to(self.context.dtype) @ self.context)
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]

    def extra_repr(self) -> str:
        """Say what is given, in the printed network."""
        sizes = {"classes": self.weight, "context": self.context}
        return ", ".join(f"{name}={len(weight)}" for name, weight in sizes.items() if weight is not None)


def given_bias(sizes: GivenSizes, width: int) -> GivenBias | None:
    """Return the bias of a layer, None where nothing is given."""
    return GivenBias(sizes, width) if any(sizes) else None
