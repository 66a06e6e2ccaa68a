"""The log-likelihood of each example under a trained density, as a table: `python run.py score RUN --data FILE`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ar_lightning.config.registry import DATA
from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.files import write_csv
from ar_lightning.core.notice import notice
from ar_lightning.inference.evaluate import log_class_prior, scores
from ar_lightning.inference.inputs import background_of, input_data, read_inputs
from ar_lightning.inference.open import open_run

__all__ = ["score"]


def score(
    run: str, data: str | None = None, split: str = "test", out: str = "scores.csv", overrides: Sequence[str] = ()
) -> dict[str, float]:
    """Write log p(x), or log p(x | y) where a conditional density is given labels, of each example, in their order.

    The columns are index, nats (log p), bits_per_dim (-log p), label where there are labels, p_label (that is p(y | x))
    where a conditional density is given them, and file where examples come from several.

    Args:
        run: the run directory or checkpoint.
        data: a file or folder of examples, or the name of a dataset; null for the run's own.
        split: of the dataset, test or valid; of an .npz file any.
        out: the CSV file.
        overrides: `key=value` of the dataset, and of where to compute.

    Returns:
        `examples`, `nll` their mean in nats and `bpd` in bits per dimension.

    Raises:
        UserError: the density cannot take the data, or an example holds illegal values.
    """
    path = None if data is None or data in DATA else Path(data).expanduser()
    if path is not None and not path.exists():
        raise UserError(f"--data {data}: no such file, nor a dataset{did_you_mean(data, DATA)}")
    if path is not None and any(o.startswith("data") for o in overrides):
        raise UserError(f"--data {data}: a file has no keys data.*; they go with the name of a dataset")
    chosen = [f"data.name={data}", *overrides] if data in DATA else overrides
    opened = open_run(run, chosen, resize=path is None)
    density = opened.density
    inputs = None if path is None else read_inputs(path, density.spec, split, background_of(opened.config))
    if inputs and inputs.notes:
        notice(f"{data}: {', '.join(inputs.notes)}")
    if inputs is None:
        module = opened.data()
        prior = log_class_prior(density, module)
    else:
        module = input_data(inputs.split, density.spec, opened.config["seed"], opened.config["data"]["stream"])
        prior = log_class_prior(density, opened.data()) if density.conditional else None
        if prior is None and density.conditional and inputs.split.labels is None:
            raise UserError(f"--data {data}: this density is conditional: give labels, in an .npz file")
    with opened.computing():
        parts = list(scores(density, module, split if inputs is None else "test", log_prior=prior))
    rows = torch.cat([part.rows for part in parts]).argsort()  # a stream is read in lanes
    nll = torch.cat([part.nll for part in parts]).double().cpu()[rows]
    bits = nll / (density.spec.dims * math.log(2))
    columns: dict[str, Any] = {"index": range(len(nll)), "nats": _text(-nll), "bits_per_dim": _text(bits)}
    if all(part.labels is not None for part in parts):
        labels = torch.cat([part.labels for part in parts if part.labels is not None]).cpu()[rows]
        columns["label"] = [module.spec.label_of(y) for y in labels.tolist()]
        if prior is not None:
            joint = torch.cat([part.log_joint for part in parts if part.log_joint is not None]).cpu()[rows]
            columns["p_label"] = _text(joint.softmax(1).gather(1, labels[:, None])[:, 0])
    if inputs and inputs.names:
        columns["file"] = inputs.names
    write_csv(columns, zip(*columns.values(), strict=True), Path(out).expanduser())
    return {"examples": len(nll), "nll": float(nll.mean()), "bpd": float(bits.mean())}


def _text(values: Tensor) -> list[str]:
    """Write numbers with all their digits of single precision."""
    return [f"{value:.9g}" for value in values.tolist()]
