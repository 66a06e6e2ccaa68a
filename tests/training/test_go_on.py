"""The end of a training: which weights were tested, what marks the numbers, and how to go on where it improved."""

import csv
import json
import logging
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest

from ar_lightning.cli import main
from ar_lightning.commands import fit
from ar_lightning.config.checks import check_resumed
from ar_lightning.config.resolve import load_config
from ar_lightning.core.notice import notice
from ar_lightning.training import go_on as module
from ar_lightning.training.go_on import how_to_go_on, still_improving
from tests.support.commands import QUICK, result, run_here

NADE = ["model=nade", "model.hidden=8", *QUICK, "samples.every=0", "samples.completions=false"]


def curve(n: int, fall: float, noise: float, seed: int = 0) -> list[float]:
    """Return values that fall by e^-fall of the way, with noise relative to that."""
    return list(90 + 10 * (np.exp(-fall * np.arange(n) / n) + noise * np.random.RandomState(seed).randn(n)))


@pytest.mark.parametrize("n", [5, 10, 30, 100])
def test_a_curve_that_falls_is_told_from_noise(n: int) -> None:
    assert still_improving(curve(n, fall=2, noise=0.0))
    assert np.mean([still_improving(curve(n, fall=2, noise=0.003, seed=i)) for i in range(50)]) > 0.9
    assert not still_improving(curve(n, fall=12, noise=0.0)), "it has come down"
    assert np.mean([still_improving(curve(n, fall=0, noise=1.0, seed=i)) for i in range(500)]) < 0.03


def test_a_curve_that_turned_or_is_short_does_not_improve() -> None:
    falling = curve(20, fall=2, noise=0.0)
    assert not still_improving([*falling, *falling[:-6:-1]])
    assert not still_improving(falling[:4]) and not still_improving([])
    assert not still_improving([90.0] * 20)


def ended(folder: Path, values: list[float], *given: str, epochs: int = 30, steps: int = 300) -> str | None:
    """Return the advice to a training with these settings that ended so, after those validations."""
    lines = [f"{10 * i},{i},{value}" for i, value in enumerate(values)]
    (folder / "metrics.csv").write_text("\n".join(["step,epoch,val/nll", *lines, ""]))
    config = load_config(None, ["model=nade", "trainer.max_epochs=30", *given])
    return how_to_go_on(config, {"epochs": epochs, "steps": steps}, folder)


FALLING = curve(30, fall=2, noise=0.0)


@pytest.mark.parametrize(
    ("given", "epochs", "keys"),
    [
        ([], 30, "trainer.max_epochs=60"),
        (["schedule=plateau", "trainer.ema=0.9"], 30, "trainer.max_epochs=60"),
        (["trainer.max_steps=300"], 12, "trainer.max_steps=600"),
        (["trainer.max_steps=300"], 30, "trainer.max_epochs=60 trainer.max_steps=600"),
        (["trainer.max_hours=0.25"], 12, "trainer.max_hours=0.5"),
        (["trainer.max_hours=0.25", "schedule=cosine"], 12, "trainer.max_hours=0.5"),
        (["trainer.early_stopping=3"], 30, "trainer.max_epochs=60"),
    ],
)
def test_what_ended_the_training_is_doubled(given: list[str], epochs: int, keys: str, tmp_path: Path) -> None:
    advice = ended(tmp_path, FALLING, *given, epochs=epochs)
    assert advice is not None
    assert advice.startswith("still improving at the last epoch; go on with: python")
    assert advice.endswith(f" --resume {tmp_path} {keys}")


def test_no_advice_where_there_is_none(tmp_path: Path) -> None:
    assert ended(tmp_path, FALLING[::-1]) is None
    assert ended(tmp_path, [*FALLING, FALLING[-1]], "trainer.early_stopping=1") is None, "it had stopped early"
    assert ended(tmp_path, FALLING, epochs=12) is None, "it ended for a reason that is not known"
    assert ended(tmp_path, []) is None, "it was not validated"
    (tmp_path / "metrics.csv").write_text("damaged\n1\n")
    assert how_to_go_on(load_config(None, ["model=nade"]), {"epochs": 20, "steps": 20}, tmp_path) is None


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_advice_works_when_pasted(
    schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cosine has ended, and is begun anew; others go on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "still_improving", lambda values: True)
    assert main([*NADE, f"schedule={schedule}", "run_dir=my runs/a"]) == 0
    (advice,) = [line for line in capsys.readouterr().out.splitlines() if "still improving" in line]
    words = shlex.split(advice.partition(" with: ")[2])
    command = words[next(i for i, word in enumerate(words) if word.startswith("--")) :]
    assert main(command) == 0
    again = capsys.readouterr().out
    assert "still improving" in again and "trainer.max_epochs=4" in again
    (new,) = Path("runs").glob("*/*") if schedule == "cosine" else [Path("my runs/a")]
    assert result(new)["epochs"] == 2


