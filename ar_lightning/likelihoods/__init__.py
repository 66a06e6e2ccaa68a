"""The distribution of one value."""
