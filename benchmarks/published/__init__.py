"""Published numbers, reproduced: the rows of `RESULTS.md`, which needs a checkout of the project."""
