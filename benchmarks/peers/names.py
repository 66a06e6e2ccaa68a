"""Public makemore on our split of the names: `python -m benchmarks.peers.names CHECKOUT [--steps N] [--out FILE]`.

Trains the transformer of karpathy/makemore as its command does by default (4 layers of 64, batches of 32 drawn with
replacement, AdamW at 5e-4 with weight decay 0.01) on the training names of `data.name=names`. Its own command tests on
a thousand names of its own and keeps what is best on them; here all validation names choose the parameters, and the
test names are scored once for each. Nats are a symbol, ends included, as ours are. Ten minutes of one core; three
changes save time and change rounding alone: batches end with their longest name, GELU is PyTorch's, AdamW is fused.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import trange

from ar_lightning.core.files import write_json
from ar_lightning.data.datasets.names import Names
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.codec import ROOT
from benchmarks.peers.checkout import commit_of, imported

EVERY = 1000  # steps from one evaluation to the next
SEED = 3407  # makemore's
Pairs = tuple[Tensor, Tensor]  # what it reads, and what it is to predict: -1 after the end


def words(data: ArrayDataModule, split: str) -> list[str]:
    """Return the names of a split of ours."""
    spec = data.spec
    assert spec.medium.symbols is not None and spec.end is not None
    return [
        "".join(spec.medium.symbols[v] for v in row if v != spec.end) for row in data.split(split)[0][:, 0].tolist()
    ]


def pairs(makemore: Any, data: ArrayDataModule, split: str) -> Pairs:
    """Return the names of a split as makemore encodes them."""
    symbols, longest = data.spec.medium.symbols, data.spec.shape[-1] - 1
    examples = [*makemore.CharDataset(words(data, split), symbols, longest)]
    x, y = (torch.stack(column) for column in zip(*examples, strict=True))
    assert int((y >= 0).sum()) == round(data.dims(split) * len(x)), "as many symbols as ours counts"
    return x, y


def cut(x: Tensor, y: Tensor, rows: Tensor) -> Pairs:
    """Return some names, without the columns behind the end of the longest."""
    longest = int((y[rows] >= 0).sum(1).max())
    return x[rows, :longest], y[rows, :longest]


@torch.inference_mode()
def nats(model: Any, split: Pairs) -> float:
    """Return the mean of -log p of a symbol."""
    x, y = split
    batches = [(int((b >= 0).sum()), float(model(a, b)[1])) for a, b in zip(x.split(256), y.split(256), strict=True)]
    return sum(n * mean for n, mean in batches) / sum(n for n, _ in batches)


def trained(makemore: Any, steps: int) -> Iterator[dict[str, Any]]:
    """Train makemore's transformer; after each evaluation, yield its curve and the row that validation chooses."""
    data = ArrayDataModule(Names())
    splits = {name: pairs(makemore, data, name) for name in ("train", "valid", "test")}
    torch.manual_seed(SEED)
    config = makemore.ModelConfig(vocab_size=data.spec.levels, block_size=data.spec.shape[-1])
    makemore.NewGELU.forward = lambda _, x: F.gelu(x, approximate="tanh")
    model = makemore.Transformer(config)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99), eps=1e-8, fused=True
    )
    x, y = splits["train"]
    curve, seconds = [], 0.0
    for step in trange(1, steps + 1, disable=None, file=sys.stderr):
        start = time.process_time()
        loss = model(*cut(x, y, torch.randint(len(x), (32,))))[1]
        model.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds += time.process_time() - start
        if step % EVERY == 0:
            curve.append({"step": step, "valid": nats(model, splits["valid"]), "test": nats(model, splits["test"])})
            best = min(curve, key=lambda row: row["valid"])
            parameters = sum(p.numel() for p in model.parameters())
            yield {
                "parameters": parameters, "regime": data.regime, "steps": step, "cpu_seconds_training": round(seconds),
                "best": best, "curve": curve,
            }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT", help="of https://github.com/karpathy/makemore")
    parser.add_argument("--steps", type=int, default=16_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "names" / "makemore.json")
    given = parser.parse_args(argv)
    if given.steps < EVERY:
        parser.error(f"--steps {given.steps}: is evaluated every {EVERY} steps, so it takes that many at least")
    about = {"peer": "karpathy/makemore", "commit": commit_of(given.checkout), "machine": machine("cpu")}
    about["torch"] = torch.__version__
    for result in trained(imported(given.checkout / "makemore.py"), given.steps):
        write_json(about | result, given.out)
        best = result["best"]
    print(f"best validation at step {best['step']:,}: {best['valid']:.4f} nats a symbol, test {best['test']:.4f}")


if __name__ == "__main__":
    command.run(main)
