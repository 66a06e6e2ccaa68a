"""Examples that a person gives as files, read in the terms of a density: its shape, levels, units and characters."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Audio, Table, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Split, Splits, read_npz
from ar_lightning.data.cache import open_image
from ar_lightning.data.columns import read_columns
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.user.audio_folder import SUFFIXES as SOUNDS
from ar_lightning.data.user.audio_folder import SoundFormat, read_audio
from ar_lightning.data.user.image_folder import SUFFIXES as IMAGES
from ar_lightning.data.user.image_folder import fitted
from ar_lightning.inference.npz import channels_first, labels_of, name_of_examples
from ar_lightning.media.text import to_levels

__all__ = ["Given", "GivenDataset", "given_data", "read_given", "read_picture"]

ELEMENTS = 2**22  # values read at a time, at most


class Given(NamedTuple):
    """Examples from a file or folder.

    Args:
        split: their values, labels and features.
        names: of the file that each comes from, where there are several files.
    """

    split: Split
    names: list[str] | None = None


class GivenDataset(Dataset):
    """Given examples as a dataset, which has the same ones in all splits.

    Args:
        given: the examples.
        spec: of the density that they are for.
    """

    def __init__(self, given: Given, spec: DataSpec) -> None:
        self.given = given
        self.contiguous = isinstance(spec.medium, Text)
        # To a dequantised density, what is given are levels; noise is added as to its own data.
        self.spec_of_values = replace(spec, levels=spec.levels or spec.quantised, quantised=None)

    @property
    def spec(self) -> DataSpec:
        """That of the density."""
        return self.spec_of_values

    @property
    def regime(self) -> str:
        """How many there are."""
        return f"{len(self.given.split.x)} given examples"

    def load(self) -> Splits:
        """Return all examples as each split."""
        return dict.fromkeys(("train", "valid", "test"), self.given.split)


def read_given(path: Path, spec: DataSpec, split: str = "test") -> Given:
    """Read examples for a density: .npz, images, sound, text or a table, from a file or, of several, a folder.

    Args:
        path: the file or folder.
        spec: of the density.
        split: which one to take of an .npz file that has several.

    Raises:
        UserError: it cannot be read, or is of another kind or shape than the density takes, or holds illegal
            values; the message says which example does.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    given = _read(path, spec, split)
    return given._replace(split=replace(given.split, x=_checked(path, given, spec)))


