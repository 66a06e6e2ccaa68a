"""Real channels of examples as lines over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from ar_lightning.media.plots import plain_text

__all__ = ["draw_channels"]

ROWS = 8  # examples on a sheet
NAMED = 10  # channels that have a colour each, and a place in the legend
KNOWN, OVER = (1.0, 0.78, 0.47), (0.87, 0.87, 0.87)  # colours behind what a model was told, and after an end


@plain_text()
def draw_channels(
    examples: Sequence[np.ndarray], length: int, rate: float, file: Path | IO[bytes], known: int = 0
) -> None:
    """Draw the channels `(C, n)` of up to 8 examples, each of at most `length` frames, on the same axes.

    The first `known` frames are shaded, and what is after an end is grey.
    """
    from matplotlib.figure import Figure

    shown = examples[:ROWS]
    figure = Figure(figsize=(10, 0.8 + 1.4 * max(1, len(shown))), layout="constrained")
    axes = figure.subplots(max(1, len(shown)), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, frames in zip(axes, shown, strict=False):
        n = frames.shape[1]
        for i, channel in enumerate(frames):
            axis.plot(np.arange(n) / rate, channel, marker=".", markersize=3, linewidth=0.8, label=str(i))
        axis.set_xlim(0, length / rate)
        axis.axvspan(n / rate, length / rate, color=OVER, zorder=0)
        if known:
            axis.axvspan(0, min(known, n) / rate, color=KNOWN, zorder=0)
    if len(shown) and 1 < len(shown[0]) <= NAMED:
        axes[0].legend(title="channel", loc="upper left", bbox_to_anchor=(1, 1))
    axes[-1].set_xlabel("seconds")
    figure.savefig(file, format="png", dpi=100)
