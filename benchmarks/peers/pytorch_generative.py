"""EugenHotaj/pytorch-generative: NADE, MADE, PixelCNN and Gated PixelCNN on binary images of 28x28.

Adaptations: the packages' `__init__.py` are left out, since they need torchvision; NADE, which returns probabilities,
is scored as such. Its `sample` of the convolutional models and of MADE is a forward pass for each pixel: one is timed,
and counted 784 times.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ar_lightning.training.optim import adam
from benchmarks.peers.pair import Pair, Training, sampled, scored, stepped, trained
from benchmarks.works import Work, density_of

__all__ = ["REPOSITORY", "pairs"]

REPOSITORY = "EugenHotaj/pytorch-generative"
PIXELS = 28 * 28
NUMBERS = (1, 16, 100)  # of samples of NADE
PARTS = {"NADE": "nade", "MADE": "made", "PixelCNN": "pixel_cnn", "GatedPixelCNN": "gated_pixel_cnn"}


def pairs(checkout: Path) -> Iterator[Pair]:
    """Give what is compared."""
    models = of(checkout)
    nade = Work("NADE, 500 units", {"name": "nade", "activation": "relu", "order": "raster"}, batch=100)
    yield from compared(nade, models["NADE"](784, 500), F.binary_cross_entropy, NUMBERS)
    for hidden in ([500, 500], [8000]):
        made = {"name": "made", "hidden": hidden[0], "layers": len(hidden)}
        work = Work(f"MADE, {', '.join(map(str, hidden))} units", made, batch=100)
        yield from compared(work, models["MADE"](784, hidden), numbers=(16,) if len(hidden) > 1 else ())
    for layers, hidden in ((7, 16), (15, 64)):
        cnn = {"name": "pixelcnn", "layers": layers, "hidden": hidden}
        peer = models["PixelCNN"](n_residual=layers, residual_channels=hidden)
        # Ours has one layer of the head more, of 32 by 32.
        yield from compared(Work(f"PixelCNN, {layers} x {hidden}", cnn), peer, numbers=(16,), apart=0.15)
    gated = Work("Gated PixelCNN, 7 x 32", {"name": "gated_pixelcnn", "layers": 7, "hidden": 32})
    # Its first layer is gated as the others are, and its vertical kernels are products of a row and a column.
    yield from compared(gated, models["GatedPixelCNN"](n_gated=6, gated_channels=32), numbers=(16,), apart=0.3)


def of(checkout: Path) -> dict[str, Any]:
    """Import the models from a checkout."""
    for name in ("pytorch_generative", "pytorch_generative.models"):
        package = ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    sys.modules["pytorch_generative"].nn = importlib.import_module("pytorch_generative.nn")  # type: ignore[attr-defined]
    folder = "pytorch_generative.models.autoregressive"
    return {name: getattr(importlib.import_module(f"{folder}.{file}"), name) for name, file in PARTS.items()}


def compared(
    work: Work,
    peer: nn.Module,
    nats: Callable[..., Any] = F.binary_cross_entropy_with_logits,
    numbers: tuple[int, ...] = (),
    apart: float = 0.02,
) -> Iterator[Pair]:
    """Give a training step, scoring, and so many samples."""
    x = work.examples(work.batch).float()

    def loss() -> torch.Tensor:
        return nats(peer(x), x, reduction="none").flatten(1).sum(1).mean()

    theirs = Training(loss, peer, torch.optim.Adam(peer.parameters()))
    pair = stepped(work, theirs, trained(work, adam), apart=apart)
    yield pair
    yield scored(pair)
    density = density_of(work).eval()
    for n in numbers:
        if work.model["name"] == "nade":
            yield sampled(pair, density, lambda n=n: peer.sample(n), n)
        else:
            yield sampled(pair, density, forward_of(peer, work.examples(n).float()), n, often=PIXELS)


def forward_of(peer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Return a forward pass without gradients."""

    @torch.no_grad()
    def forward() -> None:
        peer(x)

    return forward
