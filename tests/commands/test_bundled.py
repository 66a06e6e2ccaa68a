"""Configs and sweep files that come with the package: called by name, listed, and copied."""

import sys
from pathlib import Path

import pytest

from ar_lightning.cli import main
from ar_lightning.config.bundled import KINDS, bundled, find, summary_of
from ar_lightning.config.registry import MODELS
from ar_lightning.config.resolve import load_config
from ar_lightning.sweep.file import read_sweep
from tests.support.commands import ROOT


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_has_a_name_and_says_what_it_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    files = bundled(kind)
    assert set(files.values()) == {
        f.relative_to(ROOT) for f in (ROOT / kind).rglob("*.yaml") if "cluster" not in f.parts
    }
    assert all(find(kind, name) == file == find(kind, str(file)) for name, file in files.items())
    assert all(len(summary_of(file)) > 10 for file in files.values())


def test_every_model_has_a_config() -> None:
    """Of its name, but for those whose data is in the name too."""
    files = bundled("conf")
    of = {name: load_config(files[name])["model"]["name"] for name in files}
    assert {*MODELS} <= {*of.values()}
    assert [name for name in MODELS if name in files and of[name] != name] == []


def test_a_file_of_the_users_goes_before_a_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("conf", "nade") == ROOT / "conf" / "nade.yaml"
    Path("nade").write_text("model: made\n")
    assert find("conf", "nade") == Path("nade")


def test_a_sweep_by_name_is_the_same_study_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    by_path = read_sweep("sweeps/nade.yaml")
    monkeypatch.chdir(tmp_path)
    assert (read_sweep("nade").study, read_sweep("nade").definition) == (by_path.study, by_path.definition)


def test_list_names_configs_and_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    configs, _, sweeps = capsys.readouterr().out.partition("\n--config\n")[2].partition("\n\nsweep --config\n")
    for kind, table in (("conf", configs), ("sweeps", sweeps)):
        assert [line.split()[0] for line in table.splitlines()] == list(bundled(kind))


def test_init_copies_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "new" / "project"
    assert main(["init", str(project)]) == 0
    for kind in KINDS:
        files = [p.relative_to(ROOT) for p in (ROOT / kind).rglob("*") if p.is_file()]
        assert all((project / file).read_bytes() == (ROOT / file).read_bytes() for file in files)
    monkeypatch.chdir(project)
    assert read_sweep(find("sweeps", "sweeps/nade.yaml")).config == "conf/nade.yaml"


@pytest.mark.parametrize(
    ("started", "example"),
    [
        ("/opt/bin/ar-lightning", "ar-lightning --config pixelrnn\n"),
        ("/opt/lib/ar_lightning/__main__.py", "python -m ar_lightning --config pixelrnn\n"),
        ("run.py", "python run.py --config conf/pixelrnn.yaml\n"),
    ],
)
def test_help_is_of_the_program_that_was_started(
    started: str, example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    program = example.partition(" --config")[0]
    for args in (["--help"], ["sweep", "--help"]):
        assert main(args) == 0
        words = capsys.readouterr().out
        assert words.startswith(f"usage: {program} ") and f"\n  {program} " in words
    assert main(["--help"]) == 0
    assert f"\n  {example}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    assert capsys.readouterr().out.startswith(f"usage: {program} sample ")
