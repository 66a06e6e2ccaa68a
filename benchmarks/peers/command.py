"""Ours beside public code that a user would pick: `python -m benchmarks peers --checkouts FOLDER`; half an hour.

FOLDER holds checkouts by the names of their repositories, none of which is part of this one:

{repositories}

`git clone https://github.com/OWNER/NAME FOLDER/NAME` and `git -C FOLDER/NAME checkout COMMIT` make one; what is absent
is left out, and said. The files of `benchmarks/peers` say what of a peer is adapted. Both do the same work on the same
machine in one process, in turn, A B A B ...: training steps (forward, backward, optimizer), scoring and sampling, and
the memory of a training step. With one thread, seconds are those of the processor, which other processes on the machine
disturb less than those of a clock. Medians are kept. Writes peers.json.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ar_lightning.core.files import write_json
from ar_lightning.training.provenance import machine
from benchmarks.peers import nanogpt, pixel_cnn_pp, pytorch_generative, pytorch_made, pytorch_wavenet
from benchmarks.peers.checkout import commit_of
from benchmarks.peers.pair import Pair, peak_bytes
from benchmarks.timing import in_turn, seconds_of

__all__ = ["PEERS", "main", "report"]


@dataclass(frozen=True)
class Peer:
    """Public code, at the commit that was measured.

    Args:
        module: of this package, which compares it.
        commit: its first twelve digits.
    """

    module: Any
    commit: str

    @property
    def name(self) -> str:
        """The name of the repository, and of the folder of its checkout."""
        return str(self.module.REPOSITORY).rpartition("/")[2]


PEERS = (
    Peer(pytorch_generative, "d1f0a5ce4519"),
    Peer(pytorch_made, "81886ccc8270"),
    Peer(pixel_cnn_pp, "7cb4436f062f"),
    Peer(nanogpt, "3adf61e154c3"),
    Peer(pytorch_wavenet, "26ba28989edc"),
)
COLUMNS = ("peer", "work", "at once", "parameters, theirs and ours", "theirs, s", "ours, s", "times faster", "memory")
ROUNDS, SECONDS = (5, 25), 6.0  # how often both are timed: about as many seconds, within bounds


def main(argv: list[str] | None = None) -> None:
    """Measure, print the table and write what was measured."""
    listed = "\n".join(f"  {peer.module.REPOSITORY} at {peer.commit}" for peer in PEERS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks peers", description=(__doc__ or "").format(repositories=listed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = [peer.name for peer in PEERS]
    parser.add_argument("--checkouts", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"{', '.join(names)}; rows of others stay",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="time each thing once: to see that it runs")
    default = Path(__file__).parent.parent / "results" / "peers.json"
    parser.add_argument("--out", type=Path, default=default, help="file to write")
    given = parser.parse_args(argv)
    if given.quick and given.out == default:
        parser.error("--quick measures nothing worth keeping: name another file with --out")
    chosen = [peer for peer in PEERS if peer.name in given.only]
    there = [peer for peer in chosen if (given.checkouts / peer.name).is_dir()]
    for peer in (peer for peer in chosen if peer not in there):
        print(f"left out: {given.checkouts / peer.name} is not there", file=sys.stderr)
    if not there:
        parser.error(f"no checkout in {given.checkouts}: clone one of {', '.join(names)}")
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    clock = "of the processor" if given.threads == 1 else "of a clock"
    about = {"machine": machine("cpu"), "torch": torch.__version__, "seconds": clock}
    rows = before(given.out, about, there)
    result = {**about, "rows": rows}
    places = {peer.module.REPOSITORY: place for place, peer in enumerate(PEERS)}
    for row in measured(there, given.checkouts, given.threads, given.quick):
        rows.append(row)
        rows.sort(key=lambda row: places[row["peer"]])
        write_json(result, given.out)
    print(report(result))


def before(file: Path, about: dict[str, Any], peers: list[Peer]) -> list[dict[str, Any]]:
    """Return the rows of other peers that were measured before, if that was on the same machine."""
    kept: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    again = {peer.module.REPOSITORY for peer in peers}
    same = all(kept.get(key) == value for key, value in about.items())
    return [row for row in kept["rows"] if row["peer"] not in again] if same else []


def measured(peers: list[Peer], checkouts: Path, threads: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Give a row for each thing that is compared."""
    for peer in peers:
        commit = commit_of(checkouts / peer.name)
        if commit != peer.commit:
            print(f"{peer.name}: is at {commit}, and was written for {peer.commit}", file=sys.stderr)
        pairs: Iterator[Pair] = peer.module.pairs(checkouts / peer.name)
        for pair in tqdm(pairs, desc=peer.name, disable=None, file=sys.stderr):
            yield {"peer": peer.module.REPOSITORY, "commit": commit} | row_of(pair, threads, quick)


def row_of(pair: Pair, threads: int, quick: bool) -> dict[str, Any]:
    """Time both, and where they train, measure what they allocate."""
    calls = {"theirs": pair.theirs, "ours": pair.ours}
    clock = time.process_time if threads == 1 else time.perf_counter
    first = sum(seconds_of(call, clock) for call in calls.values())
    rounds = 1 if quick else int(min(max(SECONDS / first, ROUNDS[0]), ROUNDS[1]))
    seconds = in_turn(calls, rounds, clock=clock)
    row = {
        "work": pair.work, "part": pair.part, "examples": pair.examples, "parameters": list(pair.parameters),
        "theirs": pair.often * seconds["theirs"], "ours": seconds["ours"], "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    if pair.part == "training step":
        row["bytes"] = {name: peak_bytes(call) for name, call in calls.items()}
    return row


def report(result: dict[str, Any]) -> str:
    """Return the table in Markdown: how many times faster ours is, and its memory as a part of the peer's."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"| {' | '.join('---' for _ in COLUMNS)} |"]
    for row in result["rows"]:
        sizes = " and ".join(f"{n:,}" for n in row["parameters"])
        memory = f"{row['bytes']['ours'] / row['bytes']['theirs']:.2f}" if "bytes" in row else ""
        cells = [
            row["peer"].rpartition("/")[2], f"{row['work']}: {row['part']}", str(row["examples"]), sizes,
            f"{row['theirs']:.4g}", f"{row['ours']:.4g}", f"{row['theirs'] / row['ours']:.2f}", memory,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
