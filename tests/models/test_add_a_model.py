"""A model is added as the README says: one file, one registry line, one YAML; then all invariants hold for it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ar_lightning.config.registry import MODELS
from ar_lightning.config.schema import schema_of
from ar_lightning.models.base import Model, RasterModel, SequenceModel
from tests.invariants import test_causality as causality
from tests.invariants import test_exactness as exactness
from tests.support.cases import SPECS, Case, fits, variants
from tests.support.commands import QUICK, result, run_here

FILE = '''"""Fully visible sigmoid belief network: every value is a logistic regression on those before it.

    p(x_i | x_<i) = likelihood(b_i + sum_{j<i} W_ij x_j)

Neal, "Connectionist learning of belief networks", Artificial Intelligence 1992.
"""

import torch
from torch import Tensor, nn

from ar_lightning.core.fields import NonNegativeInt, Order, PositiveFloat
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.nn.streaming import Streaming

__all__ = ["FVSBN"]


class FVSBN(SequenceModel):
    """Logistic regressions, one for every value.

    Args:
        scale: initial standard deviation of the weights.
        order: the order in which the values are visited.
        order_seed: seed of a random order.
        conditional: condition on the data's labels.
    """

    encoding = "one_hot"

    def __init__(
        self, shapes: Shapes, *, scale: PositiveFloat = 0.01, order: Order = "raster", order_seed: NonNegativeInt = 0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, order, order_seed, conditional)
        if scale > 1:
            raise ValueError(f"scale={scale} saturates: take scale=1 or less")
        D = shapes.tokens
        self.W = nn.Parameter(scale * torch.randn(D, D, shapes.token_inputs, shapes.params))
        self.b = nn.Parameter(torch.zeros(max(self.classes, 1), D, shapes.params))
        self.memory = Streaming()

    def scan(self, past: Tensor, cond: Tensor | None = None) -> Tensor:
        n, memory = past.shape[1], self.memory
        start = memory.advance(n)
        if memory.past is not None:
            past = memory.past["read"] = torch.cat([memory.past["read"], past], 1) if start else past
        here = slice(start, start + n)
        causal = torch.ones(len(self.W), len(self.W), device=past.device).tril()
        W = (self.W * causal[..., None, None])[here, : start + n]
        bias = self.b[0 if cond is None else cond][..., here, :]
        return torch.einsum("bje,ijep->bip", past, W) + bias
'''
LINE = {"fvsbn": "fvsbn:FVSBN"}
YAML = "model:\n  name: fvsbn\n  scale: 0.1\ndata:\n  name: digits\n  levels: 2\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("added")
    (folder / "fvsbn.py").write_text(FILE)
    (folder / "fvsbn.yaml").write_text(YAML)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        for name, target in LINE.items():
            patch.setitem(MODELS, name, target)
        yield folder


def cases() -> list[Case]:
    likelihoods = {"binary": "bernoulli", "levels": "categorical", "binary colours": "bernoulli"}
    return [
        Case("fvsbn", likelihood, SPECS[spec], options)
        for spec, likelihood in likelihoods.items()
        if fits("fvsbn", likelihood, SPECS[spec])
        for options in variants("fvsbn")
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_it_holds_the_invariants(monkeypatch: pytest.MonkeyPatch) -> None:
    every = cases()
    assert len(every) == 9  # raster, random, conditional on each
    for case in every:
        causality.test_every_claimed_value_counts_and_no_later_one(case)
        exactness.test_probabilities_sum_to_one(case)
        exactness.test_streaming_equals_the_full_forward(case)
        exactness.test_same_seed_same_samples_in_both_loops_and_any_batch(case, monkeypatch)
        if case.conditional:
            causality.test_labels_reach_every_site(case)
        else:
            causality.test_jacobian_is_strictly_lower_triangular(case)
    exactness.test_sample_frequencies_match_the_probabilities(every[0])
    exactness.test_completions_follow_the_conditional(every[0])
    exactness.test_streaming_leaves_no_trace(every[0])


def test_its_config_trains_and_is_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, run = str(folder / "fvsbn.yaml"), folder / "run"
    assert run_here("--config", config, *QUICK, f"run_dir={run}") == 0
    assert 0 < result(run)["test/nll"] < 64
    assert run_here("sample", str(run), "--n", "2") == 0
    assert run_here("features", str(run), "--layer", "list") == 0
    assert "model: 1 features at 64 sites, the default" in capsys.readouterr().out
    assert json.loads(json.dumps(schema_of(MODELS["fvsbn"]).fields["scale"].default)) == 0.01
    for wrong, answer in (
        ("model.scale=-1", "model.scale"),
        ("model.scal=1", "did you mean"),
        ("model.scale=2", "model.scale=2.0 saturates: take model.scale=1 or less"),
    ):
        assert run_here("--config", config, wrong, *QUICK, f"run_dir={folder / 'not'}") == 2
        assert answer in capsys.readouterr().err


def test_what_a_class_forgets_is_answered_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="Blank needs a method `scan`"):
        type("Blank", (SequenceModel,), {})
    with pytest.raises(TypeError, match="Blank needs a method `pixel`, a method `row`"):
        type("Blank", (RasterModel,), {})
    with pytest.raises(TypeError, match=r"Typo\.any_lenght is nothing .*; did you mean 'any_length'"):
        type("Typo", (SequenceModel,), {"scan": lambda self, past, cond=None: past, "any_lenght": True})
    for name, value in {"encoding": "onehot", "dims": "2", "lookup": 1, "hidden_layers": "head"}.items():
        with pytest.raises(TypeError, match=f"Wrong.{name} = {value!r}: expected"):
            type("Wrong", (SequenceModel,), {"scan": lambda self, past, cond=None: past, name: value})
    with pytest.raises(TypeError, match="needs both"):
        type("Eager", (SequenceModel,), {"scan": lambda self, past, cond=None: past, "initialises": True})
    with pytest.raises(TypeError, match="abstract"):
        Model(torch.Size((1, 4)))  # type: ignore[abstract, arg-type]
