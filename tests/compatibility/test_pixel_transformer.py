"""Weights of `pixel_transformer` from before it was a case of `transformer` give the same log p.

The files are of three small ones with random weights, by revision 2c19797: grey and given a label, colours in turn that
are read one-hot, and a mixture over joint colours. `log_prob.json` holds log p of four random images each.
"""

import json
from pathlib import Path

import pytest
import torch

from ar_lightning import load

HERE = Path(__file__).parent / "pixel_transformer"
LOG_PROBS = json.loads((HERE / "log_prob.json").read_text())


@pytest.mark.parametrize("name", LOG_PROBS)
@torch.no_grad()
def test_older_weights_give_the_same_log_p(name: str) -> None:
    density = load(HERE / f"{name}.safetensors")
    x = torch.randint(density.spec.levels, (4, *density.spec.shape), generator=torch.Generator().manual_seed(1))
    log_p = density.log_prob(x, torch.arange(4) % 3 if density.conditional else None)
    assert log_p.tolist() == pytest.approx(LOG_PROBS[name], rel=1e-5)
    again = load(HERE / f"{name}.safetensors")
    again.load_state_dict(density.state_dict())  # under the names that they have now
    assert torch.equal(again.log_prob(x, torch.arange(4) % 3 if density.conditional else None), log_p)
