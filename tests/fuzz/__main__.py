"""Fuzz the command line: `python -m tests.fuzz`, or `python -m tests.fuzz code:17` to try one input again.

Every input is read in a process of its own, forked from one that has imported everything: a few milliseconds. It must
end with exit code 0, or 2 and one line; in time; in memory; and leave nothing half-written.
"""

import argparse
import gc
import importlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import NamedTuple
from unicodedata import category

from ar_lightning.cli import main
from tests.fuzz.targets import TARGETS, prepare
from tests.support.forked import IMPORTED

MEMORY = 2 * 2**30  # bytes
SECONDS = 120  # that one input may take, on any machine


class Outcome(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str
    peak: int  # bytes of memory
    cpu: float  # seconds


def apart(call: Callable[[], int], folder: Path, limited: bool = True) -> Outcome:
    """Call a function in a process of its own, whose folder is `folder`, and whose memory may be limited."""
    files = [folder.with_name(f"{folder.name}.{name}") for name in ("out", "err")]
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(SECONDS)  # which ends it, also if nobody waits any more
            for number, file in enumerate(files, 1):
                os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
            os.chdir(folder)
            if limited:
                mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
            code = call()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status, used = os.wait4(pid, 0)
    out, err = (file.read_text(errors="backslashreplace") for file in files)
    return Outcome(os.waitstatus_to_exitcode(status), out, err, used.ru_maxrss * 1024, used.ru_utime + used.ru_stime)


def fault(outcome: Outcome, folder: Path) -> str:
    """Return what is wrong with how an input was answered, nothing if all is right."""
    if outcome.code == -signal.SIGALRM:
        return f"no answer in {SECONDS} s"
    if outcome.code not in (0, 2):
        return f"exit code {outcome.code}"
    if "Traceback" in outcome.err + outcome.out:
        return "a traceback"
    if outcome.code == 2:
        lines = outcome.err.splitlines()
        if len(lines) != 1 or not lines[0].startswith("error: "):
            return f"{len(lines)} lines for an answer"
        if any(category(character) == "Cc" for character in lines[0]):
            return "control characters in the answer"
    if outcome.peak > MEMORY:
        return f"{outcome.peak / 2**30:.1f} GiB of memory"
    if left := [*folder.rglob("*.partial*")]:
        return f"half-written: {left[0].name}"
    return ""


def attempt(name: str, seed: int, given: Path, folder: Path) -> tuple[Outcome, list[str]]:
    """Answer one input."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    argv = folder.with_name(f"{folder.name}.argv")

    def call() -> int:
        args = TARGETS[name][0](Random(f"{name}:{seed}"), given, folder)
        argv.write_bytes("\0".join(args).encode("utf-8", "surrogateescape"))
        return main(args)

    return apart(call, folder), argv.read_text(errors="surrogateescape").split("\0") if argv.exists() else []


def warm(folder: Path) -> None:
    """Make the valid inputs and runs, and import what that took."""
    for module in IMPORTED:
        importlib.import_module(module)
    modules = folder / "modules"

    def call() -> int:
        for command in prepare(folder):
            if code := main(command):
                return code
        modules.write_text("\n".join(sys.modules))
        return 0

    (folder / "here").mkdir()
    made = apart(call, folder / "here", limited=False)
    if made.code:
        sys.exit(f"valid inputs are not taken:\n{made.err}")
    for module in modules.read_text().splitlines():
        with suppress(Exception):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # or each process would copy all of these objects as it looks for garbage among them


def fuzz(cases: list[tuple[str, int]], verbose: bool, folder: Path) -> int:
    """Answer inputs, say what is wrong, and return the exit code."""
    os.environ |= {"AR_LIGHTNING_DATA": str(folder / "data"), "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    warm(folder)
    seconds, cpu, peak, found, codes = Counter[str](), Counter[str](), Counter[str](), [], Counter[tuple[str, int]]()
    for name, seed in cases:
        start = time.monotonic()
        here = folder / "here"
        outcome, argv = attempt(name, seed, folder, here)
        seconds[name] += time.monotonic() - start
        cpu[name] += outcome.cpu
        peak[name] = max(peak[name], outcome.peak)
        codes[name, outcome.code] += 1
        wrong = fault(outcome, here)
        if wrong:
            found.append(f"{name}:{seed}")
        if wrong or verbose:
            print(f"\n{name}:{seed}: {wrong or 'right'}; again: python -m tests.fuzz {name}:{seed}\n  {argv}"[:2000])
            print(outcome.out + outcome.err if verbose else "\n".join(outcome.err.splitlines()[-7:]), flush=True)
    for name in seconds:
        by_code = ", ".join(f"{n} of code {code}" for (other, code), n in sorted(codes.items()) if other == name)
        print(f"{name:<12} {seconds[name]:6.1f} s {cpu[name]:6.1f} s CPU {peak[name] / 2**20:6.0f} MiB  {by_code}")
    print(f"{len(cases)} inputs, {sum(seconds.values()):.0f} s; wrong: {' '.join(found) or 'none'}")
    return bool(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="TARGET:SEED, or TARGET (default: all)")
    parser.add_argument("--shift", type=int, default=0, help="take other seeds, from this one on")
    parser.add_argument("--inputs", type=int, help="of each target (default: its own number)")
    parser.add_argument("--keep", type=Path, help="folder in which all is left")
    parsed = parser.parse_args()
    one = any(":" in case for case in parsed.cases)
    chosen = [case.partition(":") for case in parsed.cases or TARGETS]
    cases = [
        (name, int(number))
        for name, _, seed in chosen
        for number in ([seed] if seed else range(parsed.shift, parsed.shift + (parsed.inputs or TARGETS[name][1])))
    ]
    where = parsed.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    where.mkdir(exist_ok=True)
    try:
        sys.exit(fuzz(cases, one, where.resolve()))
    finally:
        if not parsed.keep:
            shutil.rmtree(where)
