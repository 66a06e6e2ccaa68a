"""Outliers, which a density is to tell from its own data: noise, constants, another dataset, or files.

All of them are brought to the shape, levels, units and characters of the density: levels int64, also where the density
reads them with noise, or real values float32. Labels are dropped, also of its own examples: outliers have none.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ar_lightning.config.build import build_dataset
from ar_lightning.config.registry import DATA
from ar_lightning.config.schema import schema_of
from ar_lightning.core.condition import as_condition
from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Split
from ar_lightning.data.module import ArrayDataModule, Batch
from ar_lightning.data.npz_file import npz_names, read_npz
from ar_lightning.data.user.keys import examples_in
from ar_lightning.data.user.npz import channels_first
from ar_lightning.density.density import Density
from ar_lightning.density.lengths import after_end, blank
from ar_lightning.inference.evaluate import translator
from ar_lightning.inference.inputs import InputDataset, background_of, read_inputs
from ar_lightning.inference.open import Run, open_run
from ar_lightning.inference.rows import read_table_rows
from ar_lightning.media.choose import media_of
from ar_lightning.media.images import is_image
from ar_lightning.media.picture import fitted
from ar_lightning.media.plots import evenly
from ar_lightning.media.table import Tables

__all__ = ["SYNTHETIC", "Outliers", "fitted_levels", "outliers", "own_examples", "spread", "training_examples"]

SYNTHETIC = ("noise", "constant")


def own_examples(density: Density, data: ArrayDataModule, n: int) -> Split:
    """Return n test examples of the density's own data, spread evenly."""
    return _examples(density, data.split("test", n))


def training_examples(density: Density, data: ArrayDataModule, n: int, seed: int) -> Split:
    """Return n training examples, spread evenly, as the training saw them: flipped or binarised at random, say."""
    x, cond = data.split("train", n)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _examples(density, (data.dataset.augment(x), cond))


def spread(split: Split, n: int) -> Split:
    """Return n examples, spread evenly over all of them, or all."""
    return split.at(evenly(len(split.x), n))


class Outliers(NamedTuple):
    """Outliers, and sentences about how they were brought to the shape and levels of the density."""

    split: Split
    changes: tuple[str, ...] = ()


def outliers(opened: Run, run: str, against: str, train: Split, own: Split, n: int) -> Outliers:
    """Return up to n outliers: one of `SYNTHETIC`, test examples of the dataset of that name, or of a file or folder.

    Real noise has the range of the training examples. Where the density reads features or vectors and the outliers have
    none, they get those of its own examples.
    """
    density, changes = opened.density, tuple[str, ...]()
    if against in SYNTHETIC:
        random = np.random.RandomState(opened.config["seed"] % 2**32)
        found = Split(_synthetic(against, density.spec, train.x, n, random))
    elif against in DATA:
        found, changes = _of_dataset(run, against, density, n)
    else:
        path = Path(against).expanduser()
        if not path.exists():
            hint = did_you_mean(against, [*SYNTHETIC, *DATA])
            raise UserError(f"--against {against}: no such file, dataset or synthetic data{hint}")
        if quantised := _quantised(path, density.spec):
            found, changes = quantised
        elif density.spec.support == "mixed":
            found = Split(read_table_rows(path, density.spec, opened.config, holes=density.model.orderless).x)
        else:
            split, _, notes = read_inputs(path, density.spec, background=background_of(opened.config))
            found = replace(split, x=_typed(torch.from_numpy(split.x), density.spec), labels=None)
            changes = tuple(f"Files of the outliers: {note}." for note in notes)
        found = spread(found, n)
    for kind in ("features", "context"):
        if getattr(own, kind) is not None and getattr(found, kind) is None:
            found = spread(found, len(own.x))
            found = replace(found, **{kind: getattr(own, kind)[: len(found.x)]})
    return Outliers(found, changes)


def _synthetic(kind: str, spec: DataSpec, train: np.ndarray, n: int, random: np.random.RandomState) -> np.ndarray:
    """Return n synthetic examples `(n, C, *sites)`.

    Real values are drawn between the extremes of the training data, in each column of a table. What is constant in a
    table is the quantile: every column has the same one.
    """
    levels, shape = spec.without_noise().levels or 0, (n, *spec.shape)
    one = (n, *[1] * len(spec.shape))  # a value for all of an example
    if levels:
        drawn = random.randint(levels, size=shape if kind == "noise" else one)
        drawn = np.broadcast_to(drawn, shape).astype(np.int64)
        if spec.end is not None:
            x = torch.from_numpy(drawn)
            drawn = torch.where(after_end(x, spec.end), blank(x, spec.end), x).numpy()
        return drawn
    media = media_of(spec)
    if isinstance(spec.medium, MixedTable):
        at = random.random_sample(shape if kind == "noise" else one)
        return _between(train, at, spec.medium)
    if kind == "constant" and isinstance(media, Tables):
        return np.quantile(train, random.random_sample(n), axis=0).astype(np.float32)
    low, high = (extreme(train, axis=None if media.shift_invariant else 0) for extreme in (np.min, np.max))
    uniform = random.random_sample(shape if kind == "noise" else one)
    drawn = np.broadcast_to(low + (high - low) * uniform, shape).astype(np.float32)
    if spec.end is not None:  # they end where training examples do
        drawn[:, 0] = train[random.randint(len(train), size=n), 0]
        x = torch.from_numpy(drawn)
        drawn = torch.where(after_end(x, spec.end), blank(x, spec.end), x).numpy()
    return drawn


