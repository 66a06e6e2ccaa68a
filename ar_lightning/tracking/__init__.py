"""Loggers: W&B, TensorBoard, CSV."""