def given_data(given: Given, spec: DataSpec, seed: int, stream: bool = False) -> ArrayDataModule:
    """Return given examples in batches of a sensible size, with noise where the density reads levels with noise.

    Args:
        given: the examples.
        spec: of the density.
        seed: of the noise.
        stream: read the windows of a text in order, in one lane, each given those before.
    """
    dataset = GivenDataset(given, spec)
    stream = stream and dataset.contiguous
    size = 1 if stream else max(1, min(256, ELEMENTS // spec.dims))
    return ArrayDataModule(dataset, seed, batch_size=size, dequantise=spec.quantised is not None, stream=stream)


def read_picture(path: Path, spec: DataSpec) -> np.ndarray:
    """Return levels `(C, H, W)` of an image file: its central part in the right proportions, as ImageFolder takes it.

    Raises:
        UserError: it is no picture, or the density takes none.
    """
    levels = spec.levels or spec.quantised
    if levels is None or len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        raise UserError(f"{path}: this density takes {spec}, no levels of grey or colour: give them as an .npz file")
    channels, height, width = spec.shape
    pixels = open_image(path, channels, lambda image: fitted(image, height, width))
    return pixels.astype(np.int64) * levels // 256


def _read(path: Path, spec: DataSpec, split: str) -> Given:
    if path.suffix == ".npz":
        return Given(_of_npz(path, spec, split))
    match spec.medium:
        case Audio():
            return _joined(path, SOUNDS, "recordings", lambda file: _sound(file, spec))
        case Text():
            return Given(Split(_text(path, spec)))
        case Table():
            return Given(Split(_table(path, spec.medium)))
    return _joined(path, IMAGES, "images", lambda file: read_picture(file, spec)[None])


def _checked(path: Path, given: Given, spec: DataSpec) -> np.ndarray:
    """Return values as they are kept, all of which are legal: whole numbers `0..levels-1`, or finite ones."""
    x, levels = given.split.x, spec.levels or spec.quantised
    legal = np.isfinite(x) if levels is None else (x >= 0) & (x < levels) & (x == np.floor(x))
    if not legal.all():
        i, *site = np.argwhere(~legal)[0].tolist()
        where = f"example {i} ({given.names[i]})" if given.names else f"example {i}"
        needs = "finite numbers" if levels is None else f"whole numbers 0..{levels - 1}"
        raise UserError(f"{path}: {where} holds {x[(i, *site)]:g}; this density takes {needs}: mend or remove it")
    return x.astype(np.float32 if levels is None else np.uint8 if levels <= 256 else np.int32)


def _joined(path: Path, suffixes: tuple[str, ...], things: str, read: Callable[[Path], np.ndarray]) -> Given:
    """Read a file, or all files of a folder and below that have one of these endings."""
    if path.is_file():
        return Given(Split(read(path)))
    files = sorted(f for f in path.rglob("*") if f.suffix.lower() in suffixes and not f.name.startswith("."))
    if not files:
        raise UserError(f"{path}: no {things} ({', '.join(suffixes)}) in this folder or below")
    from tqdm import tqdm

    parts = [read(file) for file in tqdm(files, path.name, leave=False, unit=" files", disable=None)]
    names = [str(f.relative_to(path)) for f, part in zip(files, parts, strict=True) for _ in part]
    return Given(Split(np.concatenate(parts)), names)


def _sound(path: Path, spec: DataSpec) -> np.ndarray:
    """Return `(n, 1, T)`: all whole examples of a recording, as AudioFolder takes them."""
    if not isinstance(spec.medium, Audio):
        raise AssertionError("the caller knows that this is sound")
    form = SoundFormat(spec.medium.rate, spec.shape[-1], spec.levels or spec.quantised, spec.medium.encoding)
    return form.examples(read_audio(path, form.rate), every=True)


def _text(path: Path, spec: DataSpec) -> np.ndarray:
    """Return windows `(n, 1, T)` that follow each other; what is left over at the end is dropped."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: cannot be read as text in UTF-8 ({error})") from None
    levels, length = to_levels(text, spec)[0, 0].numpy(), spec.shape[-1]
    n = len(levels) // length
    if not n:
        raise UserError(f"{path}: {len(levels)} characters or bytes are less than a window of {length}")
    return levels[: n * length].reshape(n, 1, length)


def _table(path: Path, table: Table) -> np.ndarray:
    """Return rows `(n, 1, D)`, standardised as the density's training data was; other columns are left out."""
    columns, rows = read_columns(path)
    x = next(iter(rows.values()))
    if set(table.columns) <= set(columns):
        x = x[:, [columns.index(name) for name in table.columns]]
    elif columns != tuple(f"x{d}" for d in range(len(table.columns))):  # as columns without names are called
        missing = next(name for name in table.columns if name not in columns)
        raise UserError(f"{path}: no column '{missing}'; this density takes {', '.join(table.columns)}")
    return ((x - np.asarray(table.offset)) / np.asarray(table.scale)).astype(np.float32)[:, None]


def _of_npz(path: Path, spec: DataSpec, split: str) -> Split:
    """Return a split of the arrays that `data.name=npz` takes, or all examples where the file has one array of them."""
    arrays = read_npz(path)
    name = name_of_examples(arrays, split, str(path))
    if arrays[name].dtype.kind not in "buif":
        raise UserError(f"{path}: '{name}' holds {arrays[name].dtype} values; save booleans, integers or floats")
    x = channels_first(arrays[name], spec, f"{path}: '{name}'")
    if isinstance(spec.medium, Table):
        x = (x - np.asarray(spec.medium.offset)) / np.asarray(spec.medium.scale)
    labels = labels_of(arrays, name, spec.classes, str(path))
    key = f"{name.removesuffix('_images')}_features"
    features = arrays.get(key)
    if spec.features and (features is None or features.shape != (len(x), spec.features, *spec.shape[1:])):
        expected = ", ".join(map(str, (len(x), spec.features, *spec.shape[1:])))
        raise UserError(f"{path}: this density reads features: save '{key}' of shape ({expected})")
    given = None if features is None or not spec.features else features.astype(np.float32)
    return Split(x, None if labels is None else labels.astype(np.int64), given)
