"""`fit`, the default command: train, test and sample a model."""

import os
import shlex
import sys
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from ar_lightning.commands.parser import BOUND, Parser, add_config, print_columns, print_facts, print_members
from ar_lightning.config.overlay import flat
from ar_lightning.config.slurm import check_nodes, leave_allocation
from ar_lightning.core.errors import INTERRUPTED, UserError, nearby, of_the_system
from ar_lightning.core.files import LAST, WEIGHTS
from ar_lightning.core.program import program
from ar_lightning.core.rank import rank
from ar_lightning.training.claim import LOCK
from ar_lightning.training.locate import start_of
from ar_lightning.training.marks import marks
from ar_lightning.training.trial_pipe import attach, is_trial
from ar_lightning.training.zoo import is_zoo

__all__ = ["run"]


def run(args: list[str]) -> int:
    leave_allocation()
    pipe = attach(rank())  # at once: a trial does not outlive its worker
    parser = Parser("fit", add_help=False)
    parser.add_argument("--resume", metavar="RUN")
    add_config(parser)
    parsed = parser.parse_intermixed_args(args)
    if parsed.help:
        from ar_lightning.commands.help import fit_help

        print(fit_help())
        return 0
    if parsed.config is None and parsed.resume is None and not parsed.overrides:
        raise UserError("nothing to do: give a config, such as --config pixelrnn (list names them, --help explains)")

    from ar_lightning.config.bundled import find
    from ar_lightning.config.checks import ON_RESUME, check_config, check_there
    from ar_lightning.config.resolve import load_config, reload_config

    resume = parsed.resume and Path(parsed.resume)
    if resume:
        if parsed.config is not None:
            raise UserError("command line: --resume takes the config of its run; leave out --config")
        file = _config_of(resume)
        config = reload_config(file, _allowed_on_resume(parsed.overrides, ON_RESUME))
        check_there(config, [override.partition("=")[0] for override in parsed.overrides])
        run_dir, resume = file.parent, resume if resume.is_file() else resume / "checkpoints" / LAST
    else:
        config = load_config(parsed.config and find("conf", parsed.config), parsed.overrides)
        start_of(config)  # an error costs no time
    check_nodes(config["trainer"])
    dataset = check_config(config)
    run_dir = run_dir if resume else _new_run_dir(config)
    config["run_dir"] = str(run_dir)
    os.environ["AR_LIGHTNING_RUN_DIR"] = str(run_dir)  # the other processes of a DDP run write to the same place

    from ar_lightning.training.fit import run as train
    from ar_lightning.training.go_on import how_to_go_on
    from ar_lightning.training.progress import TrialReporter
    from ar_lightning.training.trial_pipe import METRICS

    trial = TrialReporter(pipe) if is_trial() else None
    try:
        result = train(config, dataset, run_dir, resume, trial)
    except OSError as error:
        resumable = (run_dir / "config.yaml").exists()
        go_on = f"then go on with: {program()} --resume {shlex.quote(str(run_dir))}"
        raise of_the_system(error, go_on if resumable else "") from None
    except (KeyboardInterrupt, SystemExit):  # Lightning turns one into the other
        print(f"\ninterrupted; continue with: {program()} --resume {run_dir}", file=sys.stderr)
        return INTERRUPTED
    if rank() == 0:
        _print(result, run_dir, config)
    if rank() == 0 and not trial and (advice := how_to_go_on(config, result, run_dir)):
        print(advice)
    if pipe and trial:
        known = {key: result[key] for key in METRICS if key in result}
        pipe.finish(result["state"], result["epochs"], known | trial.best)
    return 0


