"""Hand-written kernels, each equal to a plain reference."""
