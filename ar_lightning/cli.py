"""The command line: `python run.py [COMMAND] [--config FILE] [key=value ...]`.

Everything is parsed and validated before PyTorch is imported, so that a mistake is answered at once, in one line.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ar_lightning.errors import UserError, did_you_mean, nearest
from ar_lightning.sweep.pipe import attach, is_trial

__all__ = ["main"]

EXAMPLES = """\
examples:
  python run.py --config conf/pixelrnn.yaml
  python run.py --config conf/nade.yaml data.name=binarized_mnist trainer.max_epochs=30 optimizer.lr=1e-3
  python run.py --resume runs/pixelrnn/2026-01-31_12-00-00-0 trainer.max_epochs=60
  python run.py sample runs/pixelrnn/2026-01-31_12-00-00-0 --n 64 --temperature 0.9
"""
COMMANDS = {
    "fit": "train, test and sample a model (the default command)",
    "sample": "draw from a trained density, or continue a prompt",
    "sweep": "search hyper-parameters: many trials at once, stopped early, resumed by the same command",
    "sweep-report": "write the best config, the table and the plots of a sweep again",
    "list": "print the models, likelihoods, datasets, optimizers and schedules there are",
}
ON_RESUME = ("trainer.", "tracking.", "samples.")  # a resumed run is the same run: how long, and how it is watched
BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141  # exit codes; the last two are those of a program that a signal ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for bad input, 130 when interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        command = args.pop(0) if args and not args[0].startswith("-") and "=" not in args[0] else "fit"
        if command not in COMMANDS:
            is_config = command.endswith((".yaml", ".yml"))
            hint = f"; did you mean '--config {command}'?" if is_config else did_you_mean(command, COMMANDS)
            raise UserError(f"no command '{command}'{hint}")
        code = RUN[command](args)
        sys.stdout.flush()  # here, where a closed pipe can still be caught
        return code
    except UserError as error:
        print("error:", " ".join(str(error).splitlines()), file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it exits
        return BROKEN_PIPE


class Parser(argparse.ArgumentParser):
    """argparse, with this project's one-line errors."""

    def error(self, message: str) -> Any:
        if unknown := re.match(r"unrecognized arguments: (\S+)", message):
            options = [option for action in self._actions for option in action.option_strings]
            hint = did_you_mean(unknown[1].partition("=")[0], options)
            message = f"no option '{unknown[1]}'{hint}" if unknown[1].startswith("-") else f"unexpected '{unknown[1]}'"
        raise UserError(f"command line: {message.removeprefix('argument ')}")


