"""Published numbers: rows are kept beside their configs, resumed and compared, and nothing else is written."""

import json
import shutil
from pathlib import Path
from statistics import fmean, stdev

import pytest

from ar_lightning.config.overlay import flat
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.training.provenance import machine
from benchmarks.published.page import results_page
from benchmarks.published.reproduce import reproduce
from benchmarks.published.rows import changed, read_reproductions
from benchmarks.published.seeds import reproduce_seeds
from benchmarks.published.smoke import beside, smoke
from tests.support.commands import ROOT, run_here
from tests.support.files import real_data

ROWS = read_reproductions()
OURS = ["trainer.accelerator=cpu", "tracking.mode=disabled", "samples.n=4"]
TABLE = "optimizer:\n  lr: 0.01\ntrainer:\n  max_epochs: 1\n"


def checkout(root: Path, name: str, config: str) -> Path:
    """A checkout with one row."""
    (root / "conf" / "published").mkdir(parents=True)
    (root / "conf" / "published" / f"{name}.yaml").write_text(config)
    return root


def test_results_md_is_made_of_the_committed_files() -> None:
    assert (ROOT / "RESULTS.md").read_text(encoding="utf-8") == results_page(ROWS, ROOT)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_kept_is_of_the_config(row) -> None:  # type: ignore[no-untyped-def]
    """And every config says its source; a number stands only where it is the published one."""
    head = row.file.read_text().partition("\nmodel:")[0]
    assert f"reproduce {row.name}" in head
    if row.published:
        assert f"{row.published.value:.2f}" in head and "# Source:" in head
    if row.result is not None:
        kept = flat("kept", load_config(row.folder / "config.yaml"))
        assert [key for key in changed(row.config, kept) if key not in ("data.fold", "experiment")] == []
        assert (row.result["data"], row.result["model"]) == (row.config["data.name"], row.config["model.name"])


def test_rows_of_mixed_columns_are_in_nats() -> None:
    adult = next(row for row in ROWS if row.name == "any_order_transformer_adult")
    assert adult.ours == f"{adult.result['test/nll']:.2f} nats"
    assert (adult.folder / "samples.png").is_file()  # of the marginals


def test_the_page_says_what_is_not_run_and_what_is_missed(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "nade_binarized_mnist")
    assert row.verdict == "at or below the published value"
    worse = {**row.__dict__, "result": row.result | {"test/nll": 89.0}}
    assert type(row)(**worse).verdict == "0.67 nats above"
    less = {**row.__dict__, "result": row.result | {"test_examples": 500}}
    assert type(row)(**less).verdict.endswith("but on other test examples")
    new = type(row)(**{**row.__dict__, "result": None})
    assert "| not run yet |" in results_page([new], ROOT)
    deep = next(row for row in ROWS if row.name == "deep_nade_binarized_mnist")
    of_members = (deep.result or row.result) | {"test/nll_by_members": {"1": 88.888, "2": 87.654}}
    page = results_page([type(row)(**{**deep.__dict__, "result": of_members})], ROOT)
    assert "| 1 | 89.17 nats | 88.89 nats |\n| 2 | 87.96 nats | 87.65 nats |" in page


def test_a_row_is_trained_once_then_compared_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path / "root", "markov_digits", "model: markov\n" + TABLE)
    monkeypatch.chdir(tmp_path)
    found = reproduce("markov_digits", OURS, root)
    assert found is not None and found.changed == []
    folder = root / "benchmarks" / "results" / "digits" / "markov"
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.yaml", "metrics.csv", "curves.png", "samples.png", "result.json"}
    assert "run_dir" not in (folder / "config.yaml").read_text()
    kept = json.loads((folder / "result.json").read_text())
    assert kept["machine"] == machine("cpu") and "pictures" not in kept
    assert f"{kept['test/bpd']:.3f} bits/dim" in (root / "RESULTS.md").read_text()

    done = tmp_path / "runs" / "published" / "markov_digits" / "result.json"
    before = done.stat().st_mtime_ns
    shutil.rmtree(folder)
    again = reproduce("markov_digits", OURS, root)
    assert done.stat().st_mtime_ns == before and again is not None and again.row.result == found.row.result
    assert {path.name for path in folder.iterdir()} == files

    done.unlink()  # as if it had been stopped after its last epoch
    resumed = reproduce("markov_digits", OURS, root)
    assert resumed is not None and resumed.row.result is not None and found.row.result is not None
    assert resumed.row.result["test/nll"] == pytest.approx(found.row.result["test/nll"])


def test_another_experiment_is_compared_but_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path / "root", "markov_digits", "model: markov\n" + TABLE)
    monkeypatch.chdir(tmp_path)
    found = reproduce("markov_digits", [*OURS, "optimizer.lr=0.1"], root)
    assert found is not None and found.changed == ["optimizer.lr"]
    assert found.run_dir == Path("runs/altered/markov_digits") and (found.run_dir / "result.json").is_file()
    assert not (root / "RESULTS.md").exists() and not (root / "benchmarks").exists()
    with pytest.raises(UserError, match=r"another optimizer\.lr; name another run_dir"):
        reproduce("markov_digits", [*OURS, "optimizer.lr=0.2"], root)


