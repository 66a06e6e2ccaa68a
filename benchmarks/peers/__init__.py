"""Ours beside public code that a user would pick: `python -m benchmarks peers --checkouts FOLDER`."""