def _print(result: dict[str, Any], run_dir: Path, config: dict[str, Any]) -> None:
    facts: dict[str, object] = {}
    each = "a row" if "columns" in result else "per example"
    for split in ("test", "val"):
        if result.get(f"{split}/nll") is not None:
            facts[f"{split} nll"] = f"{result[f'{split}/nll']:.4f} nats {each}"
        if result.get(f"{split}/bpd") is not None:
            facts[f"{split} bits/dim"] = f"{result[f'{split}/bpd']:.4f}"
    if "test/bits_per_character" in result:
        facts["test bits/character"] = f"{result['test/bits_per_character']:.4f}, at most: {BOUND}"
    if "test/true_nll" in result:
        bpd = result.get("test/true_bpd")
        truth = f"{result['test/true_nll']:.4f} nats" if bpd is None else f"{bpd:.4f} bits/dim"
        facts["of the true density"] = f"{truth}: the entropy of the data"
    if "members" in result:
        facts["members"] = f"{result['members']}, whose probabilities are averaged"
    if "receptive_field" in result:
        facts["receptive field"] = f"{result['receptive_field']} values"
    if "test/accuracy" in result:
        facts["test accuracy"] = f"{result['test/accuracy']:.4f}, of argmax_y p(x | y) p(y)"
    if noted := marks(flat("", config)):
        facts["note"] = "; ".join(noted)
    if result.get("val/nll") is None:
        facts["weights"] = "of the last step: the training ended before a validation"
    elif "tested_epoch" in result:
        facts["weights"] = f"of epoch {result['tested_epoch']}, step {result['tested_step']}: the best on validation"
    facts["parameters"] = f"{result['parameters']:,}"
    facts["training"] = f"{result['seconds_training']:.1f} s, {result['epochs']} epochs, {result['steps']} steps"
    curves = run_dir / "curves.png"
    facts |= {**result["pictures"], **({"curves": curves} if curves.exists() else {}), "run": run_dir}
    print_facts(f"{result['model']} on {result['data']}", facts)
    print_members(result.get("test/nll_by_members", {}), each)
    if result.get("columns"):
        print_columns(result["columns"], result["test_examples"], result.get("members", 1))


def _config_of(run: Path) -> Path:
    """Return the config of a run to resume, of which the directory or a checkpoint is given."""
    if is_zoo(run) or run.suffix == Path(WEIGHTS).suffix or (run / WEIGHTS).is_file():
        alone = "holds weights alone, without the state of a training"
        raise UserError(alone, f"--resume {run}", "give the directory of a run, or a checkpoint in it")
    file = (run.parent.parent if run.is_file() else run) / "config.yaml"
    if file.is_file():
        return file
    if run.is_dir():
        raise UserError(f"--resume {run}: no config.yaml there, so it is no run directory")
    if run.is_file():
        raise UserError(f"--resume {run}: is a file; give the directory of the run, or a checkpoint in it")
    raise UserError("no such directory", f"--resume {run}", nearby(run))


def _allowed_on_resume(overrides: list[str], may_change: tuple[str, ...]) -> list[str]:
    for override in overrides:
        key, equals, _ = override.partition("=")
        if equals and not key.startswith(may_change):
            allowed = ", ".join(f"{start}*" if start.endswith(".") else start for start in may_change)
            raise UserError(f"command line: {key} cannot change on --resume; {allowed} can")
    return overrides


def _new_run_dir(config: dict[str, Any]) -> Path:
    """Choose the run's directory."""
    if shared := os.environ.get("AR_LIGHTNING_RUN_DIR") if rank() else None:
        return Path(shared)
    climbs = Path(config["experiment"]).is_absolute() or ".." in Path(config["experiment"]).parts
    if climbs and not config["run_dir"]:
        raise UserError(f"experiment={config['experiment']}: leads out of runs/; give it a name, or give run_dir")
    stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{config['seed']}"
    run_dir = Path(config["run_dir"] or Path("runs", config["experiment"], stamp)).expanduser()
    try:
        there = next(p for p in (run_dir, *run_dir.absolute().parents) if p.exists())
        if not there.is_dir():
            raise UserError(f"run_dir={run_dir}: {there} is a file; name a new directory")
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"run_dir={run_dir}: {there} is not writable; name another directory")
        if rank() == 0 and not config["run_dir"]:
            return _made(run_dir)
        if rank() == 0 and run_dir.is_dir() and any(path.name != LOCK for path in run_dir.iterdir()):
            hint = f"continue it with --resume {run_dir}, or" if (run_dir / "config.yaml").exists() else "please"
            raise UserError(f"run_dir={run_dir}: is in use; {hint} name a new directory")
    except (OSError, RuntimeError, ValueError) as error:  # no such home directory; a null byte
        raise UserError(f"run_dir={run_dir}: {getattr(error, 'strerror', None) or error}") from None
    return run_dir


def _made(run_dir: Path) -> Path:
    """Make the directory, with a number behind its name where another training has begun in the same second."""
    for number in count(1):
        numbered = run_dir if number == 1 else run_dir.with_name(f"{run_dir.name}_{number}")
        with suppress(FileExistsError):
            numbered.mkdir(parents=True)
            return numbered
    raise AssertionError
