"""A checkpoint by the name of its W&B artifact: W&B's own client downloads from the stand-in what a run uploaded."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ar_lightning import load
from ar_lightning.cli import main
from ar_lightning.core.errors import UserError
from ar_lightning.tracking.wandb_artifacts import download, is_artifact
from ar_lightning.tracking.wandb_run import WandbRun
from tests.support.commands import QUICK, run_here
from tests.support.wandb_home import KEY, isolate
from tests.support.wandb_stub import WandbStub


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> WandbStub:
    """The stand-in, with a user signed in whose home and working directory is `tmp_path`."""
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("WANDB_BASE_URL", stub.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return stub


def upload(tmp_path: Path, content: dict[str, bytes], kind: str = "model") -> str:
    """Log an artifact; return its name without an alias."""
    import wandb

    run = WandbRun(tmp_path / "logged", "online", {"project": "tests"}, print)
    artifact = wandb.Artifact(f"model-{run.run.id}", type=kind)
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
        artifact.add_file(str(tmp_path / name), name=name)
    run.run.log_artifact(artifact, aliases=["best", "latest"])
    run.finish()
    return f"stub/tests/model-{run.run.id}"


def test_a_training_comes_back_by_name(online: WandbStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    options = [o for o in QUICK if not o.startswith("tracking.")]
    assert run_here("--config", "conf/nade.yaml", *options, f"run_dir={run}") == 0
    name = f"stub/ar_lightning/{online.artifact.name}"
    capsys.readouterr()

    assert main(["sample", f"{name}:best", "--n", "4"]) == 0
    out, err = capsys.readouterr()
    file = (
        tmp_path
        / "runs"
        / "wandb"
        / "stub"
        / "ar_lightning"
        / f"{online.artifact.name}-v0"
        / "checkpoints"
        / "best.ckpt"
    )
    assert file.read_bytes() == (run / "checkpoints" / "best.ckpt").read_bytes()
    assert [*file.parent.iterdir()] == [file] and err.startswith(f"{name}:best: downloading ")
    assert "samples: runs/wandb/stub/" in out
    assert load(f"wandb:{name}:v0").spec == load(run).spec

    before = len(online.requests)
    assert download(f"{name}:latest").resolve() == file
    fetched = [path for path in online.requests[before:] if path.endswith("best.ckpt")]
    assert not fetched, "an alias is looked up, the file is there"
    online.die()
    assert download(f"{name}:v0").resolve() == file, "a version never changes: nobody is asked"
    assert not online.unknown


def test_a_later_version_is_another_run(online: WandbStub, tmp_path: Path) -> None:
    """`best` moves on; what was downloaded stays."""
    name = upload(tmp_path, {"best.ckpt": b"first"})
    assert download(f"{name}:best").read_bytes() == b"first"
    assert upload(tmp_path, {"best.ckpt": b"second"}) == name
    assert download(f"{name}:best").read_bytes() == b"second"
    assert download(f"{name}:v0").read_bytes() == b"first"


def test_what_was_damaged_on_the_way_is_not_kept(online: WandbStub, tmp_path: Path) -> None:
    name = upload(tmp_path, {"best.ckpt": b"weights"})
    online.artifact.files["best.ckpt"] = b"w3ights"
    with pytest.raises(UserError, match=f"^{name}:best: .*best.ckpt"):
        download(f"{name}:best")
    assert not [*(tmp_path / "runs").rglob("*.ckpt")]


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_no_code_in_it_is_executed(online: WandbStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(Harmful(), tmp_path / "harmful")
    name = upload(tmp_path, {"best.ckpt": (tmp_path / "harmful").read_bytes()})
    assert main(["test", f"{name}:best"]) == 2
    assert "not a readable checkpoint" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stub/tests/none:best", "not found"),
        ("wandb:stub/tests", "entity/project/name:alias"),
        ("wandb:stub/tests/no-alias", "entity/project/name:alias"),
    ],
)
def test_an_unknown_name_is_one_line(
    online: WandbStub, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    assert main(["sample", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {name}: ") and says in line
    assert not Path("runs").exists()


@pytest.mark.parametrize(("content", "kind"), [({"other.bin": b"?"}, "model"), ({"best.ckpt": b"?"}, "dataset")])
def test_artifacts_of_others_are_one_line(
    online: WandbStub, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: dict[str, bytes], kind: str
) -> None:
    name = upload(tmp_path, content, kind)
    capsys.readouterr()
    assert main(["sample", f"{name}:best"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ("best.ckpt" if kind == "model" else "dataset") in line


@pytest.mark.parametrize("key", [KEY, None])
def test_without_key_or_server_it_is_one_line(
    online: WandbStub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str | None
) -> None:
    online.die()
    monkeypatch.setattr("ar_lightning.tracking.wandb_artifacts.PATIENCE", 2)
    if key is None:
        monkeypatch.delenv("WANDB_API_KEY")
    assert main(["sample", "team/project/model:best"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: team/project/model:best: ") and ("WANDB_API_KEY" in line) == (key is None)


def test_a_path_is_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also one that looks like a name; and a path that is not there asks nobody."""
    isolate(monkeypatch, tmp_path)
    (tmp_path / "a" / "b" / "c:d" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="no checkpoint there yet"):
        load("a/b/c:d")
    for path in ("runs/nade/2026-11-23_04-26-14-0", "/runs/nade/1", "model.ckpt", "C:/runs/nade"):
        assert not is_artifact(path)
