"""Examples that a person has as files, read in the terms of a density: its shape, levels, units and characters."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Split, Splits, read_npz
from ar_lightning.data.cache import open_image
from ar_lightning.data.columns import read_columns
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.user.audio_folder import SUFFIXES as SOUNDS
from ar_lightning.data.user.audio_folder import SoundFormat
from ar_lightning.data.user.image_folder import SUFFIXES as IMAGES
from ar_lightning.data.user.image_folder import fitted
from ar_lightning.inference.npz import channels_first, labels_of, name_of_examples
from ar_lightning.media.choose import media_of
from ar_lightning.media.recording import read_audio
from ar_lightning.media.sound import Sounds
from ar_lightning.media.table import Tables
from ar_lightning.media.text import Texts

__all__ = ["InputDataset", "Inputs", "input_data", "read_image", "read_inputs"]

ELEMENTS = 2**22  # values read at a time, at most


class Inputs(NamedTuple):
    """Examples from a file or folder.

    Args:
        split: their values, labels and features.
        names: the file of each example, where there are several files.
    """

    split: Split
    names: list[str] | None = None


class InputDataset(Dataset):
    """Examples as a dataset, the same ones in all splits.

    Args:
        split: the examples.
        spec: of their values; levels where a density adds noise to them.
    """

    def __init__(self, split: Split, spec: DataSpec) -> None:
        self.split = split
        self.input_spec = spec
        self.contiguous = isinstance(media_of(spec), Texts)

    @property
    def spec(self) -> DataSpec:
        """Spec of the examples."""
        return self.input_spec

    @property
    def regime(self) -> str:
        """Number of examples."""
        return f"{len(self.split.x)} given examples"

    def load(self) -> Splits:
        """Return all examples as each split."""
        return dict.fromkeys(("train", "valid", "test"), self.split)


def read_inputs(path: Path, spec: DataSpec, split: str = "test") -> Inputs:
    """Read examples for a density: .npz, images, sound, text or a table; of images and sound also a folder.

    Args:
        path: the file or folder.
        spec: of the density.
        split: which split to take of an .npz file that has several.

    Raises:
        UserError: the file cannot be read, its examples are of another kind or shape than the density takes, or one
            holds illegal values; the message names the example.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    found = _read(path, spec, split)
    x = _checked(path, found, spec)
    return found._replace(split=Split(x, found.split.labels, found.split.features))