def _between(train: np.ndarray, at: np.ndarray, table: MixedTable) -> np.ndarray:
    """Return rows `(n, 1, D)` between the extremes of training rows, at fractions `at`; what is given is theirs.

    Levels and whole numbers stay whole. No cell is missing, unless all of its column are.
    """
    at = np.broadcast_to(at, (len(at), 1, train.shape[2]))
    found = np.empty(at.shape)
    for d, column in enumerate(table.columns):
        known = train[:, 0, d][~np.isnan(train[:, 0, d])]
        low, high = (float(known.min()), float(known.max())) if len(known) else (np.nan, np.nan)
        found[:, :, d] = low + (high - low) * at[:, :, d]
        if column.kind == "category" or column.is_whole:
            found[:, :, d] = np.floor(low + (high - low + 1 - 1e-6) * at[:, :, d])
        if d < table.given:
            found[:, :, d] = train[np.arange(len(at)) % len(train), :, d]
    return found.astype(np.float32)


def _quantised(path: Path, spec: DataSpec) -> Outliers | None:
    """Return the pictures of an .npz file on more levels than the density, quantised; None where there is no need."""
    levels = spec.without_noise().levels or 0
    if path.suffix != ".npz" or not is_image(spec) or not path.is_file():
        return None
    name = examples_in(npz_names(path), "test", path).x
    array = read_npz(path, (name,)).get(name, np.array(""))
    if array.dtype.kind not in "uif" or not array.size or not levels <= array.max() < 256:
        return None
    if (array < 0).any() or (array != np.floor(array)).any():
        return None
    theirs = 256 if array.max() > 127 else int(array.max()) + 1
    of = replace(spec.without_noise(), levels=theirs)
    x = channels_first(array, f"{path}: '{name}'", spec.shape)
    return Outliers(Split(fitted_levels(x, of, spec)), _changes(of, spec))


def _changes(of: DataSpec, spec: DataSpec) -> tuple[str, ...]:
    """Say how images of a spec are brought to that of a density."""
    changes = []
    if of.shape[1:] != spec.shape[1:]:
        (height, width), (h, w) = of.shape[1:], spec.shape[1:]
        how = "enlarged" if h > height else "shrunk"
        changes.append(f"The outliers are {how} from {width} x {height} to {w} x {h}, which alone may tell them.")
    if of.shape[0] != spec.shape[0]:
        changes.append("The outliers are in colour and made grey." if of.shape[0] == 3 else "The outliers are grey.")
    if of.levels != (levels := spec.without_noise().levels):
        changes.append(f"The outliers are quantised from {of.levels} to {levels} levels.")
    return tuple(changes)


def _of_dataset(run: str, name: str, density: Density, n: int) -> Outliers:
    """Return test examples of another dataset, with the settings of the run's own data where it has the same ones."""
    spec = density.spec
    config = open_run(run, [f"data.name={name}"]).config
    section = config["data"]
    dataset = build_dataset(section)
    if is_image(spec) and is_image(dataset.spec):
        if (dataset.spec.shape, dataset.spec.levels) != (spec.shape, spec.without_noise().levels):
            # As it comes: quantised twice, or shrunk after it was quantised, it would be coarser than the run's data.
            fields = schema_of(DATA[name]).fields
            plain = {key: fields[key].default for key in ("levels", "binarize", "size") if key in fields}
            dataset = build_dataset(section | plain)
        x, _ = ArrayDataModule(dataset).split("test", n)
        return Outliers(Split(fitted_levels(x.numpy(), dataset.spec, spec)), _changes(dataset.spec, spec))
    data = ArrayDataModule(dataset, config["seed"], dequantise=spec.quantised is not None and bool(dataset.spec.levels))
    x, cond = data.split("test", n)
    # None of what is given is read here.
    same = replace(data.spec, classes=spec.classes, labels=spec.labels, features=spec.features, context=spec.context)
    read = translator(density, ArrayDataModule(InputDataset(Split(x.numpy()), same)))
    theirs, given = data.spec, as_condition(cond)
    given = given._replace(
        features=given.features if theirs.features == spec.features else None,
        context=given.context if len(theirs.context) == len(spec.context) else None,
    )
    return Outliers(_examples(density, (read(x, torch.arange(len(x))), given)))


def fitted_levels(x: np.ndarray, of: DataSpec, spec: DataSpec) -> np.ndarray:
    """Bring images of a spec, levels `(N, C, H, W)`, to that of a density, as `read_image` brings files; int64."""
    levels = spec.without_noise().levels or 0
    if (of.shape, of.levels) == (spec.shape, levels):
        return x.astype(np.int64)
    channels, height, width = spec.shape
    pixels = (x * 255.0 / ((of.levels or 0) - 1)).round().astype(np.uint8).transpose(0, 2, 3, 1)
    images = [Image.fromarray(p[..., 0] if p.shape[-1] == 1 else p) for p in pixels]
    ready = [fitted(image.convert("L" if channels == 1 else "RGB"), height, width) for image in images]
    fit = np.stack([np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1) for image in ready])
    return fit.astype(np.int64) * levels // 256


def _examples(density: Density, batch: Batch) -> Split:
    """Return a batch without labels, and without features and vectors that the density does not read."""
    _, features, context = as_condition(batch[1])
    kept = [features if density.model.features else None, context if density.model.context else None]
    return Split(_typed(batch[0], density.spec), None, *(None if t is None else t.numpy() for t in kept))


def _typed(x: Tensor, spec: DataSpec) -> np.ndarray:
    """Return levels, without noise, as int64; real values as float32."""
    values: np.ndarray = media_of(spec).without_noise(x).numpy()
    return values.astype(np.float32 if spec.without_noise().levels is None else np.int64)
