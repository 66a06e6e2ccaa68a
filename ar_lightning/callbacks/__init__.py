"""Lightning callbacks: sample grids, throughput and what the terminal shows."""
