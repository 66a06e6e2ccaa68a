"""Plant one bug at a time in a copy of the project and see a test fail: `python -m tests.mutations [NAME ...]`.

A test that cannot fail proves nothing. `--fast` asks the fast tests alone. The exit code is the number of bugs missed.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.mutations.bugs import BUGS
from tests.mutations.planting import caught


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs to plant; all by default")
    parser.add_argument("--fast", action="store_true", help="ask the fast tests alone")
    parser.add_argument("--jobs", type=int, default=2, help="bugs at a time")
    args = parser.parse_args()
    unknown = set(args.names) - set(BUGS)
    if unknown:
        parser.error(f"no such bugs: {', '.join(sorted(unknown))}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    def plant(name: str) -> str:
        started = time.monotonic()
        try:
            verdict = "caught" if caught(BUGS[name], args.fast) else "MISSED"
        except RuntimeError as error:
            verdict = f"ERROR ({error})"
        print(f"{verdict}  {name}  {time.monotonic() - started:.0f} s", flush=True)
        return verdict

    chosen = args.names or list(BUGS)
    with ThreadPoolExecutor(args.jobs) as pool:
        verdicts = list(pool.map(plant, chosen))
    missed = sum(verdict != "caught" for verdict in verdicts)
    print(f"{len(chosen) - missed} of {len(chosen)} planted bugs caught")
    return missed


if __name__ == "__main__":
    sys.exit(main())
