"""The tables of `python -m benchmarks scale`."""

from typing import Any

from benchmarks.report import table

__all__ = ["tables"]

MIB = 2**20


def tables(measured: dict[str, Any]) -> str:
    """Return Markdown tables of everything that was measured."""
    columns = (
        "workers", "hosts", "trials before", "trials", "trials/s", "claim, s: median", "99 %", "CPU s a trial: worker",
        "server", "to join", "lost", "twice",
    )  # fmt: skip
    keys = (
        "workers", "hosts", "recorded", "trials", "trials_per_second", "claim_median", "claim_99",
        "worker_cpu_per_trial", "server_cpu_per_trial", "join_cpu", "lost", "twice",
    )  # fmt: skip
    rows = [[f"{row[key]:,}" for key in keys] for row in measured.get("sweeps", [])]
    parts = [table(columns, rows)]
    columns = ("DDP, config", "batch", "gradients, MB", "1 process, s", "2 processes, s", *_gpus(measured))
    rows = [
        [row["config"], f"{row['batch']}", f"{row['gradient_bytes'] / 1e6:.1f}", f"{row['seconds_1']:.2f}",
         f"{row['seconds_2']:.2f}", *(f"{a:.0%} to {b:.0%}" for a, b in row["expected"].values())]
        for row in measured.get("training", [])
    ]  # fmt: skip
    parts.append(table(columns, rows))
    columns = (
        "memory in MiB, config", "weights, gradients, moments", "kept once", "for each image", "measured", "batch",
        "a step of it",
    )  # fmt: skip
    rows = [
        [row["config"], f"{(row['weights'] + row['gradients'] + row['moments']) / MIB:,.0f}",
         f"{row['kept_once'] / MIB:,.0f}", f"{row['kept_each'] / MIB:,.0f}", f"{row['measured_each'] / MIB:,.0f}",
         f"{row['batch']}", f"{row['step'] / MIB:,.0f} to {row['step_at_most'] / MIB:,.0f}"]
        for row in measured.get("memory", [])
    ]  # fmt: skip
    parts.append(table(columns, rows))
    return "\n\n".join(filter(None, parts)) + "\n"


def _gpus(measured: dict[str, Any]) -> list[str]:
    rows = measured.get("training", [])
    return [f"expected of GPUs: {name}" for name in (rows[0]["expected"] if rows else {})]
