"""What a sweep leaves behind is a function of its study."""

import csv
import os
import re
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import TrialState
from PIL import Image
from rich.console import Console

from ar_lightning.config.resolve import load_config, resolve
from ar_lightning.sweep.report.importances import importances
from ar_lightning.sweep.report.plots import write_plots
from ar_lightning.sweep.report.summary import summary
from ar_lightning.sweep.report.write import write_report
from tests.support.studies import BPD, BRANCHES, PLAIN, SPEED, new_study, searched, trial

PICTURES = {"history", "importances", "slices", "parallel coordinates", "intermediate values"}


def said(study: Study, files: dict[str, Path] | None = None) -> str:
    text = StringIO()
    Console(file=text, width=100).print(summary(study, files))
    return text.getvalue()


def test_the_best_config_is_complete_and_reads_back_unchanged(tmp_path: Path) -> None:
    study = searched(20)
    path = write_report(study, tmp_path)["best config"]
    best = study.best_trial
    base = study.user_attrs["definition"]["base"]
    expected = resolve(base, best.user_attrs["settings"], "") | {"experiment": "digits", "run_dir": None}
    assert load_config(path) == expected
    assert load_config(path)["optimizer"]["lr"] == best.params["optimizer.lr"]
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert head[0] == f"# Trial {best.number} of the sweep digits, the best."
    assert head[1] == f"# val/bpd (bits/dim): {best.value!r}"
    assert head[-1] == f"# python run.py --config {path}"
    assert not list(tmp_path.rglob("*.partial"))


def test_a_branch_of_the_space_becomes_plain_config_keys(tmp_path: Path) -> None:
    study = searched(20, BRANCHES)
    best = study.best_trial
    config = load_config(write_report(study, tmp_path)["best config"])
    name = best.params["model.name"]
    assert (config["model"]["name"], config["model"]["hidden"]) == (name, best.params[f"{name}:model.hidden"])


def test_two_objectives_leave_a_config_for_each_trial_of_the_front(tmp_path: Path) -> None:
    (tmp_path / "pareto").mkdir()
    (tmp_path / "pareto" / "0999.yaml").write_text("of an earlier front")
    study = searched(20, PLAIN, (BPD, SPEED))
    files = write_report(study, tmp_path)
    front = {f"{t.number:04d}.yaml" for t in study.best_trials}
    assert {path.name for path in files["Pareto configs"].iterdir()} == front
    for name in front:
        load_config(tmp_path / "pareto" / name)
    first = min(study.trials, key=lambda t: t.values[0])
    assert load_config(files["best config"])["optimizer"]["lr"] == first.params["optimizer.lr"]
    assert "the best by val/bpd" in files["best config"].read_text().splitlines()[0]
    assert {"pareto front", "history val/bpd", "history samples_per_second"} <= set(files)


def test_the_table_has_a_row_for_each_trial_that_ran(tmp_path: Path) -> None:
    study = searched(6, BRANCHES)
    again = {"params": study.trials[0].params, "distributions": study.trials[0].distributions}
    study.add_trial(trial(TrialState.FAIL, **again, outcome="surplus"))
    study.add_trial(trial(TrialState.FAIL, **again, outcome="failed", reason='RuntimeError: "out", of memory'))
    study.add_trial(trial(TrialState.FAIL, **again, run="0008"))
    study.add_trial(trial(TrialState.WAITING, **again))
    study.add_trial(trial(TrialState.RUNNING, **again, curve=(5.0, 4.0), retry_of=[2, 8], run="0008"))
    with write_report(study, tmp_path)["trials as a table"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["number"]) for row in rows] == [0, 1, 2, 3, 4, 5, 7, 8, 10]
    assert [row["state"] for row in rows][-3:] == ["failed", "lost", "running"]
    assert rows[-3]["reason"] == 'RuntimeError: "out", of memory'
    last = rows[-1]
    assert (last["val/bpd"], last["epochs"], last["retry_of"], last["run"]) == ("4.0", "2", "2 8", "trials/0008")
    assert float(rows[0]["val/bpd"]) == study.trials[0].value
    assert float(rows[0]["val/nll"]) == study.trials[0].user_attrs["metrics"]["val/nll"]
    for row, t in zip(rows, study.trials, strict=False):
        assert {k: row[k] for k in t.params} == {k: str(v) for k, v in t.params.items()}


def test_a_study_without_finished_trials_is_reported_too(tmp_path: Path) -> None:
    study = new_study()
    study.add_trial(trial(TrialState.RUNNING))
    files = write_report(study, tmp_path)
    assert set(files) == {"trials as a table", "report"}
    report = files["report"].read_text()
    assert "nothing to report yet" in report
    assert "1 running" in report
    assert "no picture of history: needs 1 complete trial, has 0" in report
    assert len(files["trials as a table"].read_text().splitlines()) == 2


def test_every_picture_is_drawn_or_missing_for_a_reason(tmp_path: Path) -> None:
    files, missing = write_plots(searched(20), tmp_path)
    assert set(files) == PICTURES
    assert not missing
    for path in files.values():
        assert Image.open(path).size[0] > 400
    files, missing = write_plots(searched(2), tmp_path)
    assert set(files) | set(missing) == PICTURES
    assert missing == {"importances": "needs 8 complete or pruned trials, has 2"}
    assert not (tmp_path / "importances.png").exists()  # that of the study before
    one = {"optimizer.lr": PLAIN["optimizer.lr"], "model.hidden": {"type": "int", "low": 64, "high": 64}}
    study = searched(12, one)
    assert set(write_plots(study, tmp_path)[0]) == PICTURES  # a range of one value
    for t in study.trials:
        assert t.params["model.hidden"] == 64


