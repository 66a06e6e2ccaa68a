"""Lossless compression."""
