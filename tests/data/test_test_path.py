"""Test rows in a file of their own."""

from pathlib import Path

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.data.user.table import TableFile
from ar_lightning.media.frames import to_frame


def written(path: Path, rows: list[str]) -> str:
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def lines(n: int, seed: int) -> list[str]:
    random = np.random.RandomState(seed)
    return [f"{'xy'[i % 2]},{random.randint(100)},{random.rand():.4f}" for i in range(n)]


def test_all_of_one_file_is_test_and_none_of_the_other(tmp_path: Path) -> None:
    train = written(tmp_path / "train.csv", ["kind,n,z", *lines(60, 0)])
    swapped = [",".join(reversed(row.split(","))) for row in lines(15, 1)]
    test = written(tmp_path / "test.csv", ["z,n,kind", *swapped])
    table = TableFile(path=train, test_path=test)
    splits = table.load()
    assert {name: len(split.x) for name, split in splits.items()} == {"train": 54, "valid": 6, "test": 15}
    import torch

    frame = to_frame(torch.from_numpy(splits["test"].x), table.spec.medium)  # type: ignore[arg-type]
    written_rows = [f"{row.kind},{row.n},{row.z:.4f}" for row in frame.itertuples()]
    assert written_rows == lines(15, 1)
    assert "test.csv for test" in table.regime


def test_real_tables_too(tmp_path: Path) -> None:
    rows = np.random.RandomState(0).randn(50, 2)
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    for path, part in ((train, rows[:40]), (test, rows[40:])):
        np.savetxt(path, part, delimiter=",", header="a,b", comments="")
    splits = TableFile(path=str(train), test_path=str(test)).load()
    assert len(splits["test"].x) == 10
    assert len(TableFile(path=str(train), test_path=str(test), types="real").load()["test"].x) == 10


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["kind,n,w", *lines(5, 1)], "no column 'z'"),
        (["kind,n,z", "q,1,2.5"], None),  # kinds and levels are those of all rows
    ],
)
def test_other_columns_are_named(tmp_path: Path, rows: list[str], message: str | None) -> None:
    train = written(tmp_path / "train.csv", ["kind,n,z", *lines(60, 0)])
    test = written(tmp_path / "test.csv", rows)
    if message is None:
        assert len(TableFile(path=train, test_path=test).load()["test"].x) == 1
        return
    with pytest.raises(UserError, match=message):
        TableFile(path=train, test_path=test).load()


def test_a_file_with_splits_has_its_own_test_rows(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    np.savez(whole, train=np.random.rand(30, 2), test=np.random.rand(10, 2))
    with pytest.raises(UserError, match=r"has splits of its own; leave data\.test_path out"):
        TableFile(path=str(whole), test_path=str(whole)).load()
    with pytest.raises(UserError, match=r"data\.test_path: no file"):
        TableFile(path=str(whole), test_path=str(tmp_path / "no.csv"))
