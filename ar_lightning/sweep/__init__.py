"""Hyper-parameter sweeps with Optuna: many trials at once, each an ordinary training in a process of its own."""
