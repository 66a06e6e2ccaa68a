"""Search spaces, their points, and what samplers and pruners do with them, over random spaces."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import Study
from optuna.trial import TrialState

from ar_lightning.config.registry import PRUNERS, SAMPLERS, find
from ar_lightning.core.errors import UserError
from ar_lightning.sweep.space import Dimension, Space, grid, own_values, parse_space, probes, settings_of, suggest
from ar_lightning.sweep.storage import open_storage
from tests.support.marks import slow_but

LR = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
MIXED: dict[str, Any] = {
    "optimizer.lr": LR,
    "model.hidden": {"type": "int", "low": 10, "high": 100},
    "model.activation": {"type": "categorical", "choices": ["sigmoid", "relu"]},
}
BRANCHED: dict[str, Any] = {
    "optimizer.lr": LR,
    "model.name": {
        "type": "categorical",
        "choices": {
            "nade": {"model.hidden": {"type": "int", "low": 10, "high": 100}, "trainer.ema": 0.99},
            "made": {
                "model.layers": {"type": "int", "low": 1, "high": 3},
                "model.direct": {"type": "categorical", "choices": {True: {"model.masks": 2}, False: None}},
            },
        },
    },
}
SEEDS = range(30)


def random_space(seed: int) -> dict[str, Any]:
    """Return a space of made-up keys, ranges and branches."""
    rng = random.Random(seed)
    keys = iter(f"model.key_{i}" for i in range(1000))

    def dimension(depth: int) -> dict[str, Any]:
        match rng.choice(["int", "log int", "step", "float", "log", "list", "list", *(["branches"] * 2 * (depth < 2))]):
            case "int":
                return {"type": "int", "low": rng.randint(-9, 3), "high": rng.randint(3, 9)}
            case "log int":
                return {"type": "int", "low": rng.randint(1, 9), "high": rng.randint(9, 99), "log": True}
            case "step":
                return {"type": "float", "low": 0.1, "high": rng.choice([0.1, 0.3, 0.7, 1.9]), "step": 0.2}
            case "float":
                return {"type": "float", "low": -rng.random(), "high": rng.random(), "step": None}
            case "log":
                return {
                    "type": "float",
                    "low": 10 ** rng.uniform(-5, -3),
                    "high": 10 ** rng.uniform(-2, 2),
                    "log": True,
                }
            case "list":
                some = [None, True, "adam", 3, 0.5, [0.9, 0.95], "3"]
                return {"type": "categorical", "choices": rng.sample(some, rng.randint(1, len(some)))}
        branches = {name: content(depth + 1) for name in rng.sample(["nade", "made", 3, False], rng.randint(1, 4))}
        return {"type": "categorical", "choices": branches}

    def content(depth: int) -> dict[str, Any]:
        some = {next(keys): dimension(depth) for _ in range(rng.randint(1 - bool(depth), 4))}
        constants = {next(keys): rng.choice([1, None, "x", [1, 2]]) for _ in range(rng.randint(0, 2) * bool(depth))}
        return some | constants

    return content(0)


def dimensions(space: Space) -> list[Dimension]:
    """Return the dimensions of a space and of all its branches."""
    return [d for top in space.dimensions for d in (top, *(i for c in top.choices for i in dimensions(c.branch)))]


def new_study(storage: BaseStorage | None = None, **kinds: Any) -> Study:
    storage = storage or InMemoryStorage()
    return optuna.create_study(study_name="s", storage=storage, load_if_exists=True, **kinds)


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_suggested_point_lies_in_the_space_and_leads_back_to_itself(seed: int) -> None:
    space = parse_space(random_space(seed), "space")
    study = new_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    known = {d.name: d for d in dimensions(space)}
    for _ in range(5):
        trial = study.ask()
        params = suggest(space, trial)
        assert params == trial.params
        for name, value in params.items():
            assert known[name].choice(value) if known[name].choices else value in known[name]
        settings = settings_of(space, params)
        assert own_values(space, settings.get) == params
        assert settings_of(space, own_values(space, settings.get)) == settings


@pytest.mark.parametrize("seed", SEEDS)
def test_a_space_is_the_same_after_json(seed: int) -> None:
    """As a study keeps it: with texts for keys."""
    raw = random_space(seed)
    assert parse_space(json.loads(json.dumps(raw)), "space") == parse_space(raw, "space")


@pytest.mark.parametrize("seed", SEEDS)
def test_probes_contain_every_end_point_and_choice(seed: int) -> None:
    space = parse_space(random_space(seed), "space")
    points = list(probes(space))
    for d in dimensions(space):
        seen = [point[d.key] for point in points if d.key in point]
        assert all(end in seen for end in ([c.value for c in d.choices] if d.choices else [d.low, d.high]))
    for point in points:
        own_values(space, point.get)  # none lies outside


@pytest.mark.parametrize("seed", SEEDS)
def test_a_grid_has_every_point_once(seed: int) -> None:
    space = parse_space(random_space(seed), "space")
    try:
        points = grid(space)
    except ValueError as error:
        needs = [d.name for d in dimensions(space) if (d.log or d.kind == "float") and not d.step and d.low < d.high]
        assert "points, of at most" in str(error) or any(f"{name}: a grid needs step" in str(error) for name in needs)
        return
    assert len({repr(point) for point in points}) == len(points) == size(space)
    for point in points:
        settings = settings_of(space, point)
        assert own_values(space, settings.get) == point


def size(space: Space) -> int:
    return math.prod(
        sum(size(c.branch) for c in d.choices) if d.choices else len(range_of(d)) for d in space.dimensions
    )


def range_of(d: Dimension) -> list[float]:
    step = d.step or 1
    return [d.low + i * step for i in range(1000) if d.low + i * step <= d.high + 1e-9]


def test_a_point_of_a_grid_can_be_queued() -> None:
    raw = {
        "a": {"type": "float", "low": 0.1, "high": 0.7, "step": 0.2},
        "b": {"type": "int", "low": 2, "high": 8, "step": 3},
    }
    space = parse_space(raw, "space")
    study = new_study()
    for point in grid(space):
        study.enqueue_trial(point)
        assert suggest(space, study.ask()) == point


@pytest.mark.parametrize(
    ("own", "key"),
    [
        ({"optimizer.lr": 1.0}, "optimizer.lr=1.0"), ({"optimizer.lr": None}, "optimizer.lr=null"),
        ({"optimizer.lr": True}, "optimizer.lr=true"), ({"model.hidden": 20.5}, "model.hidden=20.5"),
        ({"trainer.ema": None}, "trainer.ema=null"), ({"model.name": "rnn"}, "model.name=rnn"),
    ],
)  # fmt: skip
def test_a_config_outside_of_the_space_is_told_by_its_key(own: dict[str, Any], key: str) -> None:
    inside = {"optimizer.lr": 1e-3, "model.name": "nade", "model.hidden": 20, "trainer.ema": 0.99}
    space = parse_space(BRANCHED, "space")
    assert own_values(space, inside.get) == {"optimizer.lr": 1e-3, "model.name": "nade", "nade:model.hidden": 20}
    with pytest.raises(ValueError, match=f"^{key}$"):
        own_values(space, (inside | own).get)


def test_a_tuple_of_a_config_is_a_list_of_a_space() -> None:
    space = parse_space({"optimizer.betas": {"type": "categorical", "choices": [[0.9, 0.999], [0.5, 0.9]]}}, "space")
    assert own_values(space, {"optimizer.betas": (0.5, 0.9)}.get) == {"optimizer.betas": "[0.5, 0.9]"}


def test_a_key_has_one_place() -> None:
    nade, made = {"choices": {"nade": {"trainer.ema": 0.9}}}, {"choices": {"adam": {"trainer.ema": 0.9}}}
    raw = {"model.name": {"type": "categorical", **nade}, "optimizer.name": {"type": "categorical", **made}}
    with pytest.raises(UserError, match=r"choices\.nade\.trainer\.ema: is also outside of the branch"):
        parse_space(raw, "space")


def value(params: dict[str, Any]) -> float:
    """Return what a point is worth: lower is better."""
    lr, hidden = params["optimizer.lr"], params.get("model.hidden", params.get("nade:model.hidden", 0))
    return abs(math.log10(lr) + 2) + hidden / 100 + (params.get("model.activation", "relu") != "relu")


def sampler_of(name: str) -> Any:
    options: dict[str, dict[str, int]] = {
        "tpe": {"startup_trials": 4}, "gp": {"startup_trials": 4}, "nsgaii": {"population": 8}
    }  # fmt: skip
    return find("sampler", name)(**({} if name == "grid" else {"seed": 3, **options.get(name, {})}))


def run(study: Study, space: Space, trials: int) -> list[dict[str, Any]]:
    """Ask and tell; return what was proposed."""
    proposed = []
    for _ in range(trials):
        trial = study.ask()
        proposed.append(suggest(space, trial))
        worth = value(proposed[-1])
        study.tell(trial.number, [worth] * len(study.directions))
    return proposed


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("raw", [MIXED, BRANCHED], ids=["mixed", "branched"])
@pytest.mark.parametrize("name", slow_but(["random", "cmaes"], sorted(set(SAMPLERS) - {"grid"})))
class TestSamplers:
    def test_same_seed_same_proposals_and_none_twice(self, name: str, raw: dict[str, Any]) -> None:
        space = parse_space(raw, "space")
        first = run(new_study(sampler=sampler_of(name)), space, 15)
        assert first == run(new_study(sampler=sampler_of(name)), space, 15)
        assert len({repr(p) for p in first}) == 15 or name == "nsgaii"  # whose children may be like a parent

    def test_a_resumed_sweep_goes_on_as_if_it_had_not_stopped(
        self, name: str, raw: dict[str, Any], tmp_path: Path
    ) -> None:
        space = parse_space(raw, "space")
        resumed: list[dict[str, Any]] = []
        for trials in (3, 4, 3):
            resumed += run(new_study(open_storage("journal", tmp_path), sampler=sampler_of(name)), space, trials)
        assert resumed == run(new_study(sampler=sampler_of(name)), space, 10)

    def test_workers_with_the_same_seed_propose_different_points(self, name: str, raw: dict[str, Any]) -> None:
        space, storage = parse_space(raw, "space"), InMemoryStorage()
        workers = [new_study(storage, sampler=sampler_of(name)) for _ in range(2)]
        points = []
        for _ in range(5):
            trials = [worker.ask() for worker in workers]  # both run at the same time
            points += [suggest(space, trial) for trial in trials]
            for worker, trial, point in zip(workers, trials, points[-2:], strict=True):
                worker.tell(trial.number, value(point))
        assert len({repr(point) for point in points}) == 10
        startup = 4 if name in ("gp", "cmaes") else 8  # those two may choose an end of the range more than once
        assert len({point["optimizer.lr"] for point in points[:startup]}) == startup


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", ["tpe", "gp", "nsgaii", "random"])
def test_two_objectives(name: str) -> None:
    study = new_study(sampler=sampler_of(name), directions=["minimize", "maximize"])
    assert len(run(study, parse_space(BRANCHED, "space"), 12)) == 12


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_tpe_learns() -> None:
    space = parse_space(MIXED, "space")
    learnt = run(new_study(sampler=sampler_of("tpe")), space, 40)[20:]
    guessed = run(new_study(sampler=sampler_of("random")), space, 40)[20:]
    assert sum(map(value, learnt)) < 0.7 * sum(map(value, guessed))


GOOD: Callable[[int], float] = lambda epoch: 1 / epoch  # noqa: E731
BAD: Callable[[int], float] = lambda epoch: 5 + epoch / 10  # noqa: E731


def train(study: Study, curve: Callable[[int], float], epochs: int = 18) -> int:
    """Run a trial with this curve; return how many epochs it was allowed."""
    trial = study.ask()
    for epoch in range(1, epochs + 1):
        trial.report(curve(epoch), epoch)
        if trial.should_prune():
            study.tell(trial.number, state=TrialState.PRUNED)
            return epoch
    study.tell(trial.number, curve(epochs))
    return epochs


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_pruners_stop_the_bad_and_keep_the_good(name: str) -> None:
    study = new_study(pruner=find("pruner", name)(18))
    for i in range(9):
        train(study, lambda epoch, i=i: 1 / epoch + (i + 1) / 10)  # type: ignore[misc]
    least = {"median": 2, "hyperband": 1, "patient": 4, "none": 18}[name]
    stopped = [train(study, BAD) for _ in range(4)]
    assert min(stopped) == least and (name == "hyperband" or max(stopped) == least)
    assert train(study, GOOD) == 18


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", ["median", "patient"])
def test_no_trial_is_stopped_before_there_are_others_to_compare_with(name: str) -> None:
    study = new_study(pruner=find("pruner", name)(18, startup_trials=3, min_epochs=6))
    assert [train(study, curve) for curve in (GOOD, GOOD, BAD, BAD)] == [18, 18, 18, 6]
