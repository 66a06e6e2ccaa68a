"""Autoregressive networks, one family per file, named after its paper. Plain PyTorch: no Lightning, no config."""
