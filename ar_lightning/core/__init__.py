"""What everything rests on: errors, files, shapes of data."""
