"""What one does with a trained density: sample, complete, test, score, compress, compare."""
