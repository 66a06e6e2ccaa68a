"""The command line: `python run.py [COMMAND] [--config FILE] [key=value ...]`.

Everything is parsed and validated before PyTorch is imported, so that a mistake is answered at once, in one line.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ar_lightning.errors import UserError, did_you_mean

__all__ = ["main"]

EXAMPLES = """\
examples:
  python run.py --config conf/pixelrnn.yaml
  python run.py --config conf/nade.yaml data.name=binarized_mnist trainer.max_epochs=30 optimizer.lr=1e-3
  python run.py --resume runs/pixelrnn/2026-01-31_12-00-00-0 trainer.max_epochs=60
"""
COMMANDS = {
    "fit": "train, test and sample a model (the default command)",
    "list": "print the models, likelihoods, datasets, optimizers and schedules there are",
}
INTERRUPTED = 130  # the exit code of a program stopped by Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for bad input, 130 when interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        command = args.pop(0) if args and not args[0].startswith("-") and "=" not in args[0] else "fit"
        if command not in COMMANDS:
            raise UserError(f"no command '{command}'{did_you_mean(command, COMMANDS)}")
        return {"fit": fit, "list": list_names}[command](args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


class Parser(argparse.ArgumentParser):
    """argparse, with this project's one-line errors."""

    def error(self, message: str) -> Any:
        if unknown := re.match(r"unrecognized arguments: (\S+)", message):
            options = [option for action in self._actions for option in action.option_strings]
            message = f"no option '{unknown[1]}'{did_you_mean(unknown[1], options)}"
        raise UserError(f"command line: {message}")


def fit(args: list[str]) -> int:
    """Parse, validate, then train."""
    if "-h" in args or "--help" in args:
        from ar_lightning.help import fit_help

        print(fit_help(COMMANDS, EXAMPLES))
        return 0
    parser = Parser(prog="run.py fit", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--resume", metavar="RUN_DIR")
    parser.add_argument("overrides", nargs="*")
    parsed = parser.parse_intermixed_args(args)
    if not parsed.config and not parsed.resume and not parsed.overrides:
        raise UserError("nothing to do: give a config, such as --config conf/pixelrnn.yaml (--help explains)")

    from ar_lightning.checks import check_config
    from ar_lightning.config import load_config

    if parsed.resume:
        if parsed.config:
            raise UserError("command line: --resume takes the config of its run; leave out --config")
        run_dir = Path(parsed.resume)
        config = load_config(_config_of(run_dir), _allowed_on_resume(parsed.overrides))
    else:
        config = load_config(parsed.config, parsed.overrides)
        run_dir = _new_run_dir(config)
    config["run_dir"] = str(run_dir)
    check_config(config)
    os.environ["AR_LIGHTNING_RUN_DIR"] = str(run_dir)  # the other processes of a DDP run write to the same place

    from ar_lightning.train import run

    try:
        result = run(config, run_dir, resume=bool(parsed.resume))
    except KeyboardInterrupt:
        print(f"\ninterrupted; continue with: python run.py --resume {run_dir}", file=sys.stderr)
        return INTERRUPTED
    if _rank() == 0:
        from ar_lightning.help import result_table

        result_table(result, run_dir)
    return 0


def list_names(args: list[str]) -> int:
    """Print the registries."""
    Parser(prog="run.py list", description=COMMANDS["list"]).parse_args(args)
    from ar_lightning.help import registry_tables

    registry_tables()
    return 0


def _rank() -> int:
    """Rank of this process, whatever started it; 0 for a process on its own."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), 0)


def _config_of(run_dir: Path) -> Path:
    file = run_dir / "config.yaml"
    if file.is_file():
        return file
    if run_dir.is_dir():
        raise UserError(f"--resume {run_dir}: no config.yaml there, so it is no run directory")
    near = [p.name for p in run_dir.parent.iterdir()] if run_dir.parent.is_dir() else []
    raise UserError(f"--resume {run_dir}: no such directory{did_you_mean(run_dir.name, near) if near else ''}")


def _allowed_on_resume(overrides: list[str]) -> list[str]:
    """A resumed run is the same run: only how long and how it is watched may change."""
    allowed = ("trainer.", "tracking.", "samples.")
    for override in overrides:
        if "=" in override and not override.startswith(allowed):
            key = override.partition("=")[0]
            raise UserError(f"command line: {key} cannot change on --resume; only trainer.*, tracking.* and samples.* can")
    return overrides


def _new_run_dir(config: dict[str, Any]) -> Path:
    """Choose the run's directory, and refuse a used one."""
    if shared := os.environ.get("AR_LIGHTNING_RUN_DIR") if _rank() else None:
        return Path(shared)
    if config["run_dir"]:
        run_dir = Path(config["run_dir"])
    else:
        stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{config['seed']}"
        run_dir = Path("runs") / config["experiment"] / stamp
    if run_dir.is_file():
        raise UserError(f"run_dir={run_dir}: is a file; name a new directory")
    if _rank() == 0 and run_dir.is_dir() and any(run_dir.iterdir()):
        hint = f"continue it with --resume {run_dir}, or" if (run_dir / "config.yaml").exists() else "please"
        raise UserError(f"run_dir={run_dir}: is in use; {hint} name a new directory")
    return run_dir