def test_seeds_have_a_mean_and_a_spread_beside_the_rows_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path / "root", "markov_digits", "model: markov\n" + TABLE)
    monkeypatch.chdir(tmp_path)
    first = reproduce("markov_digits", OURS, root)
    assert first is not None and first.row.spread == ""
    found = reproduce_seeds("markov_digits", 3, OURS, root)
    assert found is not None and found.row.ours == first.row.ours, "the row's own stands"
    seeds = json.loads((found.row.folder / "seeds.json").read_text())
    runs = [first.run_dir, *(tmp_path / "runs" / "published" / f"markov_digits-seed-{k}" for k in (1, 2))]
    values = [json.loads((run / "result.json").read_text())["test/bpd"] for run in runs]
    assert [seeds[k]["test/bpd"] for k in ("0", "1", "2")] == values and len(set(values)) == 3
    assert found.row.spread == f"{fmean(values):.3f} ± {stdev(values):.3f} over 3 seeds"
    assert f"{first.row.ours}; {found.row.spread}" in (root / "RESULTS.md").read_text()
    with pytest.raises(UserError, match="makes another experiment"):
        reproduce_seeds("markov_digits", 2, [*OURS, "optimizer.lr=0.1", "run_dir=x"], root)
    with pytest.raises(UserError, match="leave out seed"):
        reproduce_seeds("markov_digits", 2, ["seed=4"], root)
    with pytest.raises(UserError, match="no spread"):
        reproduce_seeds("markov_digits", 1, OURS, root)


def test_a_minute_is_set_beside_the_kept_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path / "root", "markov_digits", "model: markov\n" + TABLE + "  log_every: 2\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="has no kept curve"):
        smoke("markov_digits", OURS, root=root)
    reproduce("markov_digits", OURS, root)
    before = sorted(tmp_path.rglob("*"))
    found = smoke("markov_digits", OURS, 3600.0, root)  # an epoch ends long before
    assert found.on_track and found.loss == pytest.approx(found.kept_loss, rel=1e-4) and found.last > found.first
    assert sorted(tmp_path.rglob("*")) == before, "nothing is kept"
    assert found.whole == pytest.approx(found.seconds, rel=0.5), "it was the whole training but for the last few steps"
    with pytest.raises(UserError, match=r"optimizer\.lr: the kept curve is of another experiment"):
        smoke("markov_digits", [*OURS, "optimizer.lr=0.1"], root=root)
    with pytest.raises(UserError, match="run_dir: nothing of this minute is kept"):
        smoke("markov_digits", [*OURS, "run_dir=x"], root=root)


def test_losses_may_differ_by_a_band_and_by_their_noise() -> None:
    kept = {step: 100.0 + 5 * (-1) ** step for step in range(9)}
    assert beside({0: 9.0, 1: 9.0, 7: 97.0, 8: 103.0}, kept) == (7, 8, 100.0, 100.0, pytest.approx(5 + 3 * 2))
    with pytest.raises(UserError, match="7 steps are not enough"):
        beside({6: 1.0, 7: 1.0}, kept)


@pytest.mark.slow
@real_data
def test_a_table_is_the_mean_over_its_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = "model:\n  name: rnade\n  hidden: 4\ndata:\n  name: ionosphere\n" + TABLE
    root = checkout(tmp_path / "root", "rnade_ionosphere", config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ar_lightning.media.table.COLUMNS", 2)  # of 32, which take seconds to plot
    found = reproduce("rnade_ionosphere", OURS, root)
    assert found is not None and found.row.result is not None
    result = json.loads((root / "benchmarks" / "results" / "uci" / "ionosphere" / "result.json").read_text())
    runs = [json.loads((found.run_dir / f"fold-{k}" / "result.json").read_text()) for k in range(10)]
    assert result["test/nll"] == pytest.approx(sum(r["test/nll"] for r in runs) / 10, abs=1e-4)
    assert result["test_examples"] == 351 == sum(r["test_examples"] for r in runs)
    assert result["mean"]["gaussian"] == pytest.approx(-41.24, abs=0.5)
    assert found.row.comparable and "± " in (root / "RESULTS.md").read_text()
    with pytest.raises(UserError, match=r"data\.fold: all folds are trained"):
        reproduce("rnade_ionosphere", ["data.fold=3"], root)


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["nade_binarised_mnist"], "did you mean 'nade_binarized_mnist'?"),
        (["nade_binarized_mnist", "optimizer.lrr=1"], "did you mean 'lr'?"),
        (["--smoke"], "--smoke takes the NAME of a row"),
        (["--seeds", "3"], "--seeds takes the NAME of a row"),
        (["trainer.max_epochs=1"], "give the NAME of a row"),
        (["nade_binarized_mnist", "--page"], "leave out the name"),
    ],
)
def test_a_mistake_is_answered_in_a_line(args: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("reproduce", *args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert hint in line


def test_the_list_has_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("reproduce", "--list") == 0
    shown = capsys.readouterr().out
    assert all(row.name in shown for row in ROWS)
