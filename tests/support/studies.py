"""Studies with made-up trials, as workers leave them."""

import math
import random
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

START = datetime(2026, 1, 31, 12, 0, 0)
BPD = {"metric": "val/bpd", "direction": "minimize"}
SPEED = {"metric": "samples_per_second", "direction": "maximize"}
PLAIN: dict[str, Any] = {
    "optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "model.hidden": {"type": "int", "low": 16, "high": 256, "log": True},
    "data.batch_size": {"type": "categorical", "choices": [32, 64, 128]},
    "trainer.ema": {"type": "float", "low": 0.0, "high": 0.99},
}
BRANCHES: dict[str, Any] = {
    "model.name": {
        "type": "categorical",
        "choices": {
            "nade": {"model.hidden": {"type": "int", "low": 16, "high": 256, "log": True}},
            "row_lstm": {
                "model.layers": {"type": "int", "low": 1, "high": 6},
                "model.hidden": {"type": "int", "low": 8, "high": 64, "log": True},
            },
        },
    },
    "optimizer.lr": PLAIN["optimizer.lr"],
}
Space = dict[str, BaseDistribution]


def new_study(
    space: dict[str, Any] = PLAIN, objectives: tuple[dict[str, str], ...] = (BPD,), name: str = "digits"
) -> Study:
    """Return an empty study of NADE on digits, in memory."""
    study = optuna.create_study(study_name=name, directions=[o["direction"] for o in objectives])
    base = {"model.name": "nade", "data.name": "digits", "trainer.max_epochs": 20}
    study.set_user_attr(
        "definition", {"config": "conf/nade.yaml", "base": base, "space": space, "objectives": [*objectives]}
    )
    return study


def trial(
    state: TrialState = TrialState.COMPLETE,
    values: float | tuple[float, ...] | None = None,
    params: dict[str, Any] | None = None,
    distributions: Space | None = None,
    curve: tuple[float, ...] = (),
    seconds: float = 30.0,
    start: datetime = START,
    **attrs: Any,
) -> FrozenTrial:
    """Return a trial; `curve` holds its value after each epoch, `attrs` its user attributes."""
    made = create_trial(
        state=state,
        values=[values] if isinstance(values, (int, float)) else values,
        params=params,
        distributions=distributions,
        intermediate_values=dict(enumerate(curve, start=1)),
        user_attrs=({"epochs": len(curve), "seconds": seconds} if state.is_finished() else {}) | attrs,
    )
    made.datetime_start = None if state is TrialState.WAITING else start
    made.datetime_complete = start + timedelta(seconds=seconds) if state.is_finished() else None
    return made


def searched(
    trials: int, space: dict[str, Any] = PLAIN, objectives: tuple[dict[str, str], ...] = (BPD,), pruned: float = 0.3
) -> Study:
    """Return a study of random search over a space, whose likelihood has its best learning rate at 0.005."""
    study, rng = new_study(space, objectives), random.Random(0)
    epochs = 10
    for number in range(trials):
        params, distributions = _drawn(space, rng)
        lr = params["optimizer.lr"]
        hidden = next(value for name, value in params.items() if name.endswith("model.hidden"))
        best = 2.0 + 0.3 * math.log10(lr / 0.005) ** 2 + 8 / hidden + 0.02 * rng.random()
        curve = tuple(best + 1.5 * math.exp(-epoch / 3) for epoch in range(1, epochs + 1))
        stops = len(objectives) == 1 and number > 4 and rng.random() < pruned
        if stops:
            curve = curve[: rng.randint(2, epochs - 1)]
        values = (curve[-1], 4e4 / hidden)[: len(objectives)]
        metrics = {"val/bpd": curve[-1], "val/nll": 44.4 * curve[-1], "parameters": 130 * hidden}
        settings = {name.rpartition(":")[2]: value for name, value in params.items()}
        study.add_trial(
            trial(
                TrialState.PRUNED if stops else TrialState.COMPLETE,
                None if stops else values,
                params,
                distributions,
                curve if len(objectives) == 1 else (),
                seconds=20 + 10 * rng.random(),
                start=START + timedelta(seconds=30 * number),
                run=f"{number:04d}",
                settings=settings | {"trainer.devices": 1, "trainer.threads": 1},
                **({} if stops else {"metrics": metrics}),
                **({"baseline": True} if number == 0 else {}),
            )
        )
    return study


def _drawn(space: dict[str, Any], rng: random.Random, branch: str = "") -> tuple[dict[str, Any], Space]:
    """Draw a point, by Optuna's names, with the distributions it is of."""
    params: dict[str, Any] = {}
    distributions: Space = {}
    for key, given in space.items():
        name = f"{branch}:{key}" if branch else key
        if given["type"] == "categorical":
            params[name] = rng.choice([*given["choices"]])
            distributions[name] = CategoricalDistribution([*given["choices"]])
            if isinstance(given["choices"], dict):
                inside = _drawn(given["choices"][params[name]], rng, str(params[name]))
                params, distributions = params | inside[0], distributions | inside[1]
            continue
        low, high, log = given["low"], given["high"], given.get("log", False)
        value = math.exp(rng.uniform(math.log(low), math.log(high))) if log else rng.uniform(low, high)
        is_int = given["type"] == "int"
        params[name] = round(value) if is_int else value
        distributions[name] = (IntDistribution if is_int else FloatDistribution)(low, high, log=log)
    return params, distributions
