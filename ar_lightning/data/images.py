"""Bases of image datasets: random flips and quantisation."""

from typing import TYPE_CHECKING

from ar_lightning.core.levels import quantised
from ar_lightning.data.base import Dataset

if TYPE_CHECKING:
    import torch

__all__ = ["EightBitImages", "Images", "flipped", "treatment"]


class Images(Dataset):
    """Images; with `flip`, training batches are mirrored at random."""

    flip: bool

    def augment(self, x: "torch.Tensor") -> "torch.Tensor":
        return flipped(x) if self.flip else x


class EightBitImages(Images):
    """Images stored on 256 levels and quantised to `levels`, a batch at a time."""

    levels: int

    def values(self, x: "torch.Tensor") -> "torch.Tensor":
        return quantised(x, self.levels)


def flipped(x: "torch.Tensor") -> "torch.Tensor":
    """Mirror each image of a batch `(B, C, H, W)` left to right with probability 1/2, from torch's global generator."""
    import torch

    return torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)


def treatment(values: str, flip: bool) -> str:
    """Describe levels and flips for a `regime`."""
    return f"{values}, random flips of train" if flip else values
