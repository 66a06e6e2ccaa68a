"""The gate of Gated PixelCNN and WaveNet: `tanh(a) * sigmoid(b)`."""

from torch import Tensor

from ar_lightning.nn.kernels.gate import Gate

__all__ = ["gate"]


def gate(maps: Tensor, groups: int = 1, added: Tensor | None = None) -> Tensor:
    """Return `tanh(a) * sigmoid(b)`, where `[a, b]` are the two halves of the channels of each group.

    Args:
        maps: pre-activations `(B, groups * 2 * n, *sites)`.
        groups: number of groups of channels.
        added: more pre-activations of the same shape, to be added to `maps`; None for none.

    Returns:
        `(B, groups * n, *sites)`.
    """
    gated: Tensor = Gate.apply(maps, groups, added)
    return gated
