"""A network and a likelihood: scores and samples."""
