"""TensorBoard: its events are those of metrics.csv, with the samples, and nothing about them can end a training."""

import csv
import importlib.util
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from ar_lightning.tracking.tensorboard import FOLDER, TensorBoard
from tests.support.commands import QUICK, run_apart, run_here
from tests.support.marks import slow_but

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
)
SIZE = {"scalars": 0, "images": 0, "audio": 0, "tensors": 0}  # keep all


def train(run: Path, config: str, *overrides: str) -> None:
    args = (*QUICK, "samples.every=1", "tracking.tensorboard=true", f"run_dir={run}", *overrides)
    assert run_here("--config", f"conf/{config}.yaml", *args) == 0


def events(run: Path) -> Any:
    return accumulator.EventAccumulator(str(run / FOLDER), size_guidance=SIZE).Reload()


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    found = events(run)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def metrics(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Read metrics.csv; TensorBoard keeps float32."""
    columns = defaultdict(list)
    with (run / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for key, value in row.items():
                if value and key != "step":
                    columns[key].append((int(row["step"]), float(np.float32(value))))
    return columns


MEDIA = {
    "nade": ({"samples/samples", "samples/completions"}, set(), set()),
    "wavenet": (
        {"samples/samples", "samples/completions"}, {"samples/samples, sound", "samples/completions, sound"}, set(),
    ),
    "char_rnn": (set(), set(), {"samples/samples", "samples/completions"}),
    "rnade": ({"samples/pairs"}, set(), {"samples/samples"}),
}  # fmt: skip


@pytest.mark.parametrize("config", slow_but(["nade"], MEDIA))
def test_events_are_the_metrics_and_the_samples(config: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, config, "trainer.max_epochs=2")
    assert scalars(run) == metrics(run)
    pictures, sounds, texts = MEDIA[config]
    found = events(run)
    tags = found.Tags()
    assert (set(tags["images"]), set(tags["audio"])) == (pictures, sounds)
    assert {tag.removesuffix("/text_summary") for tag in tags["tensors"]} == texts
    validated = [step for step, _ in metrics(run)["val/bpd"]]
    for events_of in (found.Images, found.Audio, found.Tensors):
        kind = {found.Images: pictures, found.Audio: sounds}.get(events_of, {f"{tag}/text_summary" for tag in texts})
        for tag in kind:
            assert [event.step for event in events_of(tag)] == validated, "samples lie where the epoch's metrics do"
    check_last(run, found, tags)


def check_last(run: Path, found: Any, tags: dict[str, Any]) -> None:
    """The last samples are the run's final files."""
    for tag in tags["images"]:
        name = "final-completions.png" if "completions" in tag else "final.png"
        (run / "shown.png").write_bytes(found.Images(tag)[-1].encoded_image_string)
        with Image.open(run / "shown.png") as shown, Image.open(run / "samples" / name) as file:
            assert np.array_equal(np.asarray(shown), np.asarray(file.convert("RGB")))
    for tag in tags["audio"]:
        (file,) = (run / "samples").glob("final-completions-0.wav" if "completions" in tag else "final-0.wav")
        (run / "heard.wav").write_bytes(found.Audio(tag)[-1].encoded_audio_string)
        (heard, rate), (sound, original) = soundfile.read(run / "heard.wav"), soundfile.read(file)
        assert rate == original and np.abs(heard - sound).max() < 1e-4, "the same, to the rounding of 16 bits"
    for tag in tags["tensors"]:
        text = found.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
        ending = "final-completions.txt" if "completions" in tag else "final.txt"
        if (file := run / "samples" / ending).exists():
            assert all(line in text for line in file.read_text(encoding="utf-8").splitlines())
        else:
            rows = (run / "samples" / "final.csv").read_text().splitlines()
            assert text.count("\n| ") == len(rows) + 1 and text.startswith("final\n\n| ")


def test_a_resumed_run_goes_on(tmp_path: Path) -> None:
    """What the first part had after its checkpoint, its test, is of no run any more."""
    run = tmp_path / "run"
    train(run, "nade", "trainer.max_epochs=2")
    assert run_here("--resume", str(run), "trainer.max_epochs=3") == 0
    assert scalars(run) == metrics(run)
    assert [event.step for event in events(run).Images("samples/samples")] == [1, 3, 5]


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_write_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = [o for o in QUICK if not o.startswith("trainer.devices")]
    args = (*options, "trainer.devices=2", "tracking.tensorboard=true", f"run_dir={run}")
    run_apart("--config", "conf/nade.yaml", *args)
    assert len([*(run / FOLDER).iterdir()]) == 1
    assert scalars(run) == metrics(run)


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    train(tmp_path / "run", "nade", "tracking.tensorboard=false", "samples.completions=false")
    assert not (tmp_path / "run" / FOLDER).exists()


def test_failures_are_one_line(tmp_path: Path) -> None:
    """Here the folder cannot be made; later a file is gone."""
    said: list[str] = []
    (tmp_path / FOLDER).write_text("in the way")
    logger = TensorBoard(tmp_path, said.append)
    for step in range(3):
        logger.log_metrics({"train/loss": 1.0}, step)
        logger.save()
    logger.log_file("samples/samples", tmp_path / "none.png", 3, "final")
    logger.finalize("success")
    assert len(said) == 1 and said[0].startswith("TensorBoard: could not log metrics (")

    (tmp_path / FOLDER).unlink()
    logger = TensorBoard(tmp_path, said.append)
    logger.log_file("samples/samples", tmp_path / "none.png", 3, "final")
    logger.log_metrics({"train/loss": 1.0}, 4)
    assert len(said) == 2 and "could not log a file" in said[1]


def test_without_the_package_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "tensorboard" else found(n, *a))
    args = (*QUICK, "tracking.tensorboard=true", f"run_dir={tmp_path / 'run'}")
    assert run_here("--config", "conf/nade.yaml", *args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: tracking.tensorboard=true") and 'pip install -e ".[tensorboard]"' in line
    assert not (tmp_path / "run").exists()
