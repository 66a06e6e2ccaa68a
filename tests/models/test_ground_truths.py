"""What is known exactly: parameter counts, entropies, and the likelihood that counting gives."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.config.build import build_density
from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.density.density import Density
from ar_lightning.likelihoods.discrete import Bernoulli, Categorical
from ar_lightning.models.tables import Independent, Markov, Table
from ar_lightning.training.checkpoints import load
from tests.support.commands import result, run_here


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_tables_have_the_textbook_number_of_parameters(n: int) -> None:
    shapes = Shapes((1, n))
    assert parameters(Independent(shapes)) == n
    assert parameters(Markov(shapes)) == 2 * n - 1
    assert parameters(Table(shapes)) == 2**n - 1


def test_tables_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="at most 16 sites"):
        Table(Shapes((1, 17)))
    with pytest.raises(ValueError, match="entries"):
        Markov(Shapes((1, 28, 28), inputs=256, params=256), memory=2)
    with pytest.raises(ValueError, match="encoding"):
        Markov(Shapes((1, 8, 8), inputs=1, params=17))


def test_a_table_can_hold_any_distribution() -> None:
    """Set its logits to those of a random joint distribution and it scores every value exactly."""
    spec, n = DataSpec((1, 4), 2), 4
    joint = torch.rand(2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    joint /= joint.sum()
    table = Table(Shapes(spec.shape)).double()
    rows = []
    for i in range(n):  # p(x_i = 1 | context), contexts in the order of their binary code
        counts = joint.view(2**i, 2, 2 ** (n - i - 1)).sum(2)
        rows.append(torch.log(counts[:, 1] / counts[:, 0]))
    table.table.logits.data = torch.cat(rows)[None, :, None]
    x = torch.cartesian_prod(*[torch.arange(2)] * n)[:, None]
    scored = Density(table, Bernoulli(spec), spec).eval().log_prob(x)
    assert torch.allclose(scored.exp(), joint, atol=1e-14)


@pytest.mark.slow
def test_markov_model_approaches_the_entropy_of_a_markov_chain(tmp_path: Path) -> None:
    n, flip = 24, 0.1
    rng = np.random.default_rng(0)
    steps = rng.random((30_000, n)) < np.where(np.arange(n) == 0, 0.5, flip)
    chain = np.cumsum(steps, axis=1) % 2
    np.savez(tmp_path / "chain.npz", train=chain[:20_000], valid=chain[20_000:25_000], test=chain[25_000:])
    entropy = math.log(2) - (n - 1) * (flip * math.log(flip) + (1 - flip) * math.log(1 - flip))
    base = ["data.name=npz", f"data.path={tmp_path / 'chain.npz'}", "data.batch_size=200", "optimizer.lr=0.05"]
    more = ["schedule=cosine", "trainer.max_epochs=6", "tracking.mode=disabled", "samples.every=0", "samples.n=4"]
    nll = {}
    for model in ("markov", "independent"):
        assert run_here(f"model={model}", *base, *more, f"run_dir={tmp_path / model}") == 0
        nll[model] = result(tmp_path / model)["test/nll"]
    assert nll["markov"] == pytest.approx(entropy, abs=0.08)  # five standard errors of 5000 examples
    assert nll["independent"] == pytest.approx(n * math.log(2), abs=0.02)
    sampled = load(tmp_path / "markov").sample(4000, generator=torch.Generator().manual_seed(0))[:, 0]
    assert (sampled[:, 1:] != sampled[:, :-1]).float().mean().item() == pytest.approx(flip, abs=0.005)


def test_independent_model_learns_the_frequencies(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    p = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]])
    train = np.stack([rng.choice(3, 3000, p=row) for row in p], axis=1)
    np.savez(tmp_path / "d.npz", train=train, valid=train, test=train)
    run = tmp_path / "run"
    options = ["data.name=npz", f"data.path={tmp_path / 'd.npz'}", "data.batch_size=100", "schedule=cosine"]
    more = ["optimizer.lr=0.1", "trainer.max_epochs=6", "tracking.mode=disabled", "samples.every=0", "samples.n=4"]
    assert run_here("model=independent", *options, *more, f"run_dir={run}") == 0
    counts = np.stack([np.bincount(column, minlength=3) for column in train.T]) / len(train)
    assert result(run)["test/nll"] == pytest.approx(-(counts * np.log(counts)).sum(), abs=2e-3)


def test_bernoulli_and_two_level_categorical_agree() -> None:
    spec = DataSpec((1, 5), 2)
    x = torch.randint(2, (4, 1, 5))
    logits = torch.randn(4, 1, 5, dtype=torch.float64)
    two = torch.stack([torch.zeros_like(logits), logits], 2).flatten(1, 2)
    assert torch.allclose(Bernoulli(spec).log_prob(logits, x), Categorical(spec).log_prob(two, x))


def test_extreme_parameters_stay_finite() -> None:
    x = torch.tensor([[[0, 1]]])
    binary = Bernoulli(DataSpec((1, 2), 2))
    assert torch.isfinite(binary.log_prob(torch.tensor([[[300.0, -300.0]]]), x)).all()
    grey = Categorical(DataSpec((1, 2), 4))
    assert torch.isfinite(grey.log_prob(torch.tensor([[[500.0] * 2, [-500.0] * 2, [0.0] * 2, [0.0] * 2]]), x)).all()
    certain = torch.tensor([[0.0, 1e4, 0.0, 0.0]]).expand(1000, 4)
    assert (grey.sample(certain, torch.rand(1000, 1)) == 1).all()


def test_bfloat16_parameters_are_scored_in_float32() -> None:
    grey = Categorical(DataSpec((1, 3), 4))
    params = torch.randn(2, 4, 3, dtype=torch.bfloat16)
    scored = grey.log_prob(params, torch.zeros(2, 1, 3, dtype=torch.long))
    assert scored.dtype == torch.float32
    assert torch.equal(scored, grey.log_prob(params.float(), torch.zeros(2, 1, 3, dtype=torch.long)))


@pytest.mark.parametrize("x", [torch.tensor([[[0, 2, 1, 0]]]), torch.tensor([[[0.5, 0, 1, 0]]]), torch.zeros(1, 1, 3)])
def test_values_that_are_no_data_are_refused(x: torch.Tensor) -> None:
    spec = DataSpec((1, 4), 2)
    config = {"model": {"name": "independent"}, "likelihood": {"name": "auto"}}
    with pytest.raises(ValueError, match="expected"):
        build_density(config, spec).eval().log_prob(x)
