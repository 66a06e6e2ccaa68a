"""Settings of every test: one thread here and in the processes it starts; threads only slow tiny work down."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported
