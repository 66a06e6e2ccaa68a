"""Settings of every test: one thread, in this process and in those it starts, since threads only slow tiny work down."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported
