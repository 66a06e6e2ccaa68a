"""Reports of a sweep: live table, summary, plots, the best config."""
