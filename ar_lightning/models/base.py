"""What every model is: a network that maps encoded values to the parameters of each, strictly causally in its order.

A `SequenceModel` goes site after site in any order, a `RasterModel` pixel after pixel in raster order. Both give
`forward(z, cond)`, which maps encoded inputs `(B, C * E, *sites)` to parameters `(B, groups * P, *sites)` of all sites
at once, and finer methods for streaming. The channels of a site are read in groups, in turn or at once: see `Shapes`.
"""

import inspect
from abc import ABC, abstractmethod
from collections import defaultdict
from contextlib import ExitStack
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.errors import nearest
from ar_lightning.core.fields import Order
from ar_lightning.core.spec import Shapes
from ar_lightning.models.orders import site_order, token_order
from ar_lightning.nn.given import GivenBias, GivenSizes
from ar_lightning.nn.streaming import as_steps, with_past

__all__ = ["Model", "RasterModel", "SequenceModel", "check_images"]


class Model(nn.Module, ABC):
    """The base of all models, and the list of what a model may declare.

    A subclass sets the class attributes that differ from their defaults here, as literals: a config is checked against
    them before PyTorch is imported. A misspelt, wrong or missing one is a `TypeError` when the class is made.

    Args:
        shapes: of the data, the encoded inputs and the parameters.
        conditional: condition on what is given with an example: its label, its vector, or both.

    Raises:
        ValueError: conditional, but the data has neither labels nor vectors, or vectors that the model does not read.
    """

    encoding: Literal["scaled", "one_hot", "index"] = "scaled"  # how it reads levels, unless the likelihood says
    dims: int | None = None  # number of axes of sites that it reads: 1 for sequences, 2 for images; None for any
    max_sites: int | None = None  # number of values it takes at most; None for any
    lookup: bool = False  # looks values up by their level, so that the likelihood must keep levels apart
    blind: bool = False  # reads no values at all
    mixed: bool = True  # reads columns of several kinds too
    joint_colours: bool = False  # leaves the channels of a site to the likelihood, which models them jointly
    orderless: bool = False  # predicts any values from any others: has `scan_in`, see `OrderlessDensity`
    one_pass: bool = False  # orderless, and all conditionals of an order take one pass
    any_length: bool = False  # has the same weights for sequences of every length
    carries: bool = False  # can read on from one window of a stream to the next
    initialises: bool = False  # sets its weights from the first batch, by `initialise`
    reads_context: bool = False  # reads the numbers given with an example, where it is conditional: see `nn/given.py`
    exports: bool = False  # its step at a pixel or a token is a function of tensors, which can be compiled
    blocks: str = ""  # the module that holds its layers, where it is a stack of alike ones
    hidden_layers: tuple[str, ...] = ()  # patterns of the modules that return hidden units, see `hidden_units`

    orders: Tensor  # visiting orders `(1 or members, D)`
    members: int = 1  # number of densities it stands for, over which a `Density` averages
    member: int = 0  # the one that it is at the moment
    classes: int = 0  # number of classes it conditions on
    features: int = 0  # number of features aligned with the sites that it conditions on
    context: int = 0  # number of numbers given with an example that it conditions on

    def __init__(self, shapes: Shapes, conditional: bool = False) -> None:
        super().__init__()
        if conditional and not (shapes.classes or shapes.context):
            raise ValueError("conditional=true needs labels or vectors (context), and the data has neither")
        if conditional and shapes.context and not self.reads_context:
            raise ValueError("conditional=true: this model reads labels, and not the vectors (context) of the data")
        self.shapes = shapes
        self.classes, self.context = (shapes.classes, shapes.context) if conditional else (0, 0)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        missing = [name for name, member in inspect.getmembers(cls) if getattr(member, "__isabstractmethod__", False)]
        if missing and not any(name in vars(cls) for name in missing):  # else it is a base of other models itself
            raise TypeError(f"{cls.__name__} needs {', '.join(f'a method `{name}`' for name in missing)}")
        for name, value in vars(cls).items():
            if name.startswith("_") or not isinstance(value, (bool, int, str, tuple)):
                continue
            if not hasattr(Model, name) and (hint := nearest(name, Model.__annotations__)):
                raise TypeError(f"{cls.__name__}.{name} is nothing that a model declares{hint}")
            if name in Model.__annotations__ and not _is_legal(name, value):
                raise TypeError(f"{cls.__name__}.{name} = {value!r}: expected {Model.__annotations__[name]}")
        if cls.initialises != (cls.initialise is not Model.initialise):
            raise TypeError(f"{cls.__name__} has either `initialises = True` or a method `initialise`, but needs both")

    @property
    def given_sizes(self) -> GivenSizes:
        """How much it reads of what is given with an example."""
        return GivenSizes(self.classes, self.context)

    @property
    def order(self) -> Tensor:
        """The order `(D,)` in which this member visits the values, as indices into the flattened `(C, *sites)`."""
        return self.orders[self.member % len(self.orders)]

    @property
    def receptive_field(self) -> int | None:
        """Number of tokens before it that a prediction sees; None for all of them, or where it is not one number."""
        return None

    @abstractmethod
    def forward(self, z: Tensor, cond: Any = None) -> Tensor:
        """Return the parameters `(B, groups * P, *sites)` of every site, given `z` `(B, C * E, *sites)`."""

    def initialise(self, z: Tensor, cond: Any = None) -> None:
        """Set weights from a first batch of encoded values, before the training; only called if `initialises`."""

    def compile_kernels(self) -> bool | None:
        """Compile hand-written kernels at their first use; return whether any fit, None for a model without such."""
        return None

    @torch.no_grad()
    def hidden_units(self, z: Tensor, cond: Any = None, only: str | None = None) -> dict[str, Tensor]:
        """Return the hidden units `(B, S, F)` of each example at each site, by the name of the layer.

        They are the outputs of the modules whose names match `hidden_layers`, in the order in which they are computed;
        the last is what the output layer reads. A model whose hidden units no module returns overrides this. One layer
        `only` takes less memory.
        """
        found: defaultdict[str, list[Tensor]] = defaultdict(list)

        def keep(name: str, module: nn.Module, args: Any, output: Any) -> None:
            found[name].append(output[0] if isinstance(output, tuple) else output)  # without states

        with ExitStack() as hooks:
            for name, module in self.named_modules():
                if only in (None, name) and self._is_hidden(name, module):
                    hooks.enter_context(module.register_forward_hook(partial(keep, name)))
            self.forward(z, cond)
        # A network that reads sites a block at a time calls its layers for each.
        return {name: torch.cat([self.by_example(part) for part in parts], 1) for name, parts in found.items()}

    def _is_hidden(self, name: str, module: nn.Module) -> bool:
        """Whether a module returns hidden units: embeddings, dropout and computed weights are none."""
        passive = isinstance(module, (nn.Embedding, GivenBias, nn.Dropout)) or "parametrizations" in name
        return not passive and any(fnmatchcase(name, pattern) for pattern in self.hidden_layers)

    @abstractmethod
    def by_example(self, output: Tensor) -> Tensor:
        """Return the output of a hidden layer as `(B, S, F)`."""


