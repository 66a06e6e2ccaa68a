"""How fast it is: `python -m benchmarks`; some minutes on two cores.

Training steps and sampling of each model against the straightforward way of its paper (`benchmarks/plain`), which
computes the same likelihood, and against what the machine allows (`benchmarks/limits.py`); how sampling grows with an
image and with the number of samples; WaveNet against real time; what the Trainer costs beside a bare loop. All that is
compared is timed in turn, A B A B ..., and medians are kept. Writes speed.json, speed.md and speed.png.

`python -m benchmarks peers --checkouts FOLDER` measures public code beside ours, `python -m benchmarks scale` what lies
past one machine: each has its own `--help`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ar_lightning.core.files import write_json, written
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.limits import rates
from benchmarks.overhead import overhead
from benchmarks.peers.command import main as peers
from benchmarks.report import plot, tables
from benchmarks.scale.command import main as scale
from benchmarks.speed import Setup, growth, sampling, start_up, training, wavenet_sampling
from benchmarks.works import WORKS


def main(argv: list[str] | None = None) -> None:
    """Measure, print the tables and write them."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] in (["peers"], ["scale"]):
        {"peers": peers, "scale": scale}[argv[0]](argv[1:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = f"{', '.join(PARTS)}; what was measured of the others here stays, and of other models"
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=parts)
    parser.add_argument(
        "--models", nargs="+", choices=WORKS, default=list(WORKS), metavar="NAME", help=", ".join(WORKS)
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--bf16", action="store_true", help="networks compute in bfloat16")
    parser.add_argument("--quick", action="store_true", help="time each thing once: to see that it runs")
    default = Path(__file__).parent / "results" / "speed"
    parser.add_argument("--out", type=Path, default=default, help="files to write, without their endings")
    args = parser.parse_args(argv)
    if args.quick and args.out == default:
        parser.error("--quick measures nothing worth keeping: name other files with --out")
    torch.manual_seed(0)
    setup = Setup(args.device, args.bf16, args.quick)
    about: dict[str, Any] = {
        "machine": machine(args.device), "torch": torch.__version__, "precision": "bf16" if args.bf16 else "float32",
    }  # fmt: skip
    measured = {**_before(args.out.with_suffix(".json"), about), **about}
    if LIMITED & {*args.only}:
        measured["rates"] = rates(args.device, setup.dtype)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for part in args.only:  # kept one by one: all take long
        measured[part] = _beside(measured.get(part), PARTS[part](args.models, setup), args.models)
        _write(measured, args.out)
    print(tables(measured))


def _write(measured: dict[str, Any], out: Path) -> None:
    write_json(measured, out.with_suffix(".json"))
    with written(out.with_suffix(".md")) as partial:
        partial.write_text(tables(measured))
    plot(measured, out.with_suffix(".png"))


def _before(file: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return what the file says of parts that were measured before, if that was on the same machine."""
    before: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    if other := [f"{key} {before.get(key)}" for key in about if before.get(key) != about[key]]:
        if before:
            print(f"note: {file} is of {', '.join(other)}: nothing of it is kept", file=sys.stderr)
        return {}
    return before


def _beside(before: Any, now: Any, models: list[str]) -> Any:
    """Return what was measured now of a part, beside what was before of other models."""
    if isinstance(now, dict):
        return {**(before or {}), **now}
    if not now:  # of none of these models
        return before or []
    others = [row for row in before or [] if row.get("model", models[0]) in {*WORKS} - {*models}]
    return sorted([*others, *now], key=lambda row: list(WORKS).index(row.get("model", models[0])))


def shown(names: list[str], part: str) -> Any:
    return tqdm(names, desc=part, disable=None, file=sys.stderr)


def trained(models: list[str], setup: Setup) -> list[dict[str, Any]]:
    names = [m for m in models if WORKS[m].trains]
    return [
        {"work": WORKS[m].title, "model": m, "aim": WORKS[m].trains, **training(WORKS[m], setup)}
        for m in shown(names, "training")
    ]


def sampled(models: list[str], setup: Setup) -> list[dict[str, Any]]:
    return [
        {"work": f"{WORKS[m].title}, {n} samples", "model": m, "n": n, "aim": aim, **sampling(WORKS[m], n, setup)}
        for m in shown([m for m in models if WORKS[m].samples], "sampling")
        for n, aim in WORKS[m].samples.items()
    ]


def grown(models: list[str], setup: Setup) -> dict[str, Any]:
    names = [m for m in models if m == "nade" or WORKS[m].samples]
    return {WORKS[m].title: growth(WORKS[m], setup) for m in shown(names, "growth")}


def bare(models: list[str], setup: Setup) -> list[dict[str, Any]]:
    small = replace(WORKS["pixelcnn"], title="PixelCNN, 7 x 16", model={"name": "pixelcnn"})
    works = {"nade": (WORKS["nade"], 100), "pixelcnn": (small, 500)}  # and steps
    return [
        {"work": works[m][0].title, "model": m, **overhead(*works[m], setup)}
        for m in shown([m for m in works if m in models], "overhead")
    ]


LIMITED = {"training", "sampling", "wavenet"}  # set beside what the machine allows
PARTS: dict[str, Callable[[list[str], Setup], Any]] = {
    "training": trained,
    "sampling": sampled,
    "growth": grown,
    "wavenet": lambda models, setup: wavenet_sampling(setup) if "wavenet" in models else [],
    "overhead": bare,
    "start_up": lambda _, setup: start_up(setup),
}

if __name__ == "__main__":
    command.run(main)
