"""What `python run.py` can do: a file for each command, whose `run` takes its arguments and returns an exit code."""
