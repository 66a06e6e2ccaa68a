"""The sweep files of this project: each begins with its config's own values, and has no corner that is illegal."""

import json
from functools import lru_cache
from pathlib import Path

import optuna
import pytest

from ar_lightning.config.build import build_data_module
from ar_lightning.config.checks import check_config
from ar_lightning.config.overlay import Settings
from ar_lightning.config.registry import MODELS
from ar_lightning.config.resolve import save_config
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.file import read_sweep
from ar_lightning.sweep.space import probes, settings_of, suggest
from ar_lightning.sweep.study import baseline_of
from ar_lightning.training.fit import build_lit
from tests.support.commands import QUICK, ROOT, result, run_here
from tests.support.marks import slow_but

FILES = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))
NOTHING_TO_TUNE = {
    "independent": "a table of frequencies, without a hyper-parameter",
    "table": "a table of all values, without a hyper-parameter but the order",
}
MOST_PARAMETERS = 5_000_000  # of the largest corner: what a laptop's CPU trains in minutes
TRAINED = ["nade", "rnade", "markov"]  # the quick ones; of the others, densities are built only


@lru_cache
def sweep_of(name: str) -> Sweep:
    return read_sweep(ROOT / "sweeps" / f"{name}.yaml", ["trainer.accelerator=cpu"])


@pytest.mark.parametrize("model", slow_but(["nade", "rnn"], MODELS))
def test_every_model_has_a_sweep_or_nothing_to_tune(model: str) -> None:
    swept = {sweep_of(name).config_of({})["model"]["name"] for name in FILES}
    assert (model in swept) != (model in NOTHING_TO_TUNE)


@pytest.mark.parametrize("name", FILES)
def test_a_sweep_is_named_like_its_config(name: str) -> None:
    sweep = sweep_of(name)
    config = Path(sweep.config).resolve().relative_to(ROOT / "conf").stem
    assert name.startswith(config) or name == "any_model"
    assert sweep.study == name


@pytest.mark.parametrize("name", FILES)
def test_a_sweep_says_what_it_searches(name: str) -> None:
    head = (ROOT / "sweeps" / f"{name}.yaml").read_text().partition("\nconfig:")[0]
    assert head and all(line.startswith("# ") for line in head.splitlines())


@pytest.mark.parametrize("name", FILES)
def test_the_baseline_lies_in_the_space(name: str) -> None:
    sweep = sweep_of(name)
    settings = settings_of(sweep.space, baseline_of(sweep))
    assert sweep.config_of(settings) == sweep.config_of({})


def random_points(sweep: Sweep, number: int) -> list[Settings]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [settings_of(sweep.space, suggest(sweep.space, study.ask())) for _ in range(number)]


@pytest.mark.parametrize("name", slow_but(["nade", "any_model"], FILES))
def test_no_corner_of_a_space_is_illegal(name: str) -> None:
    """Random points too: what a model refuses is most often a pair of values, such as heads and width."""
    sweep = sweep_of(name)
    seen = set()
    for settings in [*probes(sweep.space), *random_points(sweep, 6)]:
        config = sweep.config_of(settings)
        dataset = check_config(config)
        built = json.dumps([config["model"], config["likelihood"]])
        if built not in seen:
            seen.add(built)
            lit = build_lit(config, build_data_module(config, dataset))
            assert 0 < sum(p.numel() for p in lit.parameters()) < MOST_PARAMETERS


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_the_smallest_corner_trains(name: str, tmp_path: Path) -> None:
    sweep = sweep_of(name)
    save_config(sweep.config_of(next(iter(probes(sweep.space)))), tmp_path / "trial.yaml")
    run = tmp_path / "run"
    assert run_here("--config", str(tmp_path / "trial.yaml"), *QUICK, f"run_dir={run}") == 0
    assert result(run)["experiment"] == name and result(run)["val/bpd"] > 0
