"""Hidden representations and what they know."""
