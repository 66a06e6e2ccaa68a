"""vincentherrmann/pytorch-wavenet: WaveNet, a second at 8 kHz.

Adaptations: zeros are put before a signal by PyTorch's `pad`, since its own autograd function is of an older PyTorch;
for the same reason a column is put in a queue as a vector; the dataset, which needs librosa, is left out; it generates
without gradients. Its training scores the samples that have the whole receptive field before them, 4,931 of the 8,000
that it reads; ours scores all. Its `generate_fast`, with queues as in Le Paine et al., 2016, draws one recording.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers.checkout import imported
from benchmarks.peers.pair import Pair, Training, sampled, scored, stepped, trained
from benchmarks.works import Work, density_of

__all__ = ["REPOSITORY", "pairs"]

REPOSITORY = "vincentherrmann/pytorch-wavenet"
MODEL = {"name": "wavenet", "channels": 32, "skip": 256, "layers": 10, "stacks": 3}
LEVELS, SECOND, DRAWN = 256, 8000, 512
PADDED = """    n = target_size - input.size(dimension)
    sides = (n, 0) if pad_start else (0, n)
    return F.pad(input, (0, 0) * (input.dim() - 1 - dimension) + sides, value=value)
"""


def pairs(checkout: Path) -> Iterator[Pair]:
    """Give what is compared."""
    work = Work("WaveNet, 3 x 10 layers of 32", MODEL, (1, SECOND), LEVELS, batch=1)
    pad = "    return ConstantPad1d(target_size, dimension, value, pad_start)(input)"
    imported(checkout / "wavenet_modules.py", {pad: PADDED})
    changes = {
        "from audio_data import *": "mu_law_expansion = lambda x, _: x",
        "input.data[0])": "input.data[0, :, 0])",
    }
    model = imported(checkout / "wavenet_model.py", changes)
    peer = model.WaveNetModel(blocks=3, output_length=1)
    peer.output_length = SECOND - peer.receptive_field + 1
    ours = trained(work)
    assert ours.network.model.receptive_field == peer.receptive_field
    levels = work.examples(1)[:, 0]
    x, y = F.one_hot(levels, LEVELS).transpose(1, 2).float(), levels[0, -peer.output_length :]

    def loss() -> Tensor:
        return F.cross_entropy(peer(x), y)

    pair = stepped(work, Training(loss, peer, torch.optim.Adam(peer.parameters())), ours)
    yield pair
    yield scored(pair)
    density = density_of(Work(work.title, MODEL, (1, DRAWN), LEVELS)).eval()
    yield sampled(pair, density, generated(peer), 1)


def generated(peer: Any) -> Callable[[], None]:
    """Return a draw of a recording of 512 samples."""

    @torch.no_grad()
    def generate() -> None:
        peer.generate_fast(DRAWN, progress_interval=DRAWN)

    return generate
