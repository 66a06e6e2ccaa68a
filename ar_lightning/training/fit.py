"""Train a density from its config: `run` fits, tests, samples and writes the run directory."""

import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ar_lightning.config.build import build_data_module, build_density
from ar_lightning.config.checks import check_resumed
from ar_lightning.config.resolve import save_config
from ar_lightning.core.errors import UserError, is_out_of_memory
from ar_lightning.core.files import CHECKPOINT_KEY, LAST, write_json
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset
from ar_lightning.data.fingerprint import changed
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.relabelled import relabelled
from ar_lightning.media.plots import curves_png, drawn
from ar_lightning.tracking.console import console
from ar_lightning.tracking.csv import CSVMetrics
from ar_lightning.tracking.loggers import Wandb, make_loggers
from ar_lightning.tracking.tensorboard import TensorBoard
from ar_lightning.training.checkpoints import read_checkpoint, restoring, written_at
from ar_lightning.training.claim import claimed
from ar_lightning.training.lit import LitDensity
from ar_lightning.training.locate import start_of
from ar_lightning.training.progress import Throughput, TrialReporter
from ar_lightning.training.result import result_of
from ar_lightning.training.samples import SampleGrids
from ar_lightning.training.start import Start, freeze, start_from
from ar_lightning.training.trainer import make_trainer, with_possible_precision

__all__ = ["build_lit", "run"]

SHOWN = 200  # rows of a table, at most
PLACES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")  # of a process among others
PATIENCE = 60.0  # seconds that a trial, tried again, waits for the processes of its dead worker to end


def build_lit(config: dict[str, Any], data: ArrayDataModule) -> LitDensity:
    """Build the LightningModule; its initial weights are a function of the seed, and some may be frozen."""
    torch.manual_seed(config["seed"])
    try:
        lit = LitDensity(build_density(config, data.spec), config)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"model.name={config['model']['name']} of this size does not fit in memory") from None
    freeze(lit.density, config["trainer"]["freeze"])
    return lit


