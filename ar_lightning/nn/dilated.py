"""Stacks of gated dilated causal convolutions: all sites at once, or while streaming one at a time from ring buffers.

    x_{l+1}[t] = x_l[t] + z_l[t] R_l,    z_l = tanh(f_l) * sigmoid(g_l),    skip[t] = b + sum_l z_l[t] S_l
    (f_l, g_l)[t] = b_l + sum_j x_l[t - j d_l] W_lj + U_l[y] + u[t] V_l,    j = 0..k-1

Activations are kept time first, `(n * B, C)`, so that a shift in time is a slice of rows and the skips of all layers
are one product over their joined units; a layer is `kernels/dilated.py`. While streaming, a site costs the same for any
dilation: all taps but the newest are known before its step begins, in all layers, so that one gather from the rings of
past inputs and one batched product give what they add to the units.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.nn.given import GivenSizes, given_bias
from ar_lightning.nn.kernels.dilated import DilatedLayer
from ar_lightning.nn.kernels.rows_linear import RowsLinear
from ar_lightning.nn.streaming import Streaming

__all__ = ["DilatedStack"]

SMALL = 2**12  # multiply-adds up to which a compiled product is faster as a sum
Layer = Callable[[int, Tensor], tuple[Tensor, Tensor]]  # (index, inputs) -> (units, inputs of the next layer)


class DilatedStack(Streaming):
    """Gated residual layers, each a dilated causal convolution, and the sum of their skip connections.

    The residual stream has C channels, a layer as many gated units and `kernel` taps k, `dilations` d sites apart.
    It is conditional on what is `given` with an example, y, and on `features` u of a site, 0 for none.

    References:
        van den Oord et al., WaveNet: A Generative Model for Raw Audio (2016).
        Le Paine et al., Fast Wavenet Generation Algorithm (2016): the queues of past inputs.
    """

    def __init__(
        self, channels: int, skip: int, kernel: int, dilations: Sequence[int], dropout: float = 0.0,
        given: GivenSizes = GivenSizes(), features: int = 0,  # noqa: B008
    ) -> None:  # fmt: skip
        super().__init__()
        depth = len(dilations)
        self.channels, self.kernel, self.dilations, self.dropout = channels, kernel, tuple(dilations), dropout
        # The oldest tap first; the filters are the first half of the outputs, the gates the second.
        self.weight = nn.Parameter(torch.randn(depth, kernel * channels, 2 * channels) * (kernel * channels) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(depth, 2 * channels))
        # Nothing reads the residual stream after the last layer.
        self.residual = nn.ParameterList(torch.randn(channels, channels) * channels**-0.5 for _ in dilations[1:])
        self.skip = RowsLinear(depth * channels, skip)
        self.label = given_bias(given, depth * 2 * channels)
        if self.label is not None:
            self.label.initialise(0.1)
        self.local = nn.Parameter(torch.randn(depth, features, 2 * channels) * features**-0.5) if features else None
        self.rings = Rings(kernel, dilations)

    @property
    def reach(self) -> int:
        """Number of inputs, up to and including its own, that an output sees."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    def forward(self, x: Tensor, cond: Given = None, features: Tensor | None = None) -> Tensor:
        """Map inputs `(n, B, C)`, time first, to the sum of the skips `(n, B, skip)`; while streaming, the next n.

        `cond` is of whole examples; features `(T, B, F)` are those of all sites, also of those that are yet to come.
        """
        if self.past is not None and torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):  # what is read in pieces is small
                return self.forward(x.to(self.weight.dtype), cond, features)
        n, batch = x.shape[:2]
        if self.past and n > 1:  # all at once only if nothing has been read before
            return torch.cat([self.forward(site, cond, features) for site in x.split(1)])
        start = self.advance(n)
        bias = self.bias[:, None]  # (L, 1 or B, 2C)
        if self.label is not None:
            bias = bias + self.label(cond).unflatten(1, self.bias.shape).transpose(0, 1)
        given = None if features is None else features[start : start + n].flatten(0, 1)  # (n * B, F)
        one = self.past is not None and n == 1
        layer = self._one_site(x, start, bias, given) if one else self._all_sites(x, bias, given)

        x = x.flatten(0, 1)
        inputs, units = [], []
        for i in range(len(self.dilations)):
            inputs.append(x)
            z, x = layer(i, x)  # (n * B, C) each
            units.append(z)
        if self.past is not None:
            kept = torch.stack(inputs).unflatten(1, (n, batch))
            self.rings.write(self._ring(kept), kept, start)
        out: Tensor = self.skip(torch.cat(units, 1))
        return out.unflatten(0, (n, batch))

    def _all_sites(self, x: Tensor, bias: Tensor, given: Tensor | None) -> Layer:
        """Return the function that computes a layer at all n sites of x together: `DilatedLayer`, with autocast."""
        n, batch = x.shape[:2]
        autocast = torch.is_autocast_enabled(x.device.type)
        dtype = torch.get_autocast_dtype(x.device.type) if autocast else x.dtype
        weights, biases = self.weight.to(dtype).unbind(), bias.to(dtype).unbind()
        residual = [*(R.to(dtype) for R in self.residual), None]
        local = () if self.local is None else self.local.unbind()

        def layer(i: int, x: Tensor) -> tuple[Tensor, Tensor]:
            h = biases[i].expand(n, batch, -1).flatten(0, 1)  # (n * B, 2C)
            if given is not None:
                h = torch.addmm(h, given, local[i])
            dropping = self.training and self.dropout
            mask = F.dropout(torch.ones_like(x, dtype=dtype), self.dropout) if dropping else None
            z, following = DilatedLayer.apply(x.to(dtype), h, weights[i], residual[i], mask, self.dilations[i] * batch)
            return z, following

        return layer

    def _one_site(self, x: Tensor, start: int, bias: Tensor, given: Tensor | None) -> Layer:
        """Return the function that computes a layer at a single new site.

        It adds what the newest input gives to what all the others, those in the rings, have given to all layers.
        """
        past, channels, compiling = self.past or {}, self.channels, self.compiling
        taps = self._ring(x)[self.rings.slots(start)]  # (L, k - 1, B, C)
        before = torch.baddbmm(bias, taps.transpose(1, 2).flatten(2), self.weight[:, :-channels])  # (L, B, 2C)
        if given is not None and self.local is not None:
            before = before + torch.matmul(given, self.local)
        if "layers" not in past:  # memory in one place: making views of it would take longer than filling it
            past["before"] = torch.empty_like(before)
            weights = zip(past["before"], self.weight[:, -channels:], [*self.residual, None], strict=True)
            past["layers"] = [(h, W, *h.chunk(2, 1), R) for h, W, R in weights]
        past["before"].copy_(before)
        layers = past["layers"]

        def layer(i: int, x: Tensor) -> tuple[Tensor, Tensor]:
            h, W, f, g, R = layers[i]
            if compiling:
                return step(h, W, R, x)
            h.addmm_(x, W)
            z = torch.tanh(f) * torch.sigmoid(g)
            return z, x if R is None else torch.addmm(x, z, R)

        return layer

    def keep(self, rows: Tensor) -> None:
        if self.past:
            self.past["ring"] = self.past["ring"][:, rows]
            for name in ("before", "layers"):  # for as many examples as there were
                self.past.pop(name, None)

    def _ring(self, x: Tensor) -> Tensor:
        """Return the rings for inputs like x `(..., B, C)`; they hold zeros before the first site."""
        past = self.past if self.past is not None else {}
        if "ring" not in past:
            past["ring"] = x.new_zeros(self.rings.size, x.shape[-2], x.shape[-1])
        ring: Tensor = past["ring"]
        return ring


