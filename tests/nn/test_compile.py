"""`trainer.compile`: a training with compiled kernels is the one without."""

from pathlib import Path

import pytest

from ar_lightning.core.spec import Shapes
from ar_lightning.models.nade import NADE
from ar_lightning.nn.kernels import nade_compiled
from tests.support.commands import QUICK, result, run_here


def test_only_binary_data_has_kernels() -> None:
    assert NADE(Shapes((1, 5))).compile_kernels()
    assert not NADE(Shapes((1, 5), inputs=3, params=3)).compile_kernels()


@pytest.mark.slow
def test_a_compiled_training_is_the_eager_one(tmp_path: Path) -> None:
    """To rounding; and its checkpoint is tested and sampled from as any."""
    nade_compiled.compiled.cache_clear()
    args = ["model=nade", "model.hidden=8", "model.block=4", "data.name=digits", "data.levels=2", *QUICK]
    for compiled in (False, True):
        run = tmp_path / str(compiled)
        assert run_here(*args, f"trainer.compile={compiled}", f"run_dir={run}") == 0
    assert nade_compiled.compiled.cache_info().currsize == 2, "both kernels were compiled"
    eager, ours = (result(tmp_path / str(compiled)) for compiled in (False, True))
    assert ours["test/nll"] == pytest.approx(eager["test/nll"], rel=1e-5)
    assert run_here("sample", str(tmp_path / "True"), "--n", "2") == 0
