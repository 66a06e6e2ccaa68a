"""What a trained density is good for."""
