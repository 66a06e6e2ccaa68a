"""A run on Weights & Biases that can never fail what it tracks: an error there costs one line.

It falls back to offline if the server cannot be reached; its files stay in its directory for `wandb sync`. W&B is
imported when a run begins, PyTorch never.
"""

import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any

from ar_lightning.core.errors import UserError, first_line
from ar_lightning.core.files import written
from ar_lightning.tracking.wandb_mode import has_key, wandb_mode

__all__ = ["STEP", "WandbRun", "has_ended", "training_run"]

STEP = "trainer/global_step"  # the x-axis of every chart of a training
ENDED = "ended"  # a file in its folder
LONGEST_ID = 128  # it becomes part of a file name
ENVIRONMENT = {  # W&B's own variables, where the user has not set them
    "WANDB_SILENT": "true",  # this module says what there is to say
    "WANDB_ERROR_REPORTING": "false",  # its process would report its crashes, offline too
    "WANDB_INIT_TIMEOUT": "30",
    "WANDB_FINISH_TIMEOUT": "60",  # for the last upload; without a limit, a dead server holds the process for ever
    "WANDB_FINISH_TIMEOUT_RAISES": "true",
}
BLOCK = 32 * 1024  # bytes of W&B's own log of a run
FILE_HEADER = 7  # bytes
PIECE = Struct("<IHB")  # checksum, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4  # kinds


def training_run(
    run_dir: Path, config: Mapping[str, Any], tracking: Mapping[str, Any], say: Callable[[str], None]
) -> "WandbRun | None":
    """Return the W&B run of a training, not yet begun; None where W&B is disabled."""
    mode = wandb_mode(tracking["mode"])
    if mode == "disabled":
        return None
    start = {key: tracking[key] for key in ("id", "project", "entity", "name", "group", "job_type")}
    start["name"] = start["name"] or f"{config['experiment']}/{run_dir.name}"
    return WandbRun(run_dir, mode, {**start, "tags": tracking["tags"] or None, "config": config}, say)


def has_ended(run_dir: Path) -> bool:
    """Return whether the W&B run in this directory has ended, as complete or failed."""
    return (run_dir / "wandb" / ENDED).exists()


