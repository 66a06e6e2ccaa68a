"""Passes over a row until its pixels are those of the sampler: `python -m benchmarks.row_blocks [RUN ...]`.

Pixels can be drawn a row at a time: all by their noise and a guess of those to their left, again and again until none
changes (Song, Meng, Liao & Ermon, "Accelerating Feedforward Computation via Parallel Nonlinear Equation Solving", ICML
2021). The last pass finds that nothing has changed. It would pay if so many passes over a row took less time than the
steps at its pixels. The first guess is the row above. Writes row_blocks.json.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.files import write_json
from ar_lightning.density.density import Density
from ar_lightning.inference.open import read_run
from benchmarks import command

__all__ = ["main", "passes"]

TRAINED = ("zoo:gated_pixelcnn_binarized_mnist", "zoo:row_lstm_7x24_dropout_binarized_mnist")


def main(argv: list[str] | None = None) -> None:
    """Count, print and keep the passes of each run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.row_blocks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("runs", nargs="*", metavar="RUN", default=TRAINED, help=f"default: {' '.join(TRAINED)}")
    parser.add_argument("--n", type=int, default=64, help="images")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "row_blocks.json")
    args = parser.parse_args(argv)
    found = {run: counted(read_run(run).density(), args.n) for run in args.runs}
    write_json({"n": args.n, "runs": found}, args.out)
    for run, row in found.items():
        print(f"{run}: {row['mean']:.1f} passes a row of an image, {row['of_batch']:.1f} of {args.n} images at once")


def counted(density: Density, n: int) -> dict[str, Any]:
    """Return the mean passes of a row of one image, the most, and the mean of those that n images need together."""
    counts = passes(density, density.noise(n, torch.Generator().manual_seed(0)))[1].double()
    return {"mean": float(counts.mean()), "most": int(counts.max()), "of_batch": float(counts.amax(0).mean())}


@torch.inference_mode()
def passes(density: Density, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Draw images of one channel a row at a time.

    Returns:
        The images `(n, 1, H, W)`, and the passes that each row of each took, `(n, H)`.
    """
    channels, height, width = density.spec.shape
    if channels > 1 or density.model.members > 1:
        raise ValueError("rows of one channel alone, of a density of one member")
    density.eval()
    x = torch.zeros(len(noise), 1, height, width, dtype=torch.long)
    counts = torch.zeros(len(noise), height, dtype=torch.long)
    for i in tqdm(range(height), unit=" rows", leave=False, disable=None):
        u = noise[:, i * width : (i + 1) * width].flatten(0, 1)  # (n * W, noise)
        x[:, :, i] = x[:, :, i - 1] if i else 0
        going = torch.ones(len(x), dtype=torch.bool)
        while going.any():
            params = density.parameters_of(x, None, 0)[:, :, i].transpose(1, 2).flatten(0, 1)  # (n * W, P)
            row = density.likelihood.sample(params, u).view(len(x), 1, width)
            counts[going, i] += 1
            going &= (row != x[:, :, i]).flatten(1).any(1)
            x[:, :, i] = row
    return x, counts


if __name__ == "__main__":
    command.run(main)
