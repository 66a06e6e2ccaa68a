"""Datasets as plain arrays, and the one DataModule that batches any of them."""