def _is_legal(name: str, value: object) -> bool:
    """Whether a class attribute may have this value: of the type of its default, an `int` where that is None."""
    if name == "encoding":
        return value in get_args(Model.__annotations__[name])
    default = getattr(Model, name)
    return type(value) is (int if default is None else type(default))


class SequenceModel(Model):
    """A network that visits the values one after another, in the order `order` (D,). Subclasses implement `scan`.

    It reads and predicts tokens: one value, or all channels of a site where the likelihood models them jointly.

    Args:
        order: raster, or random permutations.
        order_seed: chooses the permutations.
        orders: number of orders; each member has its own, or all have the same.
    """

    before: dict[str, Any] | None = None  # while windows of a stream are read: the last token of the window before

    def __init__(
        self, shapes: Shapes, order: Order = "raster", order_seed: int = 0, conditional: bool = False, orders: int = 1
    ) -> None:
        super().__init__(shapes, conditional)
        # Random orders belong to the weights: they are saved, since generators may differ between versions.
        every = torch.stack([site_order(shapes, order, order_seed + k) for k in range(orders)])
        self.register_buffer("orders", every, persistent=order == "random")

    @abstractmethod
    def scan(self, past: Tensor, cond: Any = None) -> Tensor:
        """Map `past` `(B, n, E)`, the encoded token before each of the next n in order, to parameters `(B, n, P)`.

        The first token of all is preceded by zeros. In parallel mode n is the number of all tokens.
        """

    def forward(self, z: Tensor, cond: Any = None) -> Tensor:
        ordered = self.scan(self.tokens_before(z), cond)
        return self.at_sites(torch.empty_like(ordered).index_copy(1, self._places(ordered), ordered))

    def scan_in(self, past: Tensor, path: Tensor, cond: Any = None) -> Tensor:
        """Do as `scan` in any order, if orderless.

        `path` has the indices of all tokens as they are visited, after one that stands for none: `(tokens + 1,)`, or
        `(B, tokens + 1)` where the examples go different ways.
        """
        raise NotImplementedError(f"{type(self).__name__} reads in one order")

    def in_orders(self, z: Tensor, orders: Tensor, cond: Any = None) -> Tensor:
        """Return the parameters as `forward` does, each example in an order of its own: `orders` `(B, tokens)`."""
        tokens = self.tokens(z)
        past = F.pad(tokens.gather(1, orders[..., None].expand_as(tokens))[:, :-1], (0, 0, 1, 0))
        ordered = self.scan_in(past, F.pad(orders, (1, 0)), cond)
        return self.at_sites(torch.empty_like(ordered).scatter(1, orders[..., None].expand_as(ordered), ordered))

    def tokens_before(self, z: Tensor) -> Tensor:
        """Return the encoded token before each token `(B, tokens, E)`, in order, given `z` `(B, C * E, *sites)`.

        A model of `any_length` also takes the start of a sequence alone, in raster order.
        """
        tokens = self.tokens(z)
        return with_past(self.before, tokens.index_select(1, self._places(tokens)), 1, 1)[:, :-1]

    def _places(self, tokens: Tensor) -> Tensor:
        n = tokens.shape[1]
        if n == self.shapes.tokens:
            return token_order(self.order, self.shapes)
        return torch.arange(n, device=tokens.device).view(self.shapes.groups, -1).t().flatten()

    def tokens(self, z: Tensor) -> Tensor:
        """Return the tokens `(B, groups * S, E)` of encoded values `(B, C * E, *sites)`, group after group."""
        return z.unflatten(1, (self.shapes.groups, -1)).flatten(3).transpose(2, 3).flatten(1, 2)

    def at_sites(self, params: Tensor) -> Tensor:
        """Return the parameters of tokens `(B, groups * S, P)` at their sites: `(B, groups * P, *sites)`."""
        grouped = params.unflatten(1, (self.shapes.groups, -1)).transpose(2, 3)
        sites = self.shapes.data[1:] if params.shape[1] == self.shapes.tokens else grouped.shape[3:]
        return grouped.reshape(len(params), -1, *sites)

    def by_example(self, output: Tensor) -> Tensor:
        """Return the output of a hidden layer `(B, tokens, F)` as it is."""
        return output


