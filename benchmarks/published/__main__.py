"""`python -m benchmarks.published NAME` does what `python run.py reproduce NAME` does."""

import sys

from ar_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))
