"""W&B's log of a run that was killed: whole records, or nothing."""

from pathlib import Path
from struct import pack
from zlib import crc32

import pytest

from ar_lightning.tracking.wandb_run import BLOCK, WandbRun, mend
from tests.support.wandb_home import isolate

SIZES = [10, 40_000, 0, 25_480, 5, 70_000, 32_000, 747, 1, 3]  # bytes of the records; the fourth fills its block


def log_of(sizes: list[int]) -> tuple[bytes, list[int]]:
    """Return a log of records of these sizes, and where each ends."""
    data, ends = b":W&B" + pack("<HB", 0xBEE1, 0), []
    for size in sizes:
        rest, first = size, True
        while first or rest:
            if (left := BLOCK - len(data) % BLOCK) < 7:
                data += bytes(left)
                left = BLOCK
            piece = min(rest, left - 7)
            rest -= piece
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not rest]
            data += pack("<IHB", crc32(b"x" * piece), piece, kind) + b"x" * piece
            first = False
        ends.append(len(data))
    return data, ends


def test_a_log_that_was_cut_short_ends_with_a_whole_record(tmp_path: Path) -> None:
    whole, ends = log_of(SIZES)
    assert any(-7 < end % BLOCK - BLOCK < 0 for end in ends), "one block ends with less than a header"
    log = tmp_path / "run.wandb"
    cuts = {*range(0, len(whole), 499), *(end + d for end in ends for d in (-8, -1, 0, 1, 6, 7, 8))}
    for cut in cuts:
        log.write_bytes(whole[:cut])
        before = [end for end in ends if end <= cut]
        assert mend(log) == bool(before)
        assert log.read_bytes() == whole[: max(before, default=min(cut, 7))]
        assert mend(log) == bool(before), "twice is as good as once"


def test_a_tail_of_zeros_is_cut(tmp_path: Path) -> None:
    """What a file system may leave after a power cut."""
    whole, _ = log_of(SIZES)
    (tmp_path / "run.wandb").write_bytes(whole + bytes(5000))
    assert mend(tmp_path / "run.wandb")
    assert (tmp_path / "run.wandb").read_bytes() == whole


def test_a_log_of_wandb_itself_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    run = WandbRun(tmp_path, "offline", {"project": "tests"}, lambda line: None)
    for step in range(300):
        run.log("log", lambda: {"noise": [*range(100)]}, step)
    run.finish()
    (log,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    whole = log.read_bytes()
    assert len(whole) > 3 * BLOCK
    assert mend(log) and log.read_bytes() == whole
