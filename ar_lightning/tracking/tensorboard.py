"""Metrics and samples for TensorBoard, in the run's directory: the charts of W&B without an account.

It can never fail a training: an error here costs one line.
"""

import csv
import importlib.util
import textwrap
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only

from ar_lightning.core.errors import UserError, first_line
from ar_lightning.core.output import markdown

__all__ = ["FOLDER", "TensorBoard"]

FOLDER = "tensorboard"  # in the run directory


class TensorBoard(TensorBoardLogger):
    """Scalars, pictures, sound, text and tables of a training, by the keys and on the x-axis of W&B, on rank zero.

    Events are written to the folder `tensorboard` of the run's directory; `say` prints a line.
    """

    def __init__(self, run_dir: Path, say: Callable[[str], None] = rank_zero_info) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError('tracking.tensorboard=true needs the package tensorboard: pip install -e ".[tensorboard]"')
        super().__init__(run_dir, name="", version=FOLDER, default_hp_metric=False)
        self.say, self.failed = say, False

    @rank_zero_only
    def resume_at(self, step: int) -> None:
        """Continue the events of an interrupted run; viewers leave out the events after its checkpoint."""
        self._kwargs["purge_step"] = step + 1

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Nothing to do: the config has its own file."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._attempt("log metrics", lambda: super(TensorBoard, self).log_metrics(metrics, step))

    @rank_zero_only
    def log_file(self, key: str, path: Path, step: int, caption: str) -> None:
        """Show a file under `key`: a picture, a recording, text or a table, the last two below their caption."""
        self._attempt("log a file", lambda: self._show(key, path, step, caption))
        self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write events to disk; Lightning calls this after every row."""
        self._attempt("write", lambda: self.experiment.flush())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write events to disk; keep the file open, for final samples come later."""
        self.save()

    def _attempt(self, action: str, call: Callable[[], object]) -> None:
        """Write events, unless that failed before; report the first failure."""
        if self.failed:
            return
        try:
            call()
        except Exception as error:  # file systems of TensorBoard have errors of their own: none may end a training
            self.failed = True
            self.say(f"TensorBoard: could not {action} ({first_line(error)}); the training is not affected")

    def _show(self, key: str, path: Path, step: int, caption: str) -> None:
        match path.suffix:
            case ".png":
                from PIL import Image

                with Image.open(path) as picture:
                    self.experiment.add_image(key, np.asarray(picture.convert("RGB")), step, dataformats="HWC")
            case ".wav":
                import soundfile

                sound, rate = soundfile.read(path, dtype="float32")
                self.experiment.add_audio(key, sound[None], step, sample_rate=rate)
            case ".csv":
                self.experiment.add_text(key, f"{caption}\n\n{_markdown_table(path)}", step)
            case _:  # four spaces: Markdown then leaves it as it is
                text = textwrap.indent(path.read_text(encoding="utf-8"), "    ")
                self.experiment.add_text(key, f"{caption}\n\n{text}", step)


def _markdown_table(path: Path) -> str:
    """Return a CSV of numbers and texts as a table in Markdown."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    lines = [[*map(markdown, header)], ["---"] * len(header), *([_shortened(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shortened(cell: str) -> str:
    try:
        return f"{float(cell):.4g}"
    except ValueError:
        return markdown(cell)
