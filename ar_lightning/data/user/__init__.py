"""Datasets of the user's own files."""
