"""optuna-dashboard opens the study of a sweep, whatever it is kept in, and shows its best trial in a browser."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from ar_lightning.sweep.journal import JOURNAL
from ar_lightning.sweep.storage import open_storage
from tests.support.browser import chromium
from tests.support.postgres import PASSWORD, free_port, postgres_server

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
STUDY, PATIENCE = "pixelrnn-digits", 30.0  # seconds, on a busy machine


def fill(storage: optuna.storages.BaseStorage) -> optuna.Study:
    """Make a study as a sweep does."""
    study = optuna.create_study(study_name=STUDY, storage=storage, direction="minimize")
    for hidden, bpd in ((16, 2.125), (64, 1.75), (32, 1.875)):
        study.enqueue_trial({"model.hidden": hidden})
        trial = study.ask()
        trial.suggest_int("model.hidden", 16, 128, log=True)
        trial.suggest_categorical("model.layers", [2, 4, 7])
        for step in (1, 2, 3):
            trial.report(bpd + 0.1 * (3 - step), step)
        trial.set_user_attr("run", f"{trial.number:04d}")
        study.tell(trial, bpd)
    return study


@contextmanager
def dashboard(storage: str, folder: Path, **environment: str) -> Iterator[str]:
    """Serve a storage on this machine alone; yield the address of the page."""
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    port = free_port()
    with (folder / "dashboard.log").open("w") as log:
        command = [program, "--host", "127.0.0.1", "--port", str(port), storage]
        server = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/dashboard/"
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, (folder / "dashboard.log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def text_with(page: Any, *words: str) -> str:
    """Return the text of the page once it has all these words."""
    deadline = time.monotonic() + PATIENCE
    while True:
        text = page.execute_script("return document.body.innerText")
        if all(word in text for word in words):
            return str(text)
        assert time.monotonic() < deadline, text
        time.sleep(0.1)


def check(url: str, study: optuna.Study, folder: Path) -> None:
    """Open the list of studies, then the page of the study."""
    with chromium() as page:
        page.get(url)
        text_with(page, STUDY)
        page.get(f"{url}studies/{study._study_id}")
        text = text_with(page, STUDY, "Best Trial", "1.75", "model.hidden")
        assert "model.hidden" in text and "64" in text
        page.save_screenshot(str(folder / "dashboard.png"))


@pytest.mark.slow
@pytest.mark.external
def test_a_journal(tmp_path: Path) -> None:
    study = fill(open_storage("journal", tmp_path))
    with dashboard(JOURNAL, tmp_path) as url:
        check(url, study, tmp_path)


@pytest.mark.slow
@pytest.mark.external
def test_postgresql(tmp_path: Path) -> None:
    with postgres_server() as server:
        study = fill(open_storage(server.new_database(), tmp_path))
        address = server.url(f"sweeps{server.count}", None).replace("postgresql:", "postgresql+psycopg:")
        with dashboard(address, tmp_path, PGPASSWORD=PASSWORD) as url:
            check(url, study, tmp_path)


def test_the_program_is_that_of_this_environment() -> None:
    assert shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))
