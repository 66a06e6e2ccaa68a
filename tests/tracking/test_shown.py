"""What W&B shows of samples: a table as a table, its pictures as pictures."""

from pathlib import Path

import pytest
import torch

from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.mixed import MixedTables
from ar_lightning.tracking.loggers import _shown


def test_samples_of_a_mixed_table_are_a_table_and_three_pictures(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    columns = (Column("job", "category", ("cook", "clerk"), gaps="unread"), Column("age", "integer"))
    x = torch.tensor([[[0.0, 30.0]], [[1.0, 41.0]], [[torch.nan, 52.0]]])
    files = MixedTables(DataSpec((1, 2), None, medium=MixedTable(columns))).write_samples(x, tmp_path / "s", x)
    shown = {kind: _shown(path, "final") for kind, path in files.items()}
    assert shown["samples"].columns == ["job", "age"]
    assert shown["samples"].data == [["cook", 30.0], ["clerk", 41.0], [None, 52.0]]
    assert all(isinstance(shown.pop(kind), wandb.Image) for kind in ("marginals", "pairs", "associations"))
    assert [*shown] == ["samples"] and isinstance(shown["samples"], wandb.Table)