def test_one_parameter_is_too_few_for_some_pictures(tmp_path: Path) -> None:
    study = new_study({"likelihood.name": {"type": "categorical", "choices": ["auto", "categorical"]}})
    for i in range(12):
        choice = {"likelihood.name": CategoricalDistribution(["auto", "categorical"])}
        study.add_trial(trial(values=float(i), params={"likelihood.name": "auto"}, distributions=choice))
    files, missing = write_plots(study, tmp_path)
    assert set(files) == {"history", "slices"}
    assert missing["importances"] == missing["parallel coordinates"] == "needs 2 parameters, has 1"
    assert missing["intermediate values"] == "no trial has reported a value"


@pytest.mark.slow
def test_branches_and_two_objectives_have_the_pictures_too(tmp_path: Path) -> None:
    files, missing = write_plots(searched(20, BRANCHES), tmp_path / "branches")
    assert set(files) == PICTURES and not missing
    files, missing = write_plots(searched(20, PLAIN, (BPD, SPEED)), tmp_path / "two")
    of_each = {f"{kind} {o['metric']}" for kind in ("history", "importances", "slices") for o in (BPD, SPEED)}
    assert set(files) == {*of_each, "parallel coordinates", "pareto front"} and not missing
    assert (tmp_path / "two" / "history-val-bpd.png").is_file()


def test_equal_values_do_not_hurt(tmp_path: Path) -> None:
    study, source = new_study(), searched(12, pruned=0)
    for t in source.trials:
        study.add_trial(trial(values=2.0, params=t.params, distributions=t.distributions, curve=(2.0, 2.0)))
    files, missing = write_plots(study, tmp_path)
    assert set(files) == PICTURES - {"importances"}
    assert missing == {"importances": "all trials are equally good"}
    assert importances(study) == {}


def test_drawing_leaves_matplotlib_as_it_was(tmp_path: Path) -> None:
    from matplotlib import pyplot as plt

    mine = plt.figure()
    before, backend = dict(plt.rcParams), plt.get_backend()
    write_plots(searched(9), tmp_path)
    assert (dict(plt.rcParams), plt.get_backend(), plt.get_fignums()) == (before, backend, [mine.number])
    plt.close(mine)


def test_reporting_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study, before = searched(20), optuna.logging.get_verbosity()
    capfd.readouterr()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        write_report(study, tmp_path)
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")


def test_importances_find_what_matters_also_among_pruned_trials() -> None:
    found = importances(searched(200))
    assert [*found][:2] == ["optimizer.lr", "model.hidden"]
    assert sum(found.values()) == pytest.approx(1)
    study, source = new_study(), searched(40, pruned=0)
    middle = sorted(t.value for t in source.trials)[20]
    for t in source.trials:  # as a pruner leaves it: without the bad ones
        kind = {"values": t.value} if t.value < middle else {"state": TrialState.PRUNED}
        study.add_trial(trial(**kind, params=t.params, distributions=t.distributions))
    assert next(iter(importances(study))) == "optimizer.lr"


def test_each_objective_has_importances_in_its_own_direction() -> None:
    study = searched(60, PLAIN, (BPD, SPEED))
    assert next(iter(importances(study, 1))) == "model.hidden"


def test_the_summary_says_what_a_person_asks(tmp_path: Path) -> None:
    study = searched(20)
    again = {"params": study.trials[0].params, "distributions": study.trials[0].distributions}
    study.add_trial(trial(TrialState.FAIL, **again, outcome="failed", reason="RuntimeError: CUDA out of memory"))
    study.add_trial(trial(TrialState.FAIL, **again))
    study.add_trial(trial(TrialState.COMPLETE, 5.0, **again, retry_of=[21]))
    text = said(study, {"best config": tmp_path / "best.yaml"})
    gain = study.trials[0].value - study.best_value
    for part in (
        "1 failed, 1 lost", f"{study.best_value:#.5g} bits/dim, trial {study.best_trial.number}",
        f"better by {gain:#.5g}", "optimizer.lr = 0.00", "trial 21 (lost) as trial 22",
        "trial 20: RuntimeError: CUDA out of memory", "importance",
    ):  # fmt: skip
        assert part in text
    assert str(tmp_path / "best.yaml") in re.sub(r"[│\s]", "", text)  # a long path is folded


def test_the_summary_of_two_objectives_names_the_front() -> None:
    study = searched(20, PLAIN, (BPD, SPEED))
    text = said(study)
    assert "best val/bpd" in text
    assert "best samples_per_second" in text
    assert "Pareto front" in text


@pytest.mark.slow
def test_a_thousand_trials_take_seconds(tmp_path: Path) -> None:
    study = searched(1000)
    started = time.process_time()
    assert set(write_report(study, tmp_path)) >= PICTURES
    assert time.process_time() - started < 30


@pytest.mark.slow
def test_a_report_needs_no_display(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.support.studies import searched;"
        "from ar_lightning.sweep.report.write import write_report; write_report(searched(9), Path(sys.argv[1]));"
        "assert 'torch' not in sys.modules"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "DISPLAY", "WAYLAND_DISPLAY")}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=root, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
