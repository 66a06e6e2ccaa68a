"""Tests of what one does with a trained density."""
