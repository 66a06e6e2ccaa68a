"""On a GPU everything is what it is on the CPU: `bash benchmarks/gpu.sh check` runs these; elsewhere they skip."""

from pathlib import Path

import pytest
import torch

from ar_lightning.config.registry import find
from ar_lightning.core.errors import UserError
from ar_lightning.models.base import RasterModel
from tests.support.cases import CASES, Case, random_values
from tests.support.commands import result, run_here

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
ONE_EACH = list({case.model: case for case in CASES}.values())


@pytest.mark.parametrize("case", ONE_EACH, ids=str)
def test_likelihoods_and_samples_are_those_of_the_cpu(case: Case) -> None:
    density = case.build()
    x, cond = random_values(case.spec, 5, seed=1), case.labels(5)
    nats = density.log_prob(x, cond)
    noise = density.noise(5)
    drawn = density.sample(5, cond, noise=noise)
    on_gpu = density.to("cuda")
    cond = None if cond is None else cond.cuda()
    torch.testing.assert_close(on_gpu.log_prob(x.cuda(), cond).cpu(), nats)
    for naive in (False, True):
        torch.testing.assert_close(on_gpu.sample(5, cond, noise=noise.cuda(), naive=naive).cpu(), drawn)


@pytest.mark.parametrize("case", [case for case in ONE_EACH if find("model", case.model).exports], ids=str)
def test_a_graph_draws_what_the_steps_draw(case: Case) -> None:
    density, cond = case.build().to("cuda"), case.labels(5)
    cond = None if cond is None else cond.cuda()
    noise = density.noise(5).cuda()
    if isinstance(density.model, RasterModel):
        drawn = [density.sample(5, cond, noise=noise, engine=e) for e in ("eager", "compiled")]
        torch.testing.assert_close(*drawn)
    else:
        with pytest.raises(UserError, match="models of images"):
            density.sample(5, cond, noise=noise, engine="compiled")


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("model", ["nade", "made", "row_lstm", "gated_pixelcnn"])
def test_a_training_in_bfloat16(model: str, compiled: bool, tmp_path: Path) -> None:
    args = [f"model.name={model}", "data.name=digits", "trainer.accelerator=gpu", "trainer.devices=1"]
    args += ["trainer.precision=bf16-mixed", f"trainer.compile={compiled}", "trainer.max_epochs=2"]
    assert run_here(*args, "tracking.mode=disabled", f"run_dir={tmp_path / 'run'}") == 0
    assert 0 < result(tmp_path / "run")["test/bpd"] < 4.1, "better than uniform"
