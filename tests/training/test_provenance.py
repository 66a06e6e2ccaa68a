"""Which commit a result is of."""

import subprocess
from pathlib import Path

from ar_lightning.training.provenance import git_revision


def git(folder: Path, *command: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *who, *command], cwd=folder, check=True, capture_output=True)


def test_a_changed_program_is_dirty_and_a_kept_result_is_not(tmp_path: Path) -> None:
    assert git_revision(tmp_path) is None, "no checkout"
    package, kept = tmp_path / "package", tmp_path / "benchmarks" / "results"
    for folder in (package, kept):
        folder.mkdir(parents=True)
    for file in (package / "model.py", kept / "result.json", tmp_path / "RESULTS.md"):
        file.write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = git_revision(package)
    assert clean is not None and len(clean) == 12
    (kept / "result.json").write_text("2")
    (tmp_path / "RESULTS.md").write_text("2")
    assert git_revision(package) == clean
    (package / "model.py").write_text("2")
    assert git_revision(package) == clean + "-dirty"
    (installed := tmp_path / "venv" / "site-packages").mkdir(parents=True)
    assert git_revision(installed) is None, "the checkout that a package is installed in is not its own"
