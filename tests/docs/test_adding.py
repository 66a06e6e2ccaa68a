"""What "Add a model" and "Add a dataset" say is enough: their own code, added as they say, is trained and tested."""

from pathlib import Path

import pytest

from ar_lightning.config.registry import DATA, MODELS
from tests.invariants import test_causality as causality
from tests.invariants import test_densities as densities
from tests.invariants import test_exactness as exactness
from tests.support.cases import SPECS, Case, fits
from tests.support.commands import QUICK, result, run_here
from tests.support.pages import blocks


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Add the model of the page: one file, one line, one YAML; return the YAML."""
    source, line = blocks("add-a-model", "python")
    (tmp_path / "window.py").write_text(source)
    assert '"window": "ar_lightning.models.window:Window"' in line
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MODELS, "window", "window:Window")  # a file outside the package, for the time of the test
    config = tmp_path / "window.yaml"
    config.write_text(blocks("add-a-model", "yaml")[0])
    return config


def test_the_model_of_the_page_trains_and_samples(window: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_here("--config", str(window), "model.width=9", *QUICK, f"run_dir={run}") == 0
    assert result(run)["model"] == "window"
    assert run_here("sample", str(run), "--n", "2") == 0


@pytest.mark.parametrize("likelihood, data", [
    ("categorical", "levels"),
    pytest.param("bernoulli", "binary", marks=pytest.mark.slow),
    pytest.param("gaussian_mixture", "real", marks=pytest.mark.slow),
])  # fmt: skip
def test_the_model_of_the_page_keeps_the_invariants(window: Path, likelihood: str, data: str) -> None:
    assert fits("window", likelihood, SPECS[data])
    case = Case("window", likelihood, SPECS[data])
    causality.test_jacobian_is_strictly_lower_triangular(case)
    causality.test_every_claimed_value_counts_and_no_later_one(case)
    exactness.test_streaming_equals_the_full_forward(case)
    if case.spec.levels:
        exactness.test_probabilities_sum_to_one(case)
        exactness.test_sample_frequencies_match_the_probabilities(case)
    else:
        densities.test_every_conditional_integrates_to_one(case)


def test_the_dataset_of_the_page_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fair coins: a table of marginals comes near to their entropy of one bit."""
    (source,) = blocks("add-a-dataset", "python")
    (tmp_path / "coins.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(DATA, "coins", "coins:Coins")
    run = tmp_path / "run"
    quick = [option for option in QUICK if "max_epochs" not in option and "limit" not in option]
    settings = ("data=coins", "data.length=5", "trainer.max_epochs=3", *quick, f"run_dir={run}")
    assert run_here("--config", "conf/independent.yaml", *settings) == 0
    assert result(run)["test/bpd"] == pytest.approx(1, abs=0.1)
    assert result(run)["regime"] == "fair coins from a fixed seed, 800/100/100"
