"""Stacks of gated dilated causal convolutions: all sites at once, or while streaming one at a time from ring buffers.

    x_{l+1}[t] = x_l[t] + z_l[t] R_l,    z_l = tanh(f_l) * sigmoid(g_l),    skip[t] = b + sum_l z_l[t] S_l
    (f_l, g_l)[t] = b_l + sum_j x_l[t - j d_l] W_lj + U_l[y] + u[t] V_l,    j = 0..k-1

Activations are kept time first, `(n * B, C)`: a shift in time is then a slice of rows, a convolution is a matrix
product for each of its k taps, and the skips of all layers are a single product over their joined units.

While streaming, each layer remembers its last `(k - 1) d` inputs in a ring, into which the newest is written over the
oldest: nothing is moved, and a step costs the same for any dilation. All taps but the newest are known before the step
begins, in all layers: one gather and one batched product give what they add to the units.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.nn.streaming import Streaming

__all__ = ["DilatedStack"]

Pair = tuple[Tensor, Tensor]


class DilatedStack(Streaming):
    """Gated residual layers, each a dilated causal convolution, and the sum of their skip connections.

    References:
        van den Oord et al., WaveNet: A Generative Model for Raw Audio (2016).
        Le Paine et al., Fast Wavenet Generation Algorithm (2016): the queues of past inputs.

    Args:
        channels: C of the residual stream, and gated units of a layer.
        skip: channels of the output.
        kernel: taps k of a convolution.
        dilations: sites d between the taps of each layer.
        dropout: probability of dropping a gated unit.
        classes: number of labels y to condition on, 0 for none.
        features: number of features u of a site to condition on, 0 for none.
    """

    delays: Tensor
    sizes: Tensor
    starts: Tensor

    def __init__(
        self, channels: int, skip: int, kernel: int, dilations: Sequence[int], dropout: float = 0.0, classes: int = 0,
        features: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        depth = len(dilations)
        self.channels, self.kernel, self.dilations, self.dropout = channels, kernel, tuple(dilations), dropout
        # The oldest tap first; the filters are the first half of the outputs, the gates the second.
        self.weight = nn.Parameter(torch.randn(depth, kernel * channels, 2 * channels) * (kernel * channels) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(depth, 2 * channels))
        # Nothing reads the residual stream after the last layer.
        self.residual = nn.ParameterList(torch.randn(channels, channels) * channels**-0.5 for _ in dilations[1:])
        self.skip = nn.Linear(depth * channels, skip)
        self.label = nn.Embedding(classes, depth * 2 * channels) if classes else None
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.1)
        self.local = nn.Parameter(torch.randn(depth, features, 2 * channels) * features**-0.5) if features else None

        d = torch.tensor(self.dilations)
        sizes = (kernel - 1) * d
        self.register_buffer("delays", d[:, None] * torch.arange(kernel - 1, 0, -1), persistent=False)
        self.register_buffer("sizes", sizes[:, None], persistent=False)
        self.register_buffer("starts", (sizes.cumsum(0) - sizes)[:, None], persistent=False)

    @property
    def reach(self) -> int:
        """Number of inputs, up to and including its own, that an output sees."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    def forward(self, x: Tensor, labels: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Map inputs `(n, B, C)`, time first, to the sum of the skips `(n, B, skip)`; while streaming, the next n.

        Args:
            x: inputs.
            labels: `(B,)`, where there are classes.
            features: `(T, B, F)` of all sites, also of those that are yet to come, where there are features.
        """
        if self.past is not None and torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):  # what is read in pieces is small
                return self.forward(x.to(self.weight.dtype), labels, features)
        n, batch = x.shape[:2]
        start = self.advance(n)
        bias = self.bias[:, None]  # (L, 1 or B, 2C)
        if self.label is not None:
            bias = bias + self.label(labels).unflatten(1, self.bias.shape).transpose(0, 1)
        given = None if features is None else features[start : start + n].flatten(0, 1)  # (n * B, F)
        step = self.past is not None and n == 1
        gates = self._step(x, start, bias, given) if step else self._convolved(x, start, bias, given)
        residual = self.residual if self.past is None else self.past.setdefault("residual", list(self.residual))

        x = x.flatten(0, 1)
        inputs, units = [], []
        for layer in range(len(self.dilations)):
            inputs.append(x)
            f, g = gates(layer, x)
            z = torch.tanh(f) * torch.sigmoid(g)  # (n * B, C)
            if self.training and self.dropout:
                z = F.dropout(z, self.dropout)
            units.append(z)
            if layer < len(residual):
                x = torch.addmm(x, z, residual[layer])
        if self.past is not None:
            self._remember(inputs, start, n)
        out: Tensor = self.skip(torch.cat(units, 1))
        return out.unflatten(0, (n, batch))

    def _convolved(self, x: Tensor, start: int, bias: Tensor, given: Tensor | None) -> Callable[[int, Tensor], Pair]:
        """Return the function that computes the pre-activations of a layer, of all n sites in x together."""
        n, batch, channels = x.shape
        taps = self.weight.unflatten(1, (self.kernel, channels)).flatten(0, 1).unbind()
        biases, local = bias.unbind(), () if self.local is None else self.local.unbind()

        def gates(layer: int, x: Tensor) -> Pair:
            h = biases[layer].expand(n, batch, -1).flatten(0, 1)
            window = self._after_past(layer, x, start, batch)
            shift = self.dilations[layer] * batch  # rows between taps
            for j in range(self.kernel):
                h = torch.addmm(h, window[j * shift : j * shift + len(x)], taps[layer * self.kernel + j])
            if given is not None:
                h = torch.addmm(h, given, local[layer])
            f, g = h.chunk(2, 1)
            return f, g

        return gates

    def _after_past(self, layer: int, x: Tensor, start: int, batch: int) -> Tensor:
        """Put before the rows of x the inputs that the layer remembers, oldest first; zeros where there are none."""
        size = (self.kernel - 1) * self.dilations[layer]
        if not self.past or "ring" not in self.past:
            return F.pad(x, (0, 0, size * batch, 0))
        slots = self.starts[layer] + (start + torch.arange(size, device=x.device)) % size
        return torch.cat([self.past["ring"][slots].flatten(0, 1), x])

    def _step(self, x: Tensor, start: int, bias: Tensor, given: Tensor | None) -> Callable[[int, Tensor], Pair]:
        """Return the function that computes the pre-activations of a layer at a single new site.

        It adds what the newest input gives to what all the others, those in the rings, have given to all layers.
        """
        past, channels = self.past or {}, self.channels
        taps = self._ring(x)[self._slots(start)]  # (L, k - 1, B, C)
        before = torch.baddbmm(bias, taps.transpose(1, 2).flatten(2), self.weight[:, :-channels])  # (L, B, 2C)
        if given is not None and self.local is not None:
            before = before + torch.matmul(given, self.local)
        if "layers" not in past:  # memory in one place: making views of it would take longer than filling it
            past["before"] = torch.empty_like(before)
            newest = self.weight[:, -channels:]
            past["layers"] = [(h, W, *h.chunk(2, 1)) for h, W in zip(past["before"], newest, strict=True)]
        past["before"].copy_(before)
        layers = past["layers"]

        def gates(layer: int, x: Tensor) -> Pair:
            h, W, f, g = layers[layer]
            h.addmm_(x, W)
            return f, g

        return gates

    def _slots(self, position: int) -> Tensor:
        """Return where in the ring the taps before `position` are, `(L, k - 1)`; it goes where the first of them is."""
        return (position - self.delays) % self.sizes + self.starts

    def _ring(self, x: Tensor) -> Tensor:
        """Return the rings of all layers, one after another, `(sum of sizes, B, C)`: zeros before the first site."""
        past = self.past if self.past is not None else {}
        if "ring" not in past:
            past["ring"] = x.new_zeros((self.kernel - 1) * sum(self.dilations), x.shape[-2], x.shape[-1])
        ring: Tensor = past["ring"]
        return ring

    def _remember(self, inputs: list[Tensor], start: int, n: int) -> None:
        """Write the inputs of every layer `(n * B, C)` into the rings, over those that no later site reads."""
        x = torch.stack(inputs).unflatten(1, (n, -1))  # (L, n, B, C)
        ring = self._ring(x)
        if n == 1:
            ring.index_copy_(0, self._slots(start)[:, 0], x[:, 0])
            return
        for layer, dilation in enumerate(self.dilations):
            size = (self.kernel - 1) * dilation
            kept = torch.arange(max(n - size, 0), n, device=x.device)
            ring.index_copy_(0, self.starts[layer] + (start + kept) % size, x[layer, kept])