def input_data(split: Split, spec: DataSpec, seed: int, stream: bool = False) -> ArrayDataModule:
    """Return examples in batches of a sensible size, with noise where the density reads levels with noise.

    Args:
        split: the examples.
        spec: of the density.
        seed: of the noise.
        stream: read the windows of a text in order, each as a continuation of those before.
    """
    dataset = InputDataset(split, spec.without_noise())
    stream = stream and dataset.contiguous
    size = 1 if stream else max(1, min(256, ELEMENTS // spec.dims))
    return ArrayDataModule(dataset, seed, batch_size=size, dequantise=spec.quantised is not None, stream=stream)


def read_image(path: Path, spec: DataSpec) -> np.ndarray:
    """Return levels `(C, H, W)` of an image file: its central part in the right proportions, as ImageFolder takes it.

    Raises:
        UserError: it is no image, or the density takes none.
    """
    levels = spec.without_noise().levels
    if levels is None or len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        raise UserError(f"{path}: this density takes {spec}, no levels of grey or colour: give them as an .npz file")
    channels, height, width = spec.shape
    pixels = open_image(path, channels, lambda image: fitted(image, height, width))
    return pixels.astype(np.int64) * levels // 256


def _read(path: Path, spec: DataSpec, split: str) -> Inputs:
    """Read a file by its kind: .npz, or what the medium of the density is kept in."""
    media = media_of(spec)
    if path.suffix == ".npz":
        return Inputs(_arrays(path, spec, split))
    match media:
        case Sounds():
            return _joined(path, SOUNDS, "recordings", lambda file: _sound(file, media))
        case Texts():
            return Inputs(Split(_text(path, media)))
        case Tables():
            return Inputs(Split(_rows(path, media)))
    return _joined(path, IMAGES, "images", lambda file: read_image(file, spec)[None])


def _checked(path: Path, inputs: Inputs, spec: DataSpec) -> np.ndarray:
    """Return values in the type they are kept in, if all are legal: whole numbers `0..levels-1`, or finite ones."""
    x, levels = inputs.split.x, spec.without_noise().levels
    legal = np.isfinite(x) if levels is None else (x >= 0) & (x < levels) & (x == np.floor(x))
    if not legal.all():
        i, *site = np.argwhere(~legal)[0].tolist()
        where = f"example {i} ({inputs.names[i]})" if inputs.names else f"example {i}"
        needs = "finite numbers" if levels is None else f"whole numbers 0..{levels - 1}"
        raise UserError(f"{path}: {where} holds {x[(i, *site)]:g}; this density takes {needs}: mend or remove it")
    return x.astype(np.float32 if levels is None else np.uint8 if levels <= 256 else np.int32)


def _joined(path: Path, suffixes: tuple[str, ...], things: str, read: Callable[[Path], np.ndarray]) -> Inputs:
    """Read a file, or all files of a folder and its sub-folders that have one of these endings."""
    if path.is_file():
        return Inputs(Split(read(path)))
    files = sorted(f for f in path.rglob("*") if f.suffix.lower() in suffixes and not f.name.startswith("."))
    if not files:
        raise UserError(f"{path}: no {things} ({', '.join(suffixes)}) in this folder or below")
    from tqdm import tqdm

    parts = [read(file) for file in tqdm(files, path.name, leave=False, unit=" files", disable=None)]
    names = [str(f.relative_to(path)) for f, part in zip(files, parts, strict=True) for _ in part]
    return Inputs(Split(np.concatenate(parts)), names)


def _sound(path: Path, media: Sounds) -> np.ndarray:
    """Return all whole examples `(n, 1, T)` of a recording, as AudioFolder takes them."""
    spec = media.spec
    form = SoundFormat(media.rate, spec.shape[-1], spec.without_noise().levels, media.encoding)
    return form.examples(read_audio(path, form.rate), every=True)


def _text(path: Path, media: Texts) -> np.ndarray:
    """Return windows `(n, 1, T)` that follow each other; what is left over at the end is dropped."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: cannot be read as text in UTF-8 ({error})") from None
    levels, length = media.levels(text)[0, 0].numpy(), media.spec.shape[-1]
    n = len(levels) // length
    if not n:
        raise UserError(f"{path}: {len(levels)} characters or bytes are less than a window of {length}")
    return levels[: n * length].reshape(n, 1, length)


def _rows(path: Path, media: Tables) -> np.ndarray:
    """Return rows `(n, 1, D)`, standardised as the density's training data was; other columns are left out."""
    columns, rows = read_columns(path)
    x = next(iter(rows.values()))
    if set(media.columns) <= set(columns):
        x = x[:, [columns.index(name) for name in media.columns]]
    elif columns != tuple(f"x{d}" for d in range(len(media.columns))):  # as columns without names are called
        missing = next(name for name in media.columns if name not in columns)
        raise UserError(f"{path}: no column '{missing}'; this density takes {', '.join(media.columns)}")
    return media.standardised(x).astype(np.float32)[:, None]


def _arrays(path: Path, spec: DataSpec, split: str) -> Split:
    """Return a split of the arrays that `data.name=npz` takes, or all examples where the file has one array of them."""
    arrays = read_npz(path)
    name = name_of_examples(arrays, split, str(path))
    if arrays[name].dtype.kind not in "buif":
        raise UserError(f"{path}: '{name}' holds {arrays[name].dtype} values; save booleans, integers or floats")
    x = channels_first(arrays[name], spec, f"{path}: '{name}'")
    media = media_of(spec)
    if isinstance(media, Tables):
        x = media.standardised(x)
    labels = labels_of(arrays, name, spec.classes, str(path))
    key = f"{name.removesuffix('_images')}_features"
    features = arrays.get(key)
    if spec.features and (features is None or features.shape != (len(x), spec.features, *spec.shape[1:])):
        expected = ", ".join(map(str, (len(x), spec.features, *spec.shape[1:])))
        raise UserError(f"{path}: this density reads features: save '{key}' of shape ({expected})")
    kept = None if features is None or not spec.features else features.astype(np.float32)
    return Split(x, None if labels is None else labels.astype(np.int64), kept)
