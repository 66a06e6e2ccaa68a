"""Telling other data from a density's own."""
