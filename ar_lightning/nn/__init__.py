"""Causal primitives: plain PyTorch modules that read the past in parallel, or one step at a time while streaming."""
