"""The wheel, installed without the checkout: everything works by name, from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import QUICK, ROOT

pytestmark = pytest.mark.slow
SOURCES = ("ar_lightning", "conf", "sweeps", "pyproject.toml", "setup.py", "README.md", "LICENSE")
TINY = [*QUICK, "model.hidden=8"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sources, built without network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip("wheel", "--no-build-isolation", "--no-cache-dir", "--wheel-dir", str(out), str(source))
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed in; what it depends on is where these tests have it from."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pip(command: str, *args: str) -> None:
    options = ("--no-deps", "--quiet", "--disable-pip-version-check")
    done = subprocess.run([sys.executable, "-m", "pip", command, *options, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(installed: Path, *command: str, code: int = 0, **more: str) -> str:
    """Run a program of the installed package and return its output."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("AR_LIGHTNING")}
    env |= {"PYTHONPATH": str(installed), **more}
    done = subprocess.run([sys.executable, *command], env=env, text=True, capture_output=True, timeout=280)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_holds_the_package_and_the_configs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = archive.read(about).decode()
    folders = {
        "ar_lightning": "ar_lightning",
        "conf": "ar_lightning/bundled/conf",
        "sweeps": "ar_lightning/bundled/sweeps",
    }
    for folder, inside in folders.items():
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        expected = {f"{inside}/{p.relative_to(ROOT / folder).as_posix()}" for p in files}
        assert expected <= names
        names -= expected
    assert names == set(), "nothing else"
    assert "License-Expression: MIT" in metadata and "License-File: LICENSE" in metadata


def test_a_stranger_trains_draws_and_compares(installed: Path, empty: Path) -> None:
    """By the console script and by `python -m`, in a folder that holds nothing, then with configs of their own."""
    where = run(installed, "-c", "import ar_lightning; print(ar_lightning.__file__)")
    assert Path(where.strip()) == installed / "ar_lightning" / "__init__.py"
    script = str(installed / "bin" / "ar-lightning")

    said = run(installed, script, "list")
    assert all(f"\n  {name} " in said for name in ("row_lstm", "pixelrnn", "cifar10/pixelcnn", "nade_grid"))
    assert "did you mean 'nade'?" in run(installed, script, "--config", "nad", code=2)
    assert "needs a checkout" in run(installed, script, "reproduce", "--list", code=2)

    said = run(installed, script, "--config", "nade", *TINY, "run_dir=runs/one")
    assert "runs/one" in said and json.loads(Path("runs/one/result.json").read_text())["state"] == "complete"

    assert "ar-lightning --config mine/conf/pixelrnn.yaml" in run(installed, script, "init", "mine")
    assert "mine is not empty" in run(installed, script, "init", "mine", code=2)
    Path("mine/conf/nade.yaml").write_text(Path("mine/conf/nade.yaml").read_text() + "seed: 7\n")
    run(installed, "-m", "ar_lightning", "--config", "mine/conf/nade.yaml", *TINY, "run_dir=runs/two")
    assert json.loads(Path("runs/two/result.json").read_text())["seed"] == 7

    run(installed, script, "sample", "runs/one", "--n", "4", "--out", "drawn")
    assert Path("drawn.png").stat().st_size > 0
    run(installed, script, "compare", "runs/one", "runs/two", "--out", "comparison")
    assert list(Path("comparison").iterdir())


def test_a_stranger_draws_from_the_zoo(installed: Path, empty: Path) -> None:
    """Of the weights the package has the list; a line says where they go."""
    script, zoo = str(installed / "bin" / "ar-lightning"), "gated_pixelcnn_binarized_mnist"
    said = run(installed, script, "zoo", AR_LIGHTNING_DATA="data")
    assert f"zoo:{zoo}\n  test: 79.82 nats" in said and "not on this machine yet" in said
    assert f"did you mean 'zoo:{zoo}'?" in run(installed, script, "sample", "zoo:gated_pixelcn", code=2)
    place = Path("data", "zoo", zoo)
    said = run(installed, script, "sample", f"zoo:{zoo}", code=2, AR_LIGHTNING_DATA="data")
    assert said.startswith("error: ") and said.count("\n") == 1 and f"into {place} (" in said
    place.mkdir(parents=True)
    shutil.copy(ROOT / "zoo" / zoo / "model.safetensors", place)
    before = sorted(installed.rglob("*.p*"))  # but for what Python compiles
    run(installed, script, "sample", f"zoo:{zoo}", "--n", "1", AR_LIGHTNING_DATA="data")
    assert Path("runs", "zoo", zoo, "samples", "drawn-0.png").is_file()
    assert [path for path in sorted(installed.rglob("*.p*")) if path.suffix != ".pyc"] == [
        path for path in before if path.suffix != ".pyc"
    ]


def test_a_stranger_sweeps(installed: Path, empty: Path) -> None:
    options = [o for o in QUICK if not o.startswith(("trainer.devices", "trainer.max_epochs"))]
    few = ["trials=2", "workers=1", "trainer.max_epochs=6", "pruner=none"]
    said = run(installed, str(installed / "bin" / "ar-lightning"), "sweep", "--config", "nade", *options, *few)
    assert "2 complete" in said
    assert "ar-lightning --config runs/sweeps/nade/best.yaml" in Path("runs/sweeps/nade/best.yaml").read_text()
