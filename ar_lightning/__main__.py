"""`python -m ar_lightning` does what `python run.py` does."""

import sys

from ar_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