class RasterModel(Model):
    """An image network in raster order, in three stages that each read what is finished, shifted by one.

    `row` reads the rows above, `pixel` the pixels to the left, `colour` the colours before, where the channels of a
    pixel are read one after another. Feature maps have their channels in groups, those of the first colour first.

    Raises:
        ValueError: the data are not images.
    """

    def __init__(self, shapes: Shapes, conditional: bool = False) -> None:
        check_images(shapes)
        super().__init__(shapes, conditional)
        self.register_buffer("orders", site_order(shapes)[None], persistent=False)

    @property
    def scales(self) -> tuple[int, ...]:
        """How many columns of the image a column of each feature map of a row stands for; () where all are as fine."""
        return ()

    @abstractmethod
    def row(self, above: Tensor, cond: Any = None) -> Any:
        """Map the row above each row, `(B, C * E, h, W)`, to feature maps of the rows: a tensor or a list of them."""

    @abstractmethod
    def pixel(self, left: Tensor, features: Any, cond: Any = None) -> Any:
        """Map the pixel left of each, `(B, C * E, H, W)`, and the rows' features to features of the pixels.

        These are the parameters already where there is no `colour` stage. While streaming, this and `colour` are given
        one pixel, `(B, C * E)`, and return what has no sites either.
        """

    def colour(self, earlier: Tensor | None, features: Any, cond: Any = None) -> Tensor:
        """Map the colour before each, `(B, C * E, H, W)`, and the pixels' features to parameters `(B, C * P, H, W)`.

        `earlier` is None where the channels are one group. While streaming, this is given one group of a pixel.
        """
        params: Tensor = features
        return params

    def columns(self, features: Any) -> list[Any]:
        """Return the features of each pixel of a row, for `pixel`, while streaming."""
        if isinstance(features, Tensor):
            return as_steps(features[:, :, 0], 1)
        return [list(column) for column in zip(*(self.columns(f) for f in features), strict=True)]

    def forward(self, z: Tensor, cond: Any = None) -> Tensor:
        above = F.pad(z, (0, 0, 1, 0))[:, :, :-1]
        left = F.pad(z, (1, 0))[..., :-1]
        features = self.pixel(left, self.row(above, cond), cond)
        inputs = self.shapes.inputs
        earlier = F.pad(z, (0, 0, 0, 0, inputs, 0))[:, :-inputs] if self.shapes.groups > 1 else None
        return self.colour(earlier, features, cond)

    def by_example(self, output: Tensor) -> Tensor:
        """Return a map `(B, F, h, w)` as `(B, h * w, F)`."""
        return output.flatten(2).transpose(1, 2)


def check_images(shapes: Shapes) -> None:
    """Raise `ValueError` if the data are not images."""
    if len(shapes.data) != 3:
        raise ValueError(f"this model reads images (C, H, W), the data is {'x'.join(map(str, shapes.data))}")
