"""Settings of every test: one thread here and in the processes it starts; threads only slow tiny work down."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported

import functools
import gc
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import Server
from tests.support.wandb_stub import WandbStub


def pytest_collection_finish() -> None:
    """All that is imported stays: the search for garbage passes it over, as often as that comes."""
    gc.freeze()


@pytest.fixture
def stub() -> Iterator[WandbStub]:
    """A stand-in for W&B's server."""
    with WandbStub() as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Base URL of a local web server, and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}/", folder
        web.shutdown()
        thread.join()
