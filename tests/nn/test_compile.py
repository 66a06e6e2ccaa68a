"""`trainer.compile`: the kernels that are compiled compute what the others do."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ar_lightning.core.fields import Activation
from ar_lightning.nn.kernels import nade_compiled as prefix_kernels
from ar_lightning.nn.kernels.nade_compiled import CompiledPrefix
from ar_lightning.nn.prefix import Prefix, PrefixHidden
from tests.support.commands import QUICK, result, run_here


def arguments(sites: int, batch: int, hidden: int) -> list[Tensor]:
    torch.manual_seed(0)
    past = (torch.rand(sites, batch, 1) < 0.5).double()
    shapes = [(sites, 1, hidden), (sites, 1, hidden), (sites, 1), (batch, hidden)]
    return [past, *(torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes)]


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("sites", [1, 4, 7, 8])
def test_the_blocks_are_those_of_the_eager_prefix(
    sites: int, activation: Activation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not compiled, in float64: values, and gradients of everything."""
    monkeypatch.setattr(prefix_kernels, "compiled", lambda block: block)
    args = arguments(sites, batch=3, hidden=5)
    outs = [f.apply(*args, activation, 4) for f in (CompiledPrefix, Prefix)]
    torch.testing.assert_close(*outs)
    direction = torch.randn_like(outs[0])
    ours, expected = (torch.autograd.grad((out * direction).sum(), args[1:]) for out in outs)
    torch.testing.assert_close(ours, expected)


def test_only_binary_data_has_kernels() -> None:
    assert PrefixHidden(5, 1, 4, 1).compile_kernels()
    assert not PrefixHidden(5, 3, 4, 3).compile_kernels()


def test_a_compiled_training_is_the_eager_one(tmp_path: Path) -> None:
    """To rounding; and its checkpoint is tested and sampled from as any."""
    prefix_kernels.compiled.cache_clear()
    args = ["model=nade", "model.hidden=8", "model.block=4", "data.name=digits", "data.levels=2", *QUICK]
    for compiled in (False, True):
        run = tmp_path / str(compiled)
        assert run_here(*args, f"trainer.compile={compiled}", f"run_dir={run}") == 0
    assert prefix_kernels.compiled.cache_info().currsize == 2, "both kernels were compiled"
    eager, ours = (result(tmp_path / str(compiled)) for compiled in (False, True))
    assert ours["test/nll"] == pytest.approx(eager["test/nll"], rel=1e-5)
    assert run_here("sample", str(tmp_path / "True"), "--n", "2") == 0
