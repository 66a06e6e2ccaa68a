"""A real worker, whose trials are stubs."""

import sys

from ar_lightning.sweep.worker import main
from tests.support.stub_trial import command

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:], command=command))
