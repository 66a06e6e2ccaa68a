"""What a sweep leaves: tables, plots, the best config."""
