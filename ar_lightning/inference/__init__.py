"""Uses of a trained density: evaluate, sample, complete, compress, compare."""