def step(h: Tensor, W: Tensor, R: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the units of a layer at one site, and the inputs of the next, as a compiler likes it: nothing in place."""
    f, g = added(h, x, W).chunk(2, 1)
    z = torch.tanh(f) * torch.sigmoid(g)
    return z, x if R is None else added(x, z, R)


def added(h: Tensor, x: Tensor, W: Tensor) -> Tensor:
    """Return `h + x W`. Small products are sums, which are compiled with what surrounds them; others are calls."""
    if len(x) * W.numel() <= SMALL:
        return h + (x[..., None] * W).sum(1)
    return (h[None] + (x @ W)[None])[0]  # in two steps, or the compiler makes one call of both, which copies h first


class Rings(nn.Module):
    """Where each layer keeps its last `(k - 1) d` inputs: in a ring, in which the newest overwrites the oldest.

    The rings of all layers lie one after another in one tensor `(sum of sizes, B, C)`. Nothing in them is moved.
    """

    delays: Tensor
    sizes: Tensor
    starts: Tensor

    def __init__(self, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        d = torch.tensor(dilations)
        sizes = (kernel - 1) * d
        self.size = int(sizes.sum())
        self.register_buffer("delays", d[:, None] * torch.arange(kernel - 1, 0, -1), persistent=False)
        self.register_buffer("sizes", sizes[:, None], persistent=False)
        self.register_buffer("starts", (sizes.cumsum(0) - sizes)[:, None], persistent=False)

    def slots(self, position: int) -> Tensor:
        """Return where the taps before `position` are, `(L, k - 1)`; the input there goes to the first of them."""
        return (position - self.delays) % self.sizes + self.starts

    def write(self, ring: Tensor, x: Tensor, start: int) -> None:
        """Write the inputs `(L, n, B, C)` of every layer at the sites from `start` on over the oldest."""
        n = x.shape[1]
        if n == 1:
            ring.index_copy_(0, self.slots(start)[:, 0], x[:, 0])
            return
        for layer, size in enumerate(self.sizes[:, 0].tolist()):
            kept = torch.arange(max(n - size, 0), n, device=x.device)
            ring.index_copy_(0, self.starts[layer] + (start + kept) % size, x[layer, kept])
