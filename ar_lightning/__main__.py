"""`python -m ar_lightning`: the command line."""

import sys

from ar_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