def test_a_longer_cosine_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    notice.cache_clear()
    for schedule, epochs in (("cosine", 30), ("plateau", 60), ("cosine", 60)):
        before, now = (
            load_config(None, ["model=nade", f"schedule={schedule}", f"trainer.max_epochs={n}"]) for n in (30, epochs)
        )
        assert capsys.readouterr().err == ""
        check_resumed(now, before, "last.ckpt")
    assert "learning rate goes on as if the training had been of this length" in capsys.readouterr().err


def test_a_trial_of_a_sweep_gets_no_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "still_improving", lambda values: True)
    monkeypatch.setattr(fit, "is_trial", lambda: True)
    assert run_here(*NADE, f"run_dir={tmp_path / 'run'}") == 0
    assert "still improving" not in capsys.readouterr().out
    assert "tested_epoch" not in result(tmp_path / "run"), "it is not tested"


def facts(text: str) -> dict[str, str]:
    """Return the rows of a printed table."""
    found, name = {}, ""
    for line in text.splitlines():
        if line.startswith("│"):
            first, second = (cell.strip() for cell in line.strip("│").split("│"))
            name = first or name
            found[name] = f"{found.get(name, '') if not first else ''} {second}".strip()
    return found


def tables(capsys: pytest.CaptureFixture[str], run: Path, *given: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tables at the end of a training and of its test."""
    assert run_here(*NADE, *given, f"run_dir={run}") == 0
    trained = facts(capsys.readouterr().out)
    assert run_here("test", str(run)) == 0
    return trained, facts(capsys.readouterr().out.partition("┏")[0])


def test_the_epoch_that_was_tested_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last of three is not validated, and so not the best."""
    run = tmp_path / "run"
    trained, tested = tables(capsys, run, "trainer.max_epochs=3", "trainer.val_every=2")
    assert trained["weights"] == "of epoch 2, step 4: the best on validation"
    assert tested["weights"] == "of epoch 2, step 4"
    for kept in (result(run), json.loads((run / "test.json").read_text())):
        assert (kept["tested_epoch"], kept["tested_step"]) == (2, 4)


def test_what_marks_a_number_stands_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the same words at the end of a training, of its test, and of a comparison."""
    run = tmp_path / "run"
    both = ["data.dequantise=true", "likelihood=gaussian_mixture"]
    trained, tested = tables(capsys, run, *both)
    note = "only part of the data: limit_train=2, limit_val=2, limit_test=2; a bound: the levels are dequantised"
    assert trained["note"] == tested["note"] == note
    assert run_here("compare", str(run), "--out", str(tmp_path / "compared")) == 0
    with (tmp_path / "compared" / "table.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["notes"] == note
    whole = ["trainer.limit_train=null", "trainer.limit_val=null", "trainer.limit_test=null"]
    assert all("note" not in table for table in tables(capsys, tmp_path / "whole", *whole))


@pytest.mark.parametrize("waits", [[], ["trainer.early_stopping=3", "schedule=plateau"]])
def test_a_training_of_one_step_says_no_more_than_ours(
    waits: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Lightning would give advice, by warnings and by its log; and want what no validation has measured yet."""
    with warnings.catch_warnings(record=True) as given, caplog.at_level(logging.INFO):
        assert run_here(*NADE, *waits, "trainer.max_steps=1", f"run_dir={tmp_path / 'run'}") == 0
    out, err = capsys.readouterr()
    assert "`" not in out + err and not given
    assert not [record for record in caplog.records if record.name.startswith("lightning")]
    assert facts(out)["weights"] == "of the last step: the training ended before a validation"
    assert result(tmp_path / "run")["tested_step"] == 1
