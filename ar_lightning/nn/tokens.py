"""Read tokens into features: numbers through a linear map, levels from an embedding table."""

from typing import Any

from torch import Tensor, nn

from ar_lightning.core.spec import Shapes

__all__ = ["TokenReader"]


class TokenReader(nn.Module):
    """Maps encoded tokens to features: an embedding of each level, or a linear map of numbers.

    The zeros before the first token are the level 0, which has an embedding of its own, or the number 0.
    """

    def __init__(self, shapes: Shapes, width: int) -> None:
        super().__init__()
        self.table: Any = nn.Embedding(shapes.embedded, width) if shapes.embedded else None
        self.linear: Any = None if shapes.embedded else nn.Linear(shapes.token_inputs, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `(B, n, E)` to `(B, n, width)`."""
        read: Tensor = self.linear(tokens) if self.table is None else self.table(tokens[..., 0].long())
        return read
