"""pclucas14/pixel-cnn-pp: PixelCNN++ on colour images of 32x32.

Adaptations: a `print` statement of Python 2 is a call, and what is put on a GPU stays on the CPU. A shortcut and the
other stream enter through one 1x1 convolution there, and through one each in ours. Dropout is of channels there, of
values in ours, as in the paper's code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.checkout import imported
from benchmarks.peers.pair import Pair, Training, scored, stepped, trained
from benchmarks.works import Work

__all__ = ["REPOSITORY", "pairs"]

REPOSITORY = "pclucas14/pixel-cnn-pp"
RESNETS = 2
WIDTHS = (32, 40)


def pairs(checkout: Path) -> Iterator[Pair]:
    """Give what is compared."""
    utils = imported(checkout / "utils.py", {"print e": "print(e)", ".cuda()": ""})
    imported(checkout / "layers.py")
    network = imported(checkout / "model.py", {".cuda()": ""}).PixelCNN
    for filters in WIDTHS:
        for dropout in (0.5, 0.0):
            yield from compared(utils, network(RESNETS, filters, 10), filters, dropout)


def compared(utils: Any, peer: Any, filters: int, dropout: float) -> Iterator[Pair]:
    """Give a training step, and where nothing is dropped also scoring."""
    model = {"name": "pixelcnnpp", "filters": filters, "resnets": RESNETS, "dropout": dropout}
    dropped = f", dropout {dropout:g}" if dropout else ""
    work = Work(f"PixelCNN++, {filters} filters, 3 x {RESNETS} resnets{dropped}", model, (3, 32, 32), 256, batch=4)
    for module in peer.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = dropout
    x = work.examples(work.batch) / 127.5 - 1

    def loss() -> Tensor:
        nats: Tensor = utils.discretized_mix_logistic_loss(x, peer(x))
        return nats / len(x)

    theirs = Training(loss, peer, torch.optim.Adam(peer.parameters()))
    pair = stepped(work, theirs, trained(work))
    yield pair
    if not dropout:
        yield scored(pair)
