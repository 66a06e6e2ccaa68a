"""Train, test and sample an autoregressive density model: `python run.py --config conf/pixelrnn.yaml`."""

import sys

from ar_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
