"""Adult: its rows as the repository has them, in either name of its files, and one line where they are not."""

from pathlib import Path

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import MixedTable
from ar_lightning.data.datasets.adult import Adult
from tests.support.files import one_line, real_data

ROW = "39, State-gov, 77516, Bachelors, 13, Never-married, {}, Not-in-family, White, Male, 2174, 0, {}, Cuba, {}"


def files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write 40 rows for training and 10 for the test as the repository does, and say that Adult has so many."""
    monkeypatch.setattr(Adult, "sizes", {"train": 40, "test": 10})
    jobs, incomes = ("Sales", "Tech-support", "?"), ("<=50K", ">50K")
    rows = [ROW.format(jobs[i % 3], 20 + i % 7, incomes[i % 2]) for i in range(50)]
    (folder / "tables").mkdir()
    (folder / "tables" / "adult.data").write_text("\n".join(rows[:40]) + "\n\n")
    (folder / "tables" / "adult.test").write_text("|1x3 Cross validator\n" + ".\n".join(rows[40:]) + ".\n\n")
    return folder


def test_rows_are_the_repositorys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Adult(data_dir=str(files(tmp_path, monkeypatch)))
    splits = data.load()
    assert {name: len(split.x) for name, split in splits.items()} == {"train": 36, "valid": 4, "test": 10}
    table = data.spec.medium
    assert isinstance(table, MixedTable)
    columns = {column.name: (d, column) for d, column in enumerate(table.columns)}
    assert set(columns["income"][1].levels) == {"<=50K", ">50K"}, "without the points of the test file"
    place, hours = columns["hours_per_week"]
    x = splits["test"].x[:, 0]
    found = hours.offset + hours.unit * x[:, place]
    np.testing.assert_allclose(found, [20 + i % 7 for i in range(40, 50)], rtol=1e-5)
    missing = np.isnan(x[:, columns["occupation"][0]])
    assert missing.tolist() == [i % 3 == 2 for i in range(40, 50)]
    assert "missing cells unread in 1 columns" in data.regime and data.regime.startswith("Adult, its own test rows")


def test_the_income_may_be_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Adult(data_dir=str(files(tmp_path, monkeypatch)), label="income", missing_level=True)
    assert data.spec.labels == ("<=50K", ">50K") and data.spec.classes == 2
    assert not np.isnan(data.load()["train"].x).all(0).any()
    with pytest.raises(UserError, match="no column 'incom'; did you mean 'income'"):
        Adult(data_dir=str(tmp_path), label="incom").load()


def test_other_files_are_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as none:
        Adult(data_dir=str(tmp_path)).load()
    assert "no adult.data or adult-train.csv; put the file https" in one_line(none)
    folder = files(tmp_path, monkeypatch) / "tables"
    (folder / "adult.data").write_text(ROW.format("Sales", 20, ">50K") + "\n")
    with pytest.raises(UserError) as short:
        Adult(data_dir=str(tmp_path)).load()
    assert "1 rows, not 40" in one_line(short)
    (folder / "adult.data").write_text(ROW.format("Sales", "many", ">50K") + "\n")
    with pytest.raises(UserError) as text:
        Adult(data_dir=str(tmp_path)).load()
    assert "many" in one_line(text) and "adult.data" in one_line(text)


@real_data
def test_the_real_ones_have_their_size() -> None:
    data = Adult()
    assert {name: split.x.shape for name, split in data.load().items()} == {
        "train": (29305, 1, 15), "valid": (3256, 1, 15), "test": (16281, 1, 15)
    }  # fmt: skip
    assert "6 of whole numbers and 9 of categories" in data.regime