def run(
    config: dict[str, Any], dataset: Dataset, run_dir: Path, resume: Path | None = None,
    trial: TrialReporter | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train, test and sample; return the content of `result.json` on rank 0, an empty dict on other ranks.

    `run_dir` is new or empty, unless to `resume` from a checkpoint of it, or from the start if that was never written.
    A trial of a sweep is judged on validation data: it is not tested, and draws no samples where it is stopped early.
    Ctrl-C ends in Lightning's `SystemExit`; the run can be resumed.

    Raises:
        UserError: a run to resume had other data, or a config that differs in what cannot change; a checkpoint is
            damaged; the training diverged.
    """
    rank = rank_zero_only.rank  # type: ignore[attr-defined]  # known before the Trainer exists
    claim = claimed(run_dir, resume is not None, PATIENCE if trial else 0.0) if rank == 0 else nullcontext()
    with claim, _leaving_no_group():
        return _run(config, dataset, run_dir, resume, trial)


@contextmanager
def _leaving_no_group() -> Iterator[None]:
    """Take back what DDP sets up for a process that is alone: what trains next in it, or is started by it, starts anew.

    Several processes end with their training, all together.
    """
    before = {name: os.environ.get(name) for name in PLACES}
    was_there = dist.is_available() and dist.is_initialized()
    try:
        yield
    finally:
        if not was_there and dist.is_available() and dist.is_initialized() and dist.get_world_size() == 1:
            dist.destroy_process_group()
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ |= {} if value is None else {name: value}


def _run(
    config: dict[str, Any], dataset: Dataset, run_dir: Path, resume: Path | None, trial: TrialReporter | None
) -> dict[str, Any]:
    _quieten()
    started = time.perf_counter()
    config = config | {"trainer": with_possible_precision(config["trainer"])}
    checkpoint = resume if resume and resume.exists() else None
    content = read_checkpoint(checkpoint) if checkpoint else None
    if content:  # classes have their numbers of then: an older version had some that never occur
        spec = DataSpec.from_dict(content[CHECKPOINT_KEY]["data"])
        dataset = relabelled(dataset.in_terms_of(spec), spec)
    data = build_data_module(config, dataset)
    done = _checked(checkpoint, content, config, data) if checkpoint and content else 0  # optimizer steps
    lit = build_lit(config, data)
    source = None if checkpoint else start_of(config)  # a run that is resumed has started
    start = start_from(source, lit.density, config["model"]["name"]) if source else None
    lit.started = start.taken if start else frozenset()
    loggers = make_loggers(run_dir, config, **config["tracking"])
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]  # known before the Trainer exists
        data.setup()  # now: data that cannot be had leaves no run directory behind
        save_config(config, run_dir / "config.yaml")
    throughput = Throughput(started)
    samples = SampleGrids(run_dir / "samples", config["seed"], **config["samples"])
    callbacks = [samples, throughput, *([trial] if trial else [])]
    trainer = make_trainer(run_dir, loggers, callbacks, **config["trainer"])
    for logger in loggers:
        if isinstance(logger, CSVMetrics | TensorBoard):
            logger.resume_at(done - 1)  # steps count from zero
    if not checkpoint and not trial:
        header, *described = dataset.describe() or [[]]
        _show("the data, as it is read", header, described)
    _announce(config, run_dir, lit, checkpoint)
    if start:
        _report(start)
    try:
        trainer.fit(lit, data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
        best = Path(trainer.checkpoint_callbacks[0].best_model_path or run_dir / "checkpoints" / LAST)  # type: ignore[attr-defined]
        weights = read_checkpoint(best)
        if config["trainer"]["strategy"] == "fsdp":
            lit = build_lit(config, data)  # whose weights are not shared out
        lit.load_state_dict(weights["state_dict"])
        if trial is None:
            trainer.test(lit, data, verbose=False)
        pruned = trial is not None and trial.pruned
        result: dict[str, Any] = {}
        if trainer.is_global_zero:  # before anything is drawn, which may fail
            result = result_of(config, trainer, lit, data, throughput, written_at(weights))
            result["state"] = "pruned" if pruned else "complete"
            write_json(result, run_dir / "result.json")
        pictures = {} if pruned else samples.draw(trainer, lit, "final")
        if trainer.is_global_zero:
            result |= {"pictures": pictures, "seconds_total": round(throughput.total_seconds, 1)}
            result |= {} if pruned else {"samples_per_second": samples.rate}
            curves = run_dir / "curves.png"
            unit: Any = "bpd" if data.spec.has_bpd else "nll"
            drawn(curves, lambda: curves_png(run_dir / "metrics.csv", curves, config["experiment"], unit))
            write_json(result, run_dir / "result.json")
    except Exception as error:  # whatever it is, W&B shall know that the run has failed
        _finish(loggers, {"state": "failed", "reason": str(error).partition("\n")[0]}, None, exit_code=1)
        if checkpoint and not throughput.begun:
            with restoring(checkpoint):
                raise
        raise
    _finish(loggers, {k: v for k, v in result.items() if not isinstance(v, (dict, list))}, best)
    return result


def _checked(checkpoint: Path, content: dict[str, Any], config: dict[str, Any], data: ArrayDataModule) -> int:
    """Return the steps of a checkpoint that a run with this config and data can go on from."""
    saved = content[CHECKPOINT_KEY]
    check_resumed(config, saved["config"], checkpoint)
    known = "fingerprint" in saved  # not of older versions
    if known:
        data.setup()
    with restoring(checkpoint):
        if known and (difference := changed(saved["fingerprint"], data.fingerprint)):
            fix = "give back the old data, or start a new run; its weights can be tested on other data"
            raise UserError(f"{checkpoint}: the data are not those that it was trained on: {difference}; {fix}")
        return int(content["global_step"])


def _finish(loggers: list[Logger], summary: dict[str, Any], best: Path | None, exit_code: int = 0) -> None:
    for logger in loggers:
        if isinstance(logger, Wandb):
            logger.finish(summary, best, exit_code)


@rank_zero_only
def _show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, if it has rows."""
    if rows:
        from rich.table import Table

        table = Table(*header, title=title, title_justify="left")
        for row in rows[:SHOWN]:
            table.add_row(*row)
        if len(rows) > SHOWN:
            table.add_row(f"and {len(rows) - SHOWN:,} more")
        console().print(table)


@rank_zero_only
def _announce(config: dict[str, Any], run_dir: Path, lit: LitDensity, checkpoint: Path | None) -> None:
    every, trained = (sum(p.numel() for p in lit.parameters() if p.requires_grad or both) for both in (True, False))
    of_them = f", {trained:,} of them trained" if config["trainer"]["freeze"] else ""
    print(f"{config['model']['name']} on {config['data']['name']}: {lit.density.spec}, {every:,} parameters{of_them}")
    print("resuming" if checkpoint else "writing to", run_dir, flush=True)


@rank_zero_only
def _report(start: Start) -> None:
    """Print which weights were taken, and why others were not."""
    print(start.summary, flush=True)
    _show("weights that are not taken", ["name", "reason"], start.left_out)


def _quieten() -> None:
    """Silence Lightning's advice about choices that this project has made."""
    for message in (
        ".*does not have many workers.*", ".*Checkpoint directory .* exists and is not empty.*", ".*LeafSpec.*",
        ".*You are using `torch.load` with `weights_only=False`.*", ".*isinstance\\(treespec.*",
        ".*The dirpath has changed from .*",  # the run was moved
        ".*could not find the monitored key.*",  # the table says that there was no validation
        ".*number of training batches .* is smaller than the logging interval.*",
        ".*You're resuming from a checkpoint that ended before the epoch ended.*",
        ".*callbacks used to create the checkpoint need to be provided.*",
        ".*The checkpoint was not created with WeightAveraging.*",
        ".*recommended to use `self.log\\('(throughput/examples_per_second|test/nll/).*",  # over all ranks already
    ):  # fmt: skip
        warnings.filterwarnings("ignore", message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).addFilter(lambda record: not record.getMessage().startswith(_CHATTER))


_CHATTER = (
    "GPU available", "TPU available", "HPU available", "💡", "`Trainer", "Trainer already configured",
    "Trainer will use only", "Restoring states", "Restored all states", "Found current_model_state", "Loading",
)  # fmt: skip
