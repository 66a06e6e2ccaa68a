"""Tells W&B how a trial ended that could not do so itself, because its process was killed or died too early.

`python -m ar_lightning.sweep.obituary CONFIG RUN_DIR STATE REASON` goes on with the W&B run of the trial, or begins it,
and ends it as failed.
"""

import argparse
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.tracking.wandb_mode import wandb_mode
from ar_lightning.tracking.wandb_run import has_ended, training_run

__all__ = ["main", "mourn"]

LONGEST_REASON = 500
LOG = "obituary.log"


def mourn(config: Path, run_dir: Path, state: str, reason: str) -> "subprocess.Popen[bytes] | None":
    """Start telling W&B, in a process that nobody has to wait for.

    Args:
        config: the trial's config file.
        run_dir: its run directory.
        state: how it ended, such as `failed`.
        reason: one line.

    Returns:
        The process; None where there is nothing to do: W&B is disabled, or has been told by the trial itself, or the
        config or the disk does not allow it.
    """
    with suppress(OSError, UserError):
        disabled = wandb_mode(load_config(config)["tracking"]["mode"]) == "disabled"
        if disabled or has_ended(run_dir):
            return None
        (run_dir / "wandb").mkdir(parents=True, exist_ok=True)
        reason = reason.replace("\0", "")[:LONGEST_REASON]
        command = [sys.executable, "-m", "ar_lightning.sweep.obituary", "--", str(config), str(run_dir), state, reason]
        with (run_dir / "wandb" / LOG).open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
    return None


def main(args: list[str] | None = None) -> int:
    """Tell W&B; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ar_lightning.sweep.obituary")
    parser.add_argument("config", type=Path)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("state")
    parser.add_argument("reason")
    given = parser.parse_args(args)
    try:
        config = {**load_config(given.config), "run_dir": str(given.run_dir)}
        run = training_run(given.run_dir, config, config["tracking"], print)
    except UserError as error:
        print("error:", error, file=sys.stderr)
        return 2
    if run is not None:
        run.summarise({"state": given.state, "reason": given.reason})
        run.finish(exit_code=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
