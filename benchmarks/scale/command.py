"""Past one machine: `python -m benchmarks scale`; what was measured before stays.

Sweeps: workers whose trials do nothing, against one PostgreSQL server (`--postgres URL`, as a user who may make
databases). Training: DDP steps of the published CIFAR-10 models with one and two processes here, and the efficiency
that is expected of 8 and 64 GPUs. Memory of their steps, computed and checked. Writes scale.json and scale.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ar_lightning.core.files import write_json, written
from ar_lightning.training.provenance import machine
from benchmarks.scale.report import tables

__all__ = ["main"]

WORKERS, RECORDED, HOSTS = (8, 64, 256), (100, 10_000), 4
MOST = 64 * 10_000  # trials that all workers together remember: each reads the whole study into its own memory


def main(argv: list[str] | None = None) -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--postgres", metavar="URL", help="server of the sweeps, with max_connections of 2 a worker")
    parser.add_argument(
        "--hosts", type=int, default=1, help=f"also from so many network namespaces, {HOSTS} say (root)"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS), help="processes of the sweeps")
    parser.add_argument("--recorded", type=int, nargs="+", default=list(RECORDED), help="trials in the study before")
    parser.add_argument("--models", nargs="+", metavar="CONFIG", type=Path, help="configs (default: all of CIFAR-10)")
    default = Path(__file__).parents[1] / "results" / "scale"
    parser.add_argument("--out", type=Path, default=default, help="files to write, without their endings")
    args = parser.parse_args(argv)
    file = args.out.with_suffix(".json")
    measured: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    measured["machine"] = machine("cpu")
    for part in args.only:
        for row in PARTS[part](args):
            measured[part] = [other for other in measured.get(part, []) if _of(other) != _of(row)] + [row]
            write_json(measured, file)
    text = tables(measured)
    print(text)
    with written(args.out.with_suffix(".md")) as partial:
        partial.write_text(text)


def _of(row: dict[str, Any]) -> list[Any]:
    """What a row is of: it takes the place of an earlier one, and rows of others stay."""
    return [row.get(key) for key in ("config", "recorded", "hosts", "workers")]


def _sweeps(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from benchmarks.scale.sweeps import saturation

    if args.postgres is None:
        print("sweeps are left out: name a server with --postgres", file=sys.stderr)
        return
    places = sorted({1, args.hosts})
    sizes = [(w, r) for r in args.recorded for w in args.workers]
    for workers, recorded in sizes:
        if workers * recorded > MOST:
            print(f"{workers} workers, {recorded:,} trials before: left out, too much memory", file=sys.stderr)
    runs = [(w, r, h) for h in places for w, r in sizes if w * r <= MOST]
    for run in _shown(runs, "sweeps"):
        yield saturation(args.postgres, *run)


def _training(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from benchmarks.scale.published import CIFAR10
    from benchmarks.scale.training import training_of

    return map(training_of, _shown(args.models or CIFAR10, "training"))


def _memory(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from benchmarks.scale.memory import memory_of
    from benchmarks.scale.published import CIFAR10

    return map(memory_of, _shown(args.models or CIFAR10, "memory"))


def _shown(items: list[Any], part: str) -> Any:
    return tqdm(items, desc=part, disable=None, file=sys.stderr)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[dict[str, Any]]]] = {
    "sweeps": _sweeps,
    "training": _training,
    "memory": _memory,
}
