"""The numbers of a training that `result.json` keeps: likelihoods, size, seconds, and where they come from."""

import math
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import lightning.pytorch as pl

from ar_lightning import __version__
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.media.text import bits_per_character
from ar_lightning.training.lit import LitDensity
from ar_lightning.training.progress import Throughput
from ar_lightning.training.provenance import git_revision, machine

__all__ = ["result_of"]

TESTED = ("test/nll", "test/bpd", "test/accuracy")  # a trial of a sweep is not tested; only conditional ones classify


def result_of(
    config: dict[str, Any], trainer: pl.Trainer, lit: LitDensity, data: ArrayDataModule, throughput: Throughput,
    written_at: tuple[int, int],
) -> dict[str, Any]:  # fmt: skip
    """Return what `result.json` says of a training that has ended, before samples are drawn.

    The density has its best weights, which were `written_at` an epoch and step, and, except in a trial of a sweep, has
    been tested.
    """
    metrics = trainer.callback_metrics
    best = trainer.checkpoint_callbacks[0].best_model_score  # type: ignore[attr-defined]
    model, has_bpd = lit.density.model, data.spec.has_bpd
    members, reach = model.members, model.receptive_field
    given = ["the label"] * bool(model.classes) + ["a vector"] * bool(model.context)
    given += ["aligned features"] * bool(model.features) + _given_columns(data.spec)
    return {
        "experiment": config["experiment"],
        "model": config["model"]["name"],
        "data": config["data"]["name"],
        "regime": data.regime,
        **({"init_from": config["init_from"]} if config["init_from"] else {}),
        **{key: float(metrics[key]) for key in TESTED if key in metrics and (has_bpd or "bpd" not in key)},
        **(_test_set(config, data, trainer.world_size) if "test/nll" in metrics else {}),
        **(_bits_per_character(float(metrics["test/nll"]), config, data) if "test/nll" in metrics else {}),
        **(dict(zip(("tested_epoch", "tested_step"), written_at, strict=True)) if "test/nll" in metrics else {}),
        **({"members": members} if members > 1 else {}),
        **({"test/nll_by_members": lit.mixtures} if lit.mixtures else {}),
        **({"given": " and ".join(given)} if model.context or data.spec.given else {}),  # else the config says it
        **({} if reach is None else {"receptive_field": reach}),
        "val/nll": None if best is None else float(best),
        **({"val/bpd": None if best is None else float(best) / (data.dims("valid") * math.log(2))} if has_bpd else {}),
        **({} if has_bpd else {"columns": [asdict(share) for share in lit.columns]}),
        "parameters": sum(p.numel() for p in lit.parameters()),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds_training": round(throughput.seconds, 3),
        "seconds_total": round(throughput.total_seconds, 1),
        "seed": config["seed"],
        "world_size": trainer.world_size,
        "device": str(lit.device),
        "machine": machine(str(lit.device)),
        "pictures": {},
        "versions": {
            "ar_lightning": __version__, "python": sys.version.split()[0],
            **{name: version(name) for name in ("torch", "lightning", "numpy")},
        },
        "git": git_revision(),
    }  # fmt: skip


def _given_columns(spec: DataSpec) -> list[str]:
    names = spec.medium.names[: spec.given] if isinstance(spec.medium, MixedTable) else ()
    return [f"the column{'s' * (len(names) > 1)} {', '.join(names)}"] if names else []


def _test_set(config: dict[str, Any], data: ArrayDataModule, world: int) -> dict[str, float | int]:
    """Return how many examples were tested and, for all of a synthetic test set, its likelihood under the true model.

    Each process of the `world` tests `trainer.limit_test` batches.
    """
    examples, limit = data.size("test"), config["trainer"]["limit_test"]
    if limit is not None:
        return {"test_examples": min(examples, limit * world * -(-data.eval_batch_size // world))}
    truth = data.true_nll()
    if truth is None:
        return {"test_examples": examples}
    in_bits = {"test/true_bpd": truth / (data.dims("test") * math.log(2))} if data.spec.has_bpd else {}
    return {"test_examples": examples, "test/true_nll": truth, **in_bits}


def _bits_per_character(nll: float, config: dict[str, Any], data: ArrayDataModule) -> dict[str, float]:
    """Return the bits of each character of a test text of tokens: an upper bound, since others spell the same text."""
    whole = config["trainer"]["limit_test"] is None
    bits = bits_per_character(nll, data.split("test")[0], data.spec) if whole else None
    return {} if bits is None else {"test/bits_per_character": bits}
