"""karpathy/nanoGPT: its model at the setting for a CPU of its README, as it is.

Tiny Shakespeare, 65 characters, windows of 64, 4 layers of 128 with 4 heads, batches of 12, AdamW and gradients clipped
as train.py has them. Ours has the same layers, and then those of its defaults: rotary positions, RMSNorm, biases. The
peer's `generate` reads the whole text again for each character.
"""

import contextlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ar_lightning.training.optim import adamw
from benchmarks.peers.checkout import imported
from benchmarks.peers.pair import Pair, Training, sampled, scored, stepped, trained
from benchmarks.works import Work, density_of

__all__ = ["REPOSITORY", "pairs"]

REPOSITORY = "karpathy/nanoGPT"
CHARACTERS, WINDOW, BATCH = 65, 64, 12
SIZES = {"layers": 4, "width": 128, "heads": 4}
GPT2 = {"rotary": False, "norm": "layer", "bias": False}
NUMBERS = (1, 16)


def pairs(checkout: Path) -> Iterator[Pair]:
    """Give what is compared."""
    for options, title in ((GPT2, ""), ({}, ", rotary, RMSNorm, biases")):
        model = {"name": "transformer", **SIZES, **options}
        work = Work(f"transformer, 4 x 128, 64 characters{title}", model, (1, WINDOW), CHARACTERS, BATCH)
        yield from of_work(checkout, work)


def of_work(checkout: Path, work: Work) -> Iterator[Pair]:
    """Give the pairs of one transformer of ours."""
    peer, optimizer = network(checkout)
    text = work.examples(BATCH)[:, 0]
    x, y = text.roll(1, 1), text

    def loss() -> Tensor:
        nats: Tensor = peer(x, y)[1]
        return nats

    ours = trained(work, partial(adamw, weight_decay=0.1, betas=(0.9, 0.99)), clip=1.0)
    # Ours embeds places on both sides of a token, and has an output layer of its own.
    pair = stepped(work, Training(loss, peer, optimizer, clip=1.0), ours, apart=0.05)
    yield pair
    yield scored(pair)
    density = density_of(work).eval()
    for n in NUMBERS:
        yield sampled(pair, density, lambda n=n: peer.eval().generate(torch.zeros(n, 1, dtype=torch.long), WINDOW), n)


def network(checkout: Path) -> tuple[Any, torch.optim.Optimizer]:
    """Return the peer's network and optimizer, which say their sizes where no one reads it."""
    model = imported(checkout / "model.py")
    with contextlib.redirect_stdout(io.StringIO()):
        config = model.GPTConfig(
            block_size=WINDOW, vocab_size=CHARACTERS, n_layer=SIZES["layers"], n_head=SIZES["heads"],
            n_embd=SIZES["width"], dropout=0.0, bias=False,
        )  # fmt: skip
        peer = model.GPT(config)
        return peer, peer.configure_optimizers(1e-1, 1e-3, (0.9, 0.99), "cpu")
