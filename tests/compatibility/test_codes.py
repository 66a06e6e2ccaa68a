"""What versions 0.1.0 and 0.2.0 compressed is decompressed, bit for bit where the processor rounds as theirs did."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from ar_lightning.training.provenance import machine

HERE = Path(__file__).parent
CODES = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("released_*/*/*.arl"))
READ_ALL = """
import contextlib, io, json, sys
from pathlib import Path
import torch
from ar_lightning.cli import main

found = {"capability": torch.backends.cpu.get_cpu_capability()}
for code in sys.argv[1:]:
    said, run = io.StringIO(), str(Path(code).parent)
    with contextlib.redirect_stderr(said):
        status = main(["decompress", run, code, "--out", str(Path(run) / "again.npz")])
    found[code] = status, said.getvalue()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A copy of the released runs, and what a process said of each code that it read, on AVX2 if there is one.

    The codes were written on AVX2: newer processors can compute like that.
    """
    folder = tmp_path_factory.mktemp("codes")
    for code in CODES:
        shutil.copytree(HERE / Path(code).parent, folder / Path(code).parent)
    env = os.environ | ({} if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else {"ATEN_CPU_CAPABILITY": "avx2"})
    command = [sys.executable, "-c", READ_ALL, *CODES]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return folder, json.loads(done.stdout.splitlines()[-1])


def maker(processor: str) -> str:
    """Return who made a processor: two makers' round otherwise, whatever instructions they share."""
    return processor.partition(" ")[0]


def test_there_are_codes_of_all_kinds_of_models() -> None:
    assert {Path(code).parent.name for code in CODES} >= {"nade", "gated_pixelcnn", "row_lstm", "pixelcnnpp"}


@pytest.mark.parametrize("code", CODES)
def test_a_released_file_is_decompressed(code: str, read: tuple[Path, dict[str, Any]]) -> None:
    """Where the processor rounds otherwise, the refusal says why."""
    folder, found = read
    status, said = found[code]
    path = folder / code
    if status:
        version, processor = map(unquote, path.read_bytes()[20:].decode("latin-1").split("\t")[:2])
        there = version, f"{processor} of {maker(json.loads((path.parent / 'result.json').read_text())['machine'])}"
        here = torch.__version__.partition("+")[0], f"{found['capability']} of {maker(machine('cpu'))}"
        assert status == 2
        assert here != there, said
        assert "the two round otherwise" in said
        pytest.skip(f"compressed by PyTorch {' on '.join(there)}, this is {' on '.join(here)}")
    before, again = np.load(path.with_suffix(".npz")), np.load(path.parent / "again.npz")
    assert set(before) == set(again)
    assert all(before[key].dtype == again[key].dtype and np.array_equal(before[key], again[key]) for key in before)
