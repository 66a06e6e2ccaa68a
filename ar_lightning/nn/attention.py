"""Causal self-attention: over all tokens at once, or while streaming over the keys and values kept so far."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.nn.kernels.turned import turned
from ar_lightning.nn.streaming import Streaming

__all__ = ["CausalSelfAttention"]


class CausalSelfAttention(Streaming):
    """Multi-head attention, in which each token reads itself and those before it, `width / heads` features a head."""

    def __init__(self, width: int, heads: int, tokens: int, bias: bool = True) -> None:
        super().__init__()
        if width % heads:
            nearest = min((d for d in range(1, width + 1) if width % d == 0), key=lambda d: abs(d - heads))
            raise ValueError(f"heads={heads} does not divide width={width}: take heads={nearest}")
        self.heads, self.tokens = heads, tokens
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.out = nn.Linear(width, width, bias)

    def forward(self, x: Tensor, turns: Tensor | None = None) -> Tensor:
        """Map tokens `(B, n, width)` to `(B, n, width)`; while streaming, the next n of them.

        Where positions are rotary, `turns` are those of the queries and of the keys, as `for_heads` gives them:
        `(n, 2, heads, width / heads // 2, 2)`, or with B before n where examples have positions of their own.
        """
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, n, 3, heads, width / heads)
        q, k, v = turned(qkv, turns)  # (B, heads, n, width / heads)
        if self.past is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            n = q.shape[2]
            start = self.advance(n)
            m = start + n
            if not start:  # memory for all tokens at once: nothing is ever copied to a larger place
                # It is never full, since a step of any length m that is compiled may not ask whether it is.
                self.past["kv"] = k.new_empty(2, *k.shape[:2], self.tokens + 1, k.shape[3])
            kv = self.past["kv"]
            if self.compiling:  # a slice would be compiled into a copy of all
                kv.index_copy_(3, torch.arange(start, m), torch.stack([k, v]))
            else:
                keys, values = kv
                keys[:, :, start:m], values[:, :, start:m] = k, v
            # A single new token reads everything; several are masked among themselves.
            mask = torch.ones(n, m, dtype=torch.bool, device=x.device).tril(start) if n > 1 else None
            k, v = kv[:, :, :, :m]
            y = attended(q, k, v) if self.compiling else F.scaled_dot_product_attention(q, k, v, mask)
        return self.out(y.transpose(1, 2).flatten(2))

    def keep(self, rows: Tensor) -> None:
        if self.past:
            self.past["kv"] = self.past["kv"][:, rows]


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the attention of one query `(B, heads, 1, d)` over keys and values `(B, heads, m, d)`.

    As sums of products, which a compiler turns into loops that read each number once; for eager they are too many.
    """
    scores = (q * k).sum(3) * q.shape[3] ** -0.5  # (B, heads, m)
    return (scores.softmax(2)[..., None] * v).sum(2, keepdim=True)
