"""A journal or a sweep.yaml of which one record was changed, or a line is none: one line, and nothing is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compatibility.test_released import RELEASED
from tests.support.commands import run_here

Records = list[dict[str, Any]]


def first(records: Records, key: str, within: str = "user_attr") -> dict[str, Any]:
    """Return the first record that sets an attribute of the study or of a trial."""
    return next(record[within] for record in records if key in record.get(within, {}))


def renamed(key: str) -> Callable[[Records], Any]:
    def rename(records: Records) -> None:
        attribute = first(records, key)
        attribute["x"] = attribute.pop(key)

    return rename


def another(key: str, value: Any) -> Callable[[Records], Any]:
    return lambda records: first(records, key).update({key: value})


def within_definition(**changes: Any) -> Callable[[Records], Any]:
    return lambda records: first(records, "definition")["definition"].update(changes)


DAMAGES: dict[str, tuple[Callable[[Records], Any], str]] = {
    "no study": (lambda records: records.pop(0), "the definition of the study is not whole"),
    "no kind": (lambda records: records[0].pop("op_code"), "journal.log is no journal"),
    "another kind": (lambda records: records[0].update(op_code=99), "journal.log is no journal"),
    "another name": (lambda records: records[0].update(study_name="x"), "the definition of the study is not whole"),
    "no directions": (lambda records: records[0].pop("directions"), "journal.log is no journal"),
    "no definition": (renamed("definition"), "the definition of the study is not whole"),
    "a word for a definition": (another("definition", "x"), "the definition of the study is not whole"),
    "no config": (lambda records: first(records, "definition")["definition"].pop("config"), "is not whole"),
    "no base": (lambda records: first(records, "definition")["definition"].pop("base"), "is not whole"),
    "a list for a base": (within_definition(base=[]), "is not whole"),
    "no metric": (within_definition(objectives=[{"direction": "minimize"}]), "is not whole"),
    "another base": (within_definition(base={"model.name": "made"}), "was begun with another setting of "),
    "another space": (within_definition(space={}), "was begun with another space of model.hidden, optimizer.lr"),
    "no settings": (renamed("settings"), "trial 0 has no settings"),
    "a word for settings": (another("settings", "x"), "trial 0 has no settings"),
    "no value": (lambda records: next(r for r in records if r.get("values")).update(values=[None]), "has no value"),
    "no values": (lambda records: next(r for r in records if r.get("values")).update(values=None), "has no value"),
    "a word for a value": (
        lambda records: next(r for r in records if "intermediate_value" in r).update(intermediate_value="x"),
        "has no value",
    ),
    "a word for metrics": (another("metrics", "x"), "trial 0 has no metrics"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASED / "sweep", tmp_path / "sweep"))


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run_here("sweep-report", str(folder)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return line


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_of_a_journal_is_another(damage: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, expected = DAMAGES[damage]
    file = folder / "journal.log"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    change(records)
    file.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
    assert expected in refused(folder, capsys)


@pytest.mark.parametrize("number", [0, 1])  # the last one may be being written
@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"op_code":' * 50_000, b"\xff", bytes(9)]
)
def test_a_line_of_a_journal_is_none(
    number: int, line: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "journal.log"
    lines = file.read_bytes().splitlines()
    lines[number] = line
    file.write_bytes(b"\n".join(lines) + b"\n")
    assert "storage=journal: " in refused(folder, capsys)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("pruner", None, "not as a sweep has written it"),
        ("x", 1, "not as a sweep has written it"),
        (1, 1, "not as a sweep has written it"),
        ("trials", "many", "trials: expected int"),
        ("lease", [], "lease: expected float"),
        ("space", None, "not written by a sweep"),
    ],
)
def test_a_key_of_a_saved_sweep_is_another(
    key: Any, value: Any, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "sweep.yaml"
    content = yaml.safe_load(file.read_text())
    if value is None:
        del content["sweep"][key]
    else:
        content["sweep"][key] = value
    file.write_text(yaml.safe_dump(content))
    line = refused(folder, capsys)
    assert expected in line and str(file) in line
