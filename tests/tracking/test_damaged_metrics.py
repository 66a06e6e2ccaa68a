"""A metrics.csv that disks, editors or spreadsheets have changed: named by whoever reads it, and never in the way."""

from pathlib import Path

import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.reading import read_json, read_metrics
from ar_lightning.media.plots import curves_png
from ar_lightning.tracking.csv import CSVMetrics

WHOLE = b"step,epoch,train/bpd,val/bpd\n0,0,1.5,\n1,0,,1.25\n2,1,nan,1e-3\n"
DAMAGES = {  # content, and what is said of it
    "another encoding": (WHOLE.decode().encode("utf-16"), "not text in UTF-8 (byte 0)"),
    "a byte": (WHOLE.replace(b"1.5", b"1.\xa6"), "not text in UTF-8"),
    "no header": (WHOLE.partition(b"\n")[2], "its first line does not name step and epoch"),
    "another header": (WHOLE.replace(b"step", b"Step"), "its first line does not name step and epoch"),
    "a column twice": (WHOLE.replace(b"train/bpd", b"step"), "once each"),
    "text": (WHOLE.replace(b"1.25", b"1,25"), "line 3: expected a value, or none, for each of the 4 columns"),
    "a word": (WHOLE.replace(b"1.5", b"high"), "line 2: train/bpd is 'high', expected a number"),
    "half a step": (WHOLE.replace(b"\n2,", b"\n2.5,"), "line 4: step is '2.5', expected a whole number"),
    "no epoch": (WHOLE.replace(b"1,0,", b"1,x,"), "line 3: epoch is 'x', expected a whole number"),
    "half a line within": (WHOLE.replace(b"1,0,,1.25", b"1,0"), "line 3: expected a value"),
    "a quote": (WHOLE.replace(b"1.25", b'"1.25'), "line "),
    "a long field": (WHOLE.replace(b"1.5", b"1" * 200_000), "field larger than field limit"),
    "zeros of a disk": (WHOLE.replace(b"1.5", bytes(8)), "line 2: train/bpd is"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_does_not_stop_a_resume(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, expected = DAMAGES[damage]
    file = tmp_path / "metrics.csv"
    file.write_bytes(content)
    for read in (read_metrics, lambda file: curves_png(file, tmp_path / "curves.png", "")):
        with pytest.raises(UserError) as raised:
            read(file)
        assert expected in str(raised.value) and str(file) in str(raised.value)
    metrics = CSVMetrics(file)
    metrics.resume_at(1)
    (line,) = capsys.readouterr().out.splitlines()
    assert expected in line and "it is kept as metrics.csv.damaged, and a new one begins" in line
    assert (tmp_path / "metrics.csv.damaged").read_bytes() == content
    metrics.log_metrics({"val/bpd": 1.0, "epoch": 1}, 2)
    assert file.read_text() == "step,epoch,val/bpd\n2,1,1.0\n"


@pytest.mark.parametrize("end", [b"", b"3,1,0.5", b"3,1", bytes(40)], ids=["whole", "half", "half a row", "zeros"])
def test_half_a_line_at_the_end_is_what_a_killed_process_leaves(
    end: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(WHOLE + end)
    CSVMetrics(file).resume_at(1)
    assert file.read_bytes() == WHOLE[: WHOLE.index(b"2,1")] and not capsys.readouterr().out
    assert read_metrics(tmp_path / "none.csv") == (["step", "epoch"], [])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1', "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"[1]", "expected an object"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not valid JSON"),
    ],
    ids=["deep", "deep list", "half", "no UTF-8", "empty", "a list", "a long number"],
)
def test_json_that_is_not_ours(content: bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_json(file)
    assert expected in str(raised.value) and str(file) in str(raised.value) and "\n" not in str(raised.value)
