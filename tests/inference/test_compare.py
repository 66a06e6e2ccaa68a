"""`run.py compare`: what is comparable beside each other, one line for what is no run, a page that needs nothing.

Runs are those of `benchmarks/results/`, and copies of them in which one thing is changed.
"""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.inference.compare.compare import compare
from ar_lightning.inference.compare.page import comparison_page
from ar_lightning.inference.compare.published import PUBLISHED
from ar_lightning.inference.compare.runs import read_runs
from ar_lightning.inference.compare.table import as_rich, make_rows
from tests.support.browser import chromium
from tests.support.commands import ROOT, run_here

RESULTS = ROOT / "benchmarks" / "results"
Copy = Callable[..., Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Return a copy of the NADE on digits, with other values in `result.json` (None: without the key) and config."""

    def copied(name: str, source: str = "digits/nade", config: str = "", **changed: Any) -> Path:
        folder = tmp_path / name
        shutil.copytree(RESULTS / source, folder)
        result = json.loads((folder / "result.json").read_text())
        result |= {key.replace("__", "/"): value for key, value in changed.items()}
        result = {key: value for key, value in result.items() if value is not None}
        (folder / "result.json").write_text(json.dumps(result))
        if config:
            old, new = config.split(" -> ")
            text = (folder / "config.yaml").read_text()
            assert old in text
            (folder / "config.yaml").write_text(text.replace(old, new))
        return folder

    return copied


def best(rows: Any) -> set[str]:
    return {row.run.name for row in rows if row.best}


def test_data_of_the_user_is_called_by_its_file(copy: Copy) -> None:
    def setting(name: str, path: str) -> str:
        config = f"data:\n  name: digits\n -> data:\n  name: npz\n  path: {path}\n"
        return read_runs([copy(name, config=config, data="npz", regime=path)])[0].setting.data

    assert setting("a", "/somewhere/mine.v2.npz") == "mine.v2"
    assert setting("b", "photos/") == "photos"
    rows = make_rows(read_runs([copy("c"), copy("d", regime="another")]))
    assert [row.label for row in rows] == ["digits #1", "digits #2"]


def test_committed_results_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = sorted(map(str, (RESULTS / "digits").iterdir()))
    assert run_here("compare", *folders, "--by", "data", "--out", str(tmp_path / "c")) == 0
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"index.html", "curves.png", "table.md", "table.csv"}
    with (tmp_path / "c" / "table.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert len(rows) == len(folders)
    for folder in folders:
        result = json.loads((Path(folder) / "result.json").read_text())
        assert float(rows[result["experiment"]]["nll"]) == result["test/nll"]
        assert float(rows[result["experiment"]]["bpd"]) == result["test/bpd"]
    given = {
        "the label": 0,
        "": 0,
    }  # p(x) and p(x | y) each have a best; the 4x4 digits are of another regime, and alone
    for row in rows.values():
        given[row["given"]] += row["best"] == "True"
    assert given == {"the label": 1, "": 1} and rows["table"]["best"] == "False"
    table = (tmp_path / "c" / "table.md").read_text()
    assert "**pixelcnnpp**" in table and "**pixelcnnpp_conditional**" in table
    assert str(tmp_path / "c" / "index.html") in capsys.readouterr().out


def test_reading_runs_imports_no_pytorch() -> None:
    code = "import sys; from ar_lightning.inference.compare.runs import read_runs; read_runs(sys.argv[1:])"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(RESULTS / "digits" / "nade")], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    "changed",
    [
        {"regime": "other digits"}, {"data": "mnist"}, {"test_examples": 32}, {"test__nll": None, "val__bpd": 2.0},
        {"config": "conditional: false -> conditional: true"}, {"state": "pruned"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_of_something_else_is_not_compared(changed: dict[str, Any], copy: Copy) -> None:
    same = make_rows(read_runs([copy("a"), copy("b", test__nll=80.0)]))
    assert best(same) == {"nade b"} and len({row.label for row in same}) == 1
    rows = make_rows(read_runs([copy("c"), copy("d", **{"test__nll": 80.0} | changed)]))
    assert not best(rows)
    assert len({row.label for row in rows}) == 2 or any(row.run.notes for row in rows)


def test_a_standard_error_is_of_the_same_evaluation(copy: Copy) -> None:
    folder = copy("a")
    result = json.loads((folder / "result.json").read_text())
    found = {"split": "test", "data": "digits", "regime": result["regime"], "examples": 180, "nll": result["test/nll"],
             "nll_stderr": 1.5, "bpd_stderr": 0.03, "independent": True}  # fmt: skip
    (folder / "test.json").write_text(json.dumps(found))
    assert read_runs([folder])[0].errors == (1.5, 0.03)
    for other in ({"examples": 32}, {"data": "mnist"}, {"nll": 80.0}):
        (folder / "test.json").write_text(json.dumps(found | other))
        run = read_runs([folder])[0]
        assert run.errors == (None, None) and "test.json" in " ".join(run.notes)


def test_published_numbers_are_of_the_same_data_model_and_regime(copy: Copy) -> None:
    rows = make_rows(read_runs(sorted((RESULTS / "binarized_mnist").iterdir())))
    shown = {row.run.model: row for row in rows}
    assert shown["nade"].published is not None and shown["nade"].published.value == 88.33
    assert shown["nade"].difference == shown["nade"].run.nll - 88.33
    nade = "binarized_mnist/nade"
    for changed in (
        {"regime": "dynamic binarisation"}, {"test_examples": 500}, {"model": "rnn"},
        {"config": "limit_test: null -> limit_test: 20"}, {"config": "conditional: false -> conditional: true"},
    ):  # fmt: skip
        row = make_rows(read_runs([copy(f"x{len(str(changed))}{next(iter(changed))}", nade, **changed)]))[0]
        assert row.published is None, changed
    made = copy("masks", "binarized_mnist/made", config="masks: 1 -> masks: 4")  # an average is another density
    assert make_rows(read_runs([made]))[0].published is None
    test_of_cifar = make_rows(read_runs([RESULTS / "cifar10" / "pixelcnnpp"]))[0]
    assert test_of_cifar.published is None  # the first 1000 images are not the test set
    assert all(row.value > 0 or row.unit == "nats" for row in PUBLISHED)


def test_curves_take_the_seconds_of_the_training() -> None:
    (run,) = read_runs([RESULTS / "digits" / "nade"])
    seconds = [point.seconds for point in run.curve]
    assert seconds == sorted(seconds) and math.isclose(seconds[-1] or 0, run.result["seconds_training"])
    assert [point.epoch for point in run.curve] == list(range(1, run.result["epochs"] + 1))


def test_a_sweep_stands_for_its_complete_trials_and_a_run_counts_once(copy: Copy, tmp_path: Path) -> None:
    for i, state in enumerate(("complete", "pruned", "complete")):
        copy(f"sweep/trials/000{i}", state=state, test__nll=None, test__bpd=None, val__bpd=2.0)
    (tmp_path / "sweep" / "trials" / "0003").mkdir()  # one that failed
    (tmp_path / "sweep" / "sweep.yaml").write_text("sweep: {}")
    runs = read_runs([tmp_path / "sweep", tmp_path / "sweep" / "trials" / "0002"])
    assert [run.name for run in runs] == ["nade 0000", "nade 0002"]
    assert all(run.setting.part == "validation" for run in runs)


def spoilt(folder: Path, how: str) -> Path:
    file = folder / "result.json"
    match how:
        case "missing":
            shutil.rmtree(folder)
        case "unfinished":
            file.unlink()
        case "broken":
            file.write_text(file.read_text()[:200])
        case "no object":
            file.write_text("[]")
        case "nan":
            file.write_text(file.read_text().replace('"test/nll": ', '"test/nll": NaN, "x": '))
        case "no number":
            file.write_text(file.read_text().replace('"parameters": ', '"parameters": "many", "x": '))
        case "no config" | "no curve":
            (folder / {"no config": "config.yaml", "no curve": "metrics.csv"}[how]).unlink()
        case "yaml":
            (folder / "config.yaml").write_text("model: [")
        case "nan curve":
            text = (folder / "metrics.csv").read_text()
            row = "99,30,,,,nan" + "," * (text.partition("\n")[0].count(",") - 5)
            (folder / "metrics.csv").write_text(f"{text}{row}\n")
    return folder


HOW = ["missing", "unfinished", "broken", "no object", "nan", "no number", "no config", "no curve", "yaml", "nan curve"]


@pytest.mark.parametrize("how", HOW)
def test_one_line_names_the_run_that_cannot_be_compared(
    how: str, copy: Copy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, out = spoilt(copy("bad"), how), tmp_path / "out"
    assert run_here("compare", str(copy("good")), str(bad), "--out", str(out)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and str(bad) in message
    assert not out.exists()


def test_a_sample_that_is_missing_or_broken_is_left_out(copy: Copy) -> None:
    missing, broken = copy("missing"), copy("broken")
    (missing / "samples.png").unlink()
    (broken / "samples.png").write_bytes((broken / "samples.png").read_bytes()[:100])
    page = comparison_page(make_rows(read_runs([missing, broken])))
    assert "Samples of" not in page and "Validation" in page


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_names_and_nats_can_be_read_in_any_terminal(width: int) -> None:
    from rich.console import Console

    console = Console(width=width, record=True, file=None, quiet=False)
    with console.capture() as captured:
        rows = make_rows(read_runs(sorted((RESULTS / "binarized_mnist").iterdir())))
        console.print(as_rich(rows, width))
    text = captured.get()
    assert all(f"{row.run.nll:.2f}" in text and row.run.name[:8] in text for row in rows)
    assert max(map(len, text.splitlines())) <= width


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Not a directory"):
        compare([RESULTS / "digits" / "nade"], out=tmp_path / "file" / "below")


SORT = """
const table = document.querySelector('table'), heads = [...table.querySelectorAll('thead button')];
const at = heads.findIndex(b => b.textContent === arguments[0]); heads[at].click();
return [...table.tBodies[0].rows].map(r => r.children[at].dataset.value ?? null)"""
OUTSIDE = "return performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:'))"


@pytest.mark.slow
@pytest.mark.external
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(scheme: str, copy: Copy, tmp_path: Path) -> None:
    evil = copy("evil", experiment="<img src=x onerror=alert(1)>$\\bad & |", test__nll=9.5)
    sound, text = copy("sound", "tones/wavenet"), RESULTS / "text" / "char_rnn"
    (sound / "samples").mkdir()
    with wave.open(str(sound / "samples" / "final-0.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * 800)
    runs = [*sorted((RESULTS / "digits").iterdir()), *sorted((RESULTS / "binarized_mnist").iterdir())]
    page = compare([evil, sound, text, RESULTS / "wine" / "rnade", *runs], out=tmp_path / "c")[1]["page"]
    assert not re.search(r'(src|srcset|href)="(?!data:)', page.read_text())
    with chromium() as browser:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for width in (1400, 390):
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get(page.as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        script = browser.execute_script
        assert script("return [...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)")
        assert script("return document.images.length") >= 2 * 6 + len(runs) + 2
        dark = script("return [...document.querySelectorAll('picture img')].map(i => i.currentSrc !== i.src)")
        assert set(dark) == {scheme == "dark"}
        assert script("return matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
        assert script("return [...document.querySelectorAll('audio')].map(a => a.error)") == [None]
        assert script("return document.querySelector('pre').textContent").startswith("===== 1")
        assert script("return [...document.querySelectorAll('h1')].length") == 1
        for column in ("nats", "parameters", "published"):
            there = [float(v) for v in script(SORT, column) if v is not None]
            assert there == sorted(there)
            again = script(SORT, column)
            back = [float(v) for v in again if v is not None]
            assert back == there[::-1] and None not in again[: len(back)]  # what is empty stays last
        names = script(SORT, "run")
        assert len(set(names)) == len(names) == len(runs) + 4 and script(SORT, "run") == names[::-1]
        assert script(OUTSIDE) == []
        assert browser.get_log("browser") == []
