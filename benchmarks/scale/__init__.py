"""Past one machine, measured where it can be and computed where it cannot: `python -m benchmarks scale`."""
