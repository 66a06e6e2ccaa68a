"""The value of a site is written, or read, where the sampler would draw it: by a table of its probabilities."""

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor

from ar_lightning.density.density import Density
from ar_lightning.density.draw import Draw, site_index
from ar_lightning.density.tables import level_probs

__all__ = ["Code", "Coding", "Progress"]

Code = Callable[[Tensor, Tensor | None], Tensor]  # probabilities `(n, K)` and what to write to the `(n,)` coded
Progress = Callable[[int], Any]


class Coding(Draw):
    """Writes the value of a site of n examples, of `x` `(n, D)`, or reads it, where the sampler would draw it.

    Those of the `padding` `(n, D)` are neither; None where there is none.
    """

    inside = False
    tabled = False  # is given tables in place of parameters

    def __init__(
        self, density: Density, code: Code, n: int, x: Tensor | None, padding: Tensor | None,
        progress: Progress | None, form: int,
    ) -> None:  # fmt: skip
        noise = torch.empty(n, 0)
        super().__init__(density.likelihood, noise, dtype=density.dtype, progress=progress, end=density.spec.end)
        self.density, self.code, self.x, self.padding, self.form = density, code, x, padding, form

    def of(self, rows: Tensor) -> "Coding":
        """Return the coding of some of the examples."""
        part = copy(self)
        part.noise = self.noise[rows]
        part.x, part.padding = (None if t is None else t[rows] for t in (self.x, self.padding))
        return part

    def output(self, params: Tensor) -> Tensor:
        """Return tables; but parameters of a joint likelihood, which makes one after another of them."""
        if self.likelihood.joint:
            return params
        return level_probs(self.density, params, None, self.form == 1)

    def of_output(self) -> "Coding":
        """Return the same that is given what `output` returns."""
        part = copy(self)
        part.tabled = not self.likelihood.joint
        return part

    def __call__(self, params: Tensor, site: int | Tensor, earlier: Tensor | None = None) -> Tensor:
        """Return the values `(B,)` of a site, given its parameters `(B, P)`."""
        probs = params if self.tabled else level_probs(self.density, params, earlier, self.form == 1)
        here = site_index(site)
        if not probs.sum().isfinite():
            raise ValueError("the density gives no probabilities but NaN: it has diverged in training")
        symbols = None if self.x is None else self.x[here]
        if self.padding is None and self.over is None:
            return self.code(probs, symbols)
        nothing = torch.zeros(len(probs), dtype=torch.bool)
        over = nothing if self.over is None else self.over
        coded = ~(over if self.padding is None else self.padding[here] | over)
        values = torch.where(over, self.nothing, 0)
        values[coded] = self.code(probs[coded], None if symbols is None else symbols[coded])
        return values
