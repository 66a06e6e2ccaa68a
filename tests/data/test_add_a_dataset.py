"""Adding a dataset is one class and one line in the registry: nothing else of the project knows its name."""

from pathlib import Path

import pytest

from ar_lightning.config.registry import DATA
from tests.support.commands import QUICK, result, run_here

CLASS = '''
import numpy as np

from ar_lightning.core.fields import PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits


class Dice(Dataset):
    """Throws of fair dice.

    Args:
        throws: number of dice in an example.
    """

    def __init__(self, *, throws: PositiveInt = 3) -> None:
        self.throws = throws

    @property
    def spec(self) -> DataSpec:
        return DataSpec((1, self.throws), levels=6, classes=2)

    @property
    def regime(self) -> str:
        return "fair dice, 40/40/40"

    def load(self) -> Splits:
        x = np.random.RandomState(0).randint(6, size=(120, 1, self.throws))
        parts = zip(SPLITS, np.split(x, 3), strict=True)
        return {name: Split(part, part[:, 0, 0] % 2) for name, part in parts}
'''


@pytest.fixture(autouse=True)
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dice_of_a_test.py").write_text(CLASS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(DATA, "dice", "dice_of_a_test:Dice")


def test_it_trains_by_its_name_with_its_keys(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ("data=dice", "data.throws=4", "model.conditional=true", *QUICK, f"run_dir={run}")
    assert run_here("--config", "conf/independent.yaml", *settings) == 0
    assert result(run)["regime"] == "fair dice, 40/40/40"
    assert run_here("sample", str(run), "--n", "2") == 0


def test_list_and_errors_know_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("list") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "dice" in line)
    assert "Throws of fair dice." in line
    for wrong, message in (("data.throw=4", "did you mean 'throws'?"), ("data.throws=0", "data.throws")):
        assert run_here("--config", "conf/independent.yaml", "data=dice", wrong) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert run_here("--config", "conf/independent.yaml", "data=dise") == 2
    assert "did you mean 'dice'?" in capsys.readouterr().err