def fit(args: list[str]) -> int:
    """Parse, validate, then train."""
    pipe = attach(_rank())  # at once: a trial does not outlive its worker
    parser = Parser(prog="run.py fit", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--resume", metavar="RUN_DIR")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("overrides", nargs="*")
    parsed = parser.parse_intermixed_args(args)
    if parsed.help:
        from ar_lightning.help import fit_help

        print(fit_help(COMMANDS, EXAMPLES))
        return 0
    if parsed.config is None and parsed.resume is None and not parsed.overrides:
        raise UserError("nothing to do: give a config, such as --config conf/pixelrnn.yaml (--help explains)")

    from ar_lightning.checks import check_config
    from ar_lightning.config import load_config

    if parsed.resume is not None:
        if parsed.config is not None:
            raise UserError("command line: --resume takes the config of its run; leave out --config")
        run_dir = Path(parsed.resume)
        config = load_config(_config_of(run_dir), _allowed_on_resume(parsed.overrides))
    else:
        config = load_config(parsed.config, parsed.overrides)
        run_dir = _new_run_dir(config)
    config["run_dir"] = str(run_dir)
    dataset = check_config(config)
    os.environ["AR_LIGHTNING_RUN_DIR"] = str(run_dir)  # the other processes of a DDP run write to the same place

    from ar_lightning.callbacks.trial import TrialReporter
    from ar_lightning.train import run

    trial = TrialReporter(pipe) if is_trial() else None
    try:
        result = run(config, dataset, run_dir, parsed.resume is not None, trial)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns one into the other
        print(f"\ninterrupted; continue with: python run.py --resume {run_dir}", file=sys.stderr)
        return INTERRUPTED
    if _rank() == 0:
        from ar_lightning.help import result_table

        result_table(result, run_dir)
    if pipe and trial:
        known = {key: result[key] for key in ("parameters", "seconds_training", "samples_per_second") if key in result}
        pipe.finish(result["state"], result["epochs"], trial.best | known)
    return 0


def sample(args: list[str]) -> int:
    """Draw from a trained density and say which files hold the samples."""
    parser = Parser(prog="run.py sample", description=f"{COMMANDS['sample'].capitalize()}.", allow_abbrev=False)
    parser.add_argument("run", metavar="RUN", help="run directory or checkpoint")
    parser.add_argument("--n", type=_positive(int), default=16, help="number of samples (default 16)")
    parser.add_argument("--cond", type=int, dest="label", metavar="CLASS", help="class of all (default: all in turn)")
    parser.add_argument("--temperature", type=_positive(float), default=1.0, help="below 1 is safer, above 1 wilder")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same samples, in any number (default 0)")
    parser.add_argument("--prompt", help="what they begin with: text, or a text, sound or image file")
    parser.add_argument("--keep", type=float, help="fraction of the prompt to take")
    parser.add_argument("--length", type=_positive(int), help="sites of a sequence, where the model has any length")
    parser.add_argument("--out", metavar="STEM", help="path of the files without ending (default: in RUN/samples)")
    parser.add_argument("--device", default="auto", help="cpu, cuda .. (default: a GPU if there is one)")
    given = parser.parse_args(args)

    from ar_lightning.sample import sample as draw

    files = draw(**vars(given))
    for kind, path in files.items():
        if path.suffix == ".txt":
            print(path.read_text(encoding="utf-8"))
        print(f"{kind}: {path}")
    return 0


def _positive(kind: type) -> Callable[[str], Any]:
    """Return a parser of numbers above zero, for argparse."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"  # what argparse calls it
    return parse


def list_names(args: list[str]) -> int:
    """Print the registries."""
    Parser(prog="run.py list", description=COMMANDS["list"]).parse_args(args)
    from ar_lightning.help import registry_tables

    print(registry_tables())
    return 0


def sweep(args: list[str]) -> int:
    """Check a sweep file, then run it."""
    parser = Parser(prog="run.py sweep", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("overrides", nargs="*")
    parsed = parser.parse_intermixed_args(args)
    if parsed.help:
        from ar_lightning.help import sweep_help

        print(sweep_help())
        return 0
    if parsed.config is None:
        raise UserError("nothing to search: give a sweep file, such as --config sweeps/pixelrnn.yaml (--help explains)")

    from ar_lightning.sweep.sweep_file import read_sweep

    read = read_sweep(parsed.config, parsed.overrides)

    from ar_lightning.sweep.launch import launch

    return launch(read)


def sweep_report(args: list[str]) -> int:
    """Write the report of a sweep again."""
    description = f"{COMMANDS['sweep-report'].capitalize()}."
    parser = Parser(prog="run.py sweep-report", description=description, allow_abbrev=False)
    parser.add_argument("folder", metavar="DIR", type=Path, help="directory of the sweep, such as runs/sweeps/pixelrnn")
    folder = parser.parse_args(args).folder

    from ar_lightning.sweep.definition import saved_sweep

    saved = saved_sweep(folder)

    from ar_lightning.sweep.launch import report

    report(saved, folder)
    return 0


RUN = {"fit": fit, "sample": sample, "sweep": sweep, "sweep-report": sweep_report, "list": list_names}


def _rank() -> int:
    """Rank of this process, whatever started it; 0 for a process on its own."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), 0)


def _config_of(run_dir: Path) -> Path:
    """Return the config of a run to resume.

    Raises:
        UserError: it is no run directory.
    """
    file = run_dir / "config.yaml"
    if file.is_file():
        return file
    if run_dir.is_dir():
        raise UserError(f"--resume {run_dir}: no config.yaml there, so it is no run directory")
    if run_dir.is_file():
        raise UserError(f"--resume {run_dir}: is a file; give the directory of the run")
    near = [p.name for p in run_dir.parent.iterdir()] if run_dir.parent.is_dir() else []
    raise UserError(f"--resume {run_dir}: no such directory{nearest(run_dir.name, near)}")


def _allowed_on_resume(overrides: list[str]) -> list[str]:
    for override in overrides:
        key, equals, _ = override.partition("=")
        if equals and not key.startswith(ON_RESUME):
            allowed = ", ".join(f"{section}*" for section in ON_RESUME)
            raise UserError(f"command line: {key} cannot change on --resume; {allowed} can")
    return overrides


def _new_run_dir(config: dict[str, Any]) -> Path:
    """Choose the run's directory.

    Raises:
        UserError: it is used, or cannot be made.
    """
    if shared := os.environ.get("AR_LIGHTNING_RUN_DIR") if _rank() else None:
        return Path(shared)
    stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{config['seed']}"
    run_dir = Path(config["run_dir"] or Path("runs", config["experiment"], stamp)).expanduser()
    try:
        there = next(p for p in (run_dir, *run_dir.absolute().parents) if p.exists())
        if not there.is_dir():
            raise UserError(f"run_dir={run_dir}: {there} is a file; name a new directory")
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"run_dir={run_dir}: {there} is not writable; name another directory")
        if _rank() == 0 and run_dir.is_dir() and any(run_dir.iterdir()):
            hint = f"continue it with --resume {run_dir}, or" if (run_dir / "config.yaml").exists() else "please"
            raise UserError(f"run_dir={run_dir}: is in use; {hint} name a new directory")
    except (OSError, RuntimeError) as error:  # RuntimeError: no such home directory
        raise UserError(f"run_dir={run_dir}: {getattr(error, 'strerror', None) or error}") from None
    return run_dir