class WandbRun:
    """One run on W&B. It begins at the first use, and continues the run that was begun in its directory before.

    W&B keeps its files in `wandb/` of the directory, and the id, so that a resumed training is the same run. `start`
    are arguments of `wandb.init`, `axis` is the metric on the x-axis of every chart, `say` prints a line, and `tracked`
    is what messages call the run's subject.
    """

    def __init__(
        self,
        directory: Path,
        mode: str,
        start: Mapping[str, Any],
        say: Callable[[str], None],
        axis: str = STEP,
        tracked: str = "training",
    ) -> None:
        self.folder, self.mode, self.say, self.axis, self.tracked = directory / "wandb", mode, say, axis, tracked
        self.start: dict[str, Any] = {"dir": directory, "resume": "allow", **start}
        self.begun = self.failed = False
        self._run: Any = None

    @property
    def run(self) -> Any:
        """The `wandb.Run`, begun when it is first asked for; None if it cannot be."""
        if not self.begun:
            self.begun = True
            self.attempt("start", self._begin)
        return self._run

    def log(self, action: str, row: Callable[[], Mapping[str, Any]], x: float | None) -> None:
        """Log a row at a place on the x-axis; `row` is called only if the run has begun."""
        if run := self.run:
            self.attempt(action, lambda: run.log({**row(), self.axis: x}))

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Write final numbers."""
        if run := self.run:
            self.attempt("write the summary", lambda: run.summary.update(dict(summary)))

    def finish(self, exit_code: int = 0) -> None:
        """End the run, within W&B's time limit; a run that was never used begins first, so that it is listed."""
        import wandb

        if run := self.run:
            self.attempt("finish", lambda: run.finish(exit_code=exit_code))
            self.attempt("stop", wandb.teardown)  # now: what fails in W&B's exit hook can no longer be caught
            if not self.failed:
                self.attempt("end", (self.folder / ENDED).touch)
            if run.offline and not self.failed:
                self.say(f"W&B: the run is offline{self._advice()}")

    def attempt(self, action: str, call: Callable[[], object]) -> None:
        """Call W&B; report the first failure."""
        try:
            call()
        except (Exception, SystemExit) as error:  # a network client and another process: they may not end a training
            if not self.failed:
                self.failed = True
                problem = f"could not {action} ({first_line(error)})"
                self.say(f"W&B: {problem}; the {self.tracked} is not affected{self._advice()}")

    def segments(self) -> list[Path]:
        """Return the folders of this run: W&B makes one each time the run begins or resumes."""
        return sorted(folder for folder in self.folder.glob("*run-*") if folder.is_dir())

    def _begin(self) -> None:
        import wandb

        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.start["id"] = self._kept_id()
        (self.folder / ENDED).unlink(missing_ok=True)
        for segment in self.segments():  # `wandb sync` would stop at half a record that a killed process left
            if not [log for log in segment.glob("*.wandb") if mend(log)]:
                shutil.rmtree(segment, ignore_errors=True)
        with _without_launch():
            run = self._go_online() if self.mode == "online" else None
            self._run = run or wandb.init(mode="offline", **self.start)
        os.environ.pop("WANDB_SERVICE", None)  # or what this process starts would share, and end, W&B's process
        self._run.define_metric(self.axis)
        self._run.define_metric("*", step_metric=self.axis)

    def _kept_id(self) -> str:
        """Return the id of the run in this directory, or the requested id, or a new one."""
        file = self.folder / "run-id"
        if not file.exists():
            asked = re.sub(r"[^\w.-]", "-", self.start.get("id") or "")[:LONGEST_ID]
            with written(file) as partial:
                partial.write_text(asked or secrets.token_hex(4), encoding="utf-8")
        return file.read_text(encoding="utf-8").strip()

    def _go_online(self) -> Any:
        """Return the run, or None if the server cannot be reached or refuses the key."""
        import wandb

        earlier = self.segments()
        try:
            if not has_key():  # W&B would ask for it
                raise UserError("no API key: set WANDB_API_KEY or run `wandb login`")
            run = wandb.init(mode="online", **self.start)
            self.say(f"W&B: {run.url}")
            return run
        except Exception as error:  # whatever it is; W&B's errors have no common type
            self.say(f"W&B: cannot go online ({first_line(error)}); logging offline")
            wandb.teardown()  # its process holds on to the id
            for segment in set(self.segments()) - set(earlier):
                shutil.rmtree(segment, ignore_errors=True)
            return None

    def _advice(self) -> str:
        command = shlex.join(["wandb", "sync", "--include-online", *map(str, self.segments())])
        return f"; upload it later with: {command}" if self.segments() else ""


@contextmanager
def _without_launch() -> Iterator[None]:
    """Let `wandb.init` not look for inputs of W&B Launch, whose client would take a second of CPU to import.

    Only who has imported it can have staged some: then it does look.
    """
    import wandb

    name = "_detect_and_apply_job_inputs"
    look = getattr(getattr(wandb, "Run", None), name, None)
    if look is None or "wandb.sdk.launch" in sys.modules:
        yield
        return
    setattr(wandb.Run, name, lambda run: None)
    try:
        yield
    finally:
        setattr(wandb.Run, name, look)


def mend(log: Path) -> bool:
    """Cut an incomplete last record from a file `run-ID.wandb`; return whether a whole one is left.

    `wandb sync` stops at a record that is cut short, and leaves out whatever it was asked to upload after it. The file
    is a LevelDB log: blocks of 32 KiB, in them pieces of records, each behind a checksum, its length and its kind.
    """
    whole = _whole(log.read_bytes())
    if whole < log.stat().st_size:
        os.truncate(log, whole)
    return whole > FILE_HEADER


def _whole(data: bytes) -> int:
    """Return the length of the part that holds whole records."""
    at = end = FILE_HEADER
    while True:
        left = BLOCK - at % BLOCK
        if left < PIECE.size:  # no piece begins there
            at += left
        if at + PIECE.size > len(data):
            return min(end, len(data))
        _, length, kind = PIECE.unpack_from(data, at)
        at += PIECE.size + length
        if at > len(data) or kind not in (FULL, FIRST, MIDDLE, LAST):
            return end
        if kind in (FULL, LAST):
            end = at
