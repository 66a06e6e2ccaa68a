"""Hidden representations of examples, an embedding of them, and linear probes for the class."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.config.registry import DATA
from ar_lightning.core.condition import Condition, Given, as_condition
from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.files import write_json, write_npz
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import MAX_CLASSES, Density
from ar_lightning.density.lengths import lengths_of, symbols_of
from ar_lightning.inference.evaluate import translator
from ar_lightning.inference.features.embedding import embedding_png
from ar_lightning.inference.features.hidden import Layer, layer_of, layer_outputs
from ar_lightning.inference.features.probe import ProbeComparison, Represented, compare_probes
from ar_lightning.inference.open import Run, open_run

__all__ = ["POOLS", "Features", "Pool", "features", "read_examples", "representations"]

Pool = Literal["mean", "max", "last", "none"]
POOLS: tuple[Pool, ...] = get_args(Pool)
MOST = 10_000  # examples of a split, and training examples of a probe, where no other number is asked for
VALUES = 2**22  # read at a time, at most
NUMBERS = 2**30  # of all representations of a split together, at most


@dataclass(frozen=True)
class Features:
    """Representations of a split that were written, and what a probe found."""

    layer: Layer  # which they are of
    pool: Pool  # how they were pooled over its sites
    examples: int  # number N of them
    features: int  # number F of each
    probe: ProbeComparison | None  # accuracies of linear probes; None where there is nothing to probe for
    reason: str | None  # why there is no probe, where there is none
    conditional: bool  # the training of the density was told labels
    files: dict[str, Path]  # what was written, by kind


def representations(
    density: Density, x: Tensor, cond: Given = None, layer: str | Layer | None = None,
    pool: Pool = "mean", batch: int = 256,
) -> Tensor:  # fmt: skip
    """Return a hidden representation `(N, F)` of each example, the same in any batch size.

    A conditional density reads each example once as of every class, and the mean over the classes is returned: no label
    is looked at, so a probe for the label can be fair.

    Args:
        density: a trained density; of several members, the first one reads.
        x: data values `(N, C, *sites)`.
        cond: a `Condition` with features or vectors, where the density reads such; labels in it are not looked at.
        layer: one of `layers(density)`, or its name; null for the hidden units that the output layer reads.
        pool: mean or max over the sites of the layer; its last site, which has read the most; none: all of them.
        batch: examples read at a time.

    Raises:
        UserError: the layer does not represent examples, there are too many classes, or the result would be too large.
    """
    chosen = layer if isinstance(layer, Layer) else layer_of(density, layer)
    if pool not in POOLS:
        raise UserError(f"--pool {pool}: no such pooling{did_you_mean(pool, POOLS)}")
    if density.conditional and density.spec.classes > MAX_CLASSES:
        raise UserError(f"this density is of {density.spec.classes} classes: read as of each, {MAX_CLASSES} at most")
    size = chosen.features * (chosen.sites if pool == "none" else 1)
    if len(x) * size > NUMBERS:
        numbers = f"{len(x)} x {size:,} numbers of layer {chosen.name}"
        raise UserError(f"--pool {pool}: {numbers} are too many; take --pool mean, or another --layer")
    density.check_values(x)
    condition = as_condition(cond)
    classes = range(density.model.classes or 1)
    parts = []
    for rows in tqdm(torch.arange(len(x)).split(batch), "reading examples", leave=False, unit=" batches", disable=None):
        here = x[rows].to(density.device)
        given = Condition(*(None if t is None else t[rows].to(density.device) for t in condition))
        total = torch.zeros(())
        for y in classes:
            labels = torch.full((len(rows),), y, device=density.device)
            output = layer_outputs(density, here, given._replace(labels=labels), chosen.name)[chosen.name]
            total = total.to(here.device) + _pooled(output, pool, _sizes(here, density.spec, output.shape[1]))
        parts.append((total / len(classes)).cpu())
    return torch.cat(parts)


def _sizes(x: Tensor, spec: DataSpec, n: int) -> Tensor | None:
    """Return how many of n hidden vectors of each example, one a site or one a value, are up to its end `(B,)`."""
    if spec.end is None:
        return None
    return lengths_of(x, spec.end) if n == spec.shape[-1] else symbols_of(x, spec)


def _pooled(maps: Tensor, pool: Pool, sizes: Tensor | None = None) -> Tensor:
    """Pool `(B, S, F)` over the sites: `(B, F)`, or `(B, S * F)` where nothing is pooled.

    Where examples are of different `sizes` `(B,)`, other sites are not looked at; they are 0 where nothing is pooled.
    """
    maps = maps if maps.dtype == torch.float64 else maps.float()
    if sizes is not None and maps.shape[1] > 1:
        over = torch.arange(maps.shape[1], device=maps.device)[:, None] >= sizes[:, None, None]
        match pool:
            case "mean":
                return maps.masked_fill(over, 0).sum(1) / sizes[:, None]
            case "max":
                return maps.masked_fill(over, -torch.inf).amax(1)
            case "last":
                return maps[torch.arange(len(maps)), sizes - 1]
        return maps.masked_fill(over, 0).flatten(1)
    match pool:
        case "mean":
            return maps.mean(1)
        case "max":
            return maps.amax(1)
        case "last":
            return maps[:, -1]
    return maps.flatten(1)


def features(
    run: str, data: str | None = None, layer: str | None = None, pool: Pool = "mean", split: str = "test",
    out: str | None = None, overrides: Sequence[str] = (), n: int = MOST,
) -> Features:  # fmt: skip
    """Write representations of a split and an embedding of them; probe them for the labels, beside the raw values.

    The files are `SPLIT.npz` (`features` `(N, F)`, and `labels` where there are any), `embedding.png` and, of labelled
    data, `probe.json`. Whatever the split, probes learn from the training split, are chosen by the validation split and
    judged on the test split.

    Args:
        run: the run directory or checkpoint.
        data: the name of a dataset that the density can take; null for the run's own.
        layer: as in `representations`.
        pool: as in `representations`.
        split: train, valid or test.
        out: the folder of the files; `features` in the run directory if null.
        overrides: `key=value` of the dataset, and of where to compute.
        n: examples of each split, at most, spread evenly over it; probes learn from no more than 10,000.

    Raises:
        UserError: the density cannot take the data, the layer does not represent it, or there is no such split.
    """
    if data is not None and data not in DATA:
        raise UserError(f"--data {data}: no such dataset{did_you_mean(data, DATA)}")
    if split not in SPLITS:
        raise UserError(f"--split {split}: no such split{did_you_mean(split, SPLITS)}")
    opened = open_run(run, [*([] if data is None else [f"data.name={data}"]), *overrides], resize=True)
    module, chosen, conditional = opened.data(), layer_of(opened.density, layer), opened.density.conditional
    shown = read_examples(opened, module, split, chosen, pool, n)
    if len(shown.hidden) < (size := module.size(split)):
        notice(f"{split}: {len(shown.hidden):,} of {size:,} examples, spread evenly; --n takes more")
    reason, comparison = _no_probe(module), None
    if reason is None:
        train, valid, test = (
            shown if name == split and most == n else read_examples(opened, module, name, chosen, pool, most)
            for name, most in zip(SPLITS, (min(n, MOST), n, n), strict=True)
        )
        comparison = compare_probes(train, valid, test)
    folder = Path(out).expanduser() if out else opened.folder / "features"
    files = {"representations": folder / f"{split}.npz", "embedding": folder / "embedding.png"}
    kept = {"features": shown.hidden}
    if shown.labels is not None:
        kept["labels"] = np.array([module.spec.label_of(y) for y in shown.labels.tolist()])
    write_npz(kept, files["representations"])
    panels = {f"layer {chosen.name}, {pool} over {chosen.sites} sites": shown.hidden, "raw values": shown.raw}
    title = f"{opened.config['data']['name']}, {split}"
    embedding_png(panels, shown.labels, files["embedding"], title, module.spec.label_of)
    if comparison is not None:
        files["probe"] = folder / "probe.json"
        told = {"layer": chosen.name, "pool": pool, "conditional": conditional}
        write_json(told | asdict(comparison), files["probe"])
    n, width = shown.hidden.shape
    return Features(chosen, pool, n, width, comparison, reason, conditional, files)


def _no_probe(module: ArrayDataModule) -> str | None:
    """Return why there is nothing to probe for, or None."""
    for name in SPLITS:
        if as_condition(module.split(name, 1)[1]).labels is None:
            return f"the {name} examples of this data have no labels"
    if int((module.class_prior() > 0).sum()) < 2:
        return "the training examples are all of one class"
    return None


def read_examples(
    opened: Run, module: ArrayDataModule, split: str, layer: Layer, pool: Pool, most: int | None = None
) -> Represented:
    """Return the representations, raw values and labels of a split, or of at most so many examples of it."""
    density = opened.density
    read = translator(density, module)
    x, cond = module.split(split, most)
    x, condition = read(x, torch.arange(len(x))), as_condition(cond)
    with opened.computing():
        size = max(1, min(256, VALUES // density.spec.dims))
        hidden = representations(density, x, condition, layer, pool, size)
    also = (density.model.features, condition.features), (density.model.context, condition.context)
    table = density.spec.medium
    raw = [
        _numbers(x, table) if isinstance(table, MixedTable) else x,
        *(t for reads, t in also if reads and t is not None),
    ]
    numbers = torch.cat([t.flatten(1).float() for t in raw], 1)
    return Represented(hidden.numpy(), numbers.numpy(), None if condition.labels is None else condition.labels.numpy())


def _numbers(x: Tensor, table: MixedTable) -> Tensor:
    """Return rows `(N, 1, D)` of a mixed table as numbers `(N, ...)`: one for each level, and standardised numbers.

    A missing number is the centre of its column; a missing level is none of them.
    """
    parts = []
    for d, column in enumerate(table.columns):
        cells = x[:, 0, d].float()
        if column.kind == "category":
            parts.append((cells[:, None] == torch.arange(len(column.levels))).float())
        else:
            parts.append((cells.nan_to_num() * column.unit / column.scale)[:, None])
    return torch.cat(parts, 1)
