"""`run.py`, with stubs for trials: `python -m tests.support.stub_sweep sweep --config FILE`."""

import sys

from ar_lightning.cli import main
from ar_lightning.sweep import launch

launch.WORKER = [sys.executable, "-m", "tests.support.stub_worker"]

if __name__ == "__main__":
    sys.exit(main())
