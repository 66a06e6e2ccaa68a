"""karpathy/pytorch-made: MADE on binary images of 28x28, as they are."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers.checkout import imported
from benchmarks.peers.pair import Pair, Training, scored, stepped, trained
from benchmarks.works import Work

__all__ = ["REPOSITORY", "pairs"]

REPOSITORY = "karpathy/pytorch-made"


def pairs(checkout: Path) -> Iterator[Pair]:
    """Give what is compared."""
    work = Work("MADE, 500, 500 units", {"name": "made", "hidden": 500, "layers": 2}, batch=100)
    peer = imported(checkout / "made.py").MADE(784, [500, 500], 784)
    x = work.examples(work.batch).flatten(1).float()

    def loss() -> Tensor:
        return F.binary_cross_entropy_with_logits(peer(x), x, reduction="sum") / len(x)

    pair = stepped(work, Training(loss, peer, torch.optim.Adam(peer.parameters(), 1e-3)), trained(work))
    yield pair
    yield scored(pair)
