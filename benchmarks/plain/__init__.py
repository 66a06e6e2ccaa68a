"""The papers written down the straightforward way, in standard PyTorch: what this project's speed is measured against.

Each is built from one of the project's densities and copies its weights, so that both compute the same likelihood,
which the tests check; only how they compute it differs. They take binary images or levels, and return nats.
"""

from benchmarks.plain.pixels import PlainDiagonalBiLSTM, PlainGatedPixelCNN, PlainPixelCNN, PlainRowLSTM
from benchmarks.plain.vectors import PlainMADE, PlainNADE
from benchmarks.plain.wavenet import PlainWaveNet

__all__ = [
    "PlainDiagonalBiLSTM",
    "PlainGatedPixelCNN",
    "PlainMADE",
    "PlainNADE",
    "PlainPixelCNN",
    "PlainRowLSTM",
    "PlainWaveNet",
]
