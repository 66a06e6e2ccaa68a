"""What a person has as files, read in the terms of a density: its shape, levels, units and characters."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.errors import UserError, refuse_pipe
from ar_lightning.core.medium import Roll
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits
from ar_lightning.data.columns import Wanted, read_columns
from ar_lightning.data.files_below import files_below, notes_on
from ar_lightning.data.frames import frames_for
from ar_lightning.data.labels import numbers_of, values_of
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.npz_file import npz_names, read_npz
from ar_lightning.data.ragged import flat_of
from ar_lightning.data.user.audio_folder import SoundFormat
from ar_lightning.data.user.keys import Examples, beside, examples_in
from ar_lightning.data.user.npz import channels_first
from ar_lightning.data.user.reals import LIMITS, as_float32
from ar_lightning.inference.ends import lines_in, rows_with_ends
from ar_lightning.media.base import Media
from ar_lightning.media.choose import media_of
from ar_lightning.media.images import Images
from ar_lightning.media.picture import SUFFIXES as IMAGES
from ar_lightning.media.picture import Background, open_image
from ar_lightning.media.recording import SUFFIXES as SOUNDS
from ar_lightning.media.recording import read_audio
from ar_lightning.media.sound import Sounds
from ar_lightning.media.table import Tables
from ar_lightning.media.text import Texts

__all__ = [
    "InputDataset", "Inputs", "background_of", "input_data", "read_context", "read_image", "read_inputs", "read_sound",
    "read_text", "split_of",
]  # fmt: skip

Arrays = dict[str, np.ndarray]  # of an .npz file, by name
ELEMENTS = 2**22  # values read at a time, at most
SUFFIXES: dict[type[Media], tuple[str, ...]] = {  # of the files that are read of a folder
    Images: IMAGES, Sounds: SOUNDS, Tables: (".csv",), Texts: (".txt",),
}  # fmt: skip


class Inputs(NamedTuple):
    """Examples, the name of the file of each where they are from a folder, and what was left out or done to files."""

    split: Split
    names: list[str] | None = None
    notes: tuple[str, ...] = ()


class InputDataset(Dataset):
    """Examples as a dataset, the same ones in all splits; the spec is of levels where a density adds noise to them."""

    def __init__(self, split: Split, spec: DataSpec) -> None:
        self.split = split
        self.input_spec = spec
        self.contiguous = isinstance(media_of(spec), Texts) and not spec.ends

    @property
    def spec(self) -> DataSpec:
        return self.input_spec

    @property
    def regime(self) -> str:
        return f"{len(self.split.x)} given examples"

    def load(self) -> Splits:
        return dict.fromkeys(("train", "valid", "test"), self.split)


def background_of(config: dict[str, Any]) -> Background:
    """Return what lay behind transparent images in the training of a config."""
    background: Background = config["data"].get("background", "white")
    return background


def input_data(split: Split, spec: DataSpec, seed: int, stream: bool = False) -> ArrayDataModule:
    """Return examples in batches of a sensible size, with noise where the density reads levels with noise.

    With `stream`, windows of a text are read in order, each as a continuation of those before.
    """
    dataset = InputDataset(split, spec.without_noise())
    stream = stream and dataset.contiguous
    size = 1 if stream else max(1, min(256, ELEMENTS // spec.dims))
    return ArrayDataModule(dataset, seed, batch_size=size, dequantise=spec.quantised is not None, stream=stream)


def read_inputs(path: Path, spec: DataSpec, split: str = "test", background: Background = "white") -> Inputs:
    """Read examples for a density: a split of an .npz file, or a file or folder of what its medium is kept in."""
    if not path.exists():
        raise UserError(f"{path}: no such file")
    refuse_pipe(path)
    if path.suffix == ".npz":
        found = examples_in(npz_names(path), split, path)
        if found.left_out:
            notice(f"{path}: without {', '.join(found.left_out)}")
        return Inputs(split_of(read_npz(path, found), found, spec, path))
    if spec.context:
        beside_them = f"'test_context' of shape (N, {len(spec.context)})"
        raise UserError(f"{path}: this density reads vectors: give an .npz file of 'test' and {beside_them}")
    media = media_of(spec)
    remarks: Counter[str] = Counter()
    if path.is_file():
        legal = _legal(_examples(path, media, background, remarks), spec, path)
        return Inputs(Split(legal), None, tuple(remarks) if isinstance(media, Tables) else notes_on(Counter(), remarks))
    suffixes = SUFFIXES[type(media)]
    files, left_out, unreadable = files_below(path, suffixes)
    if unreadable:
        folder, reason = next(iter(unreadable.items()))
        raise UserError(f"{folder}: cannot be read ({reason}); check its permissions")
    if not files:
        raise UserError(f"{path}: no files ({', '.join(suffixes)}) in this folder or below")
    from tqdm import tqdm

    shown = tqdm(files, path.name, leave=False, unit=" files", disable=None)
    parts = [_examples(file, media, background, remarks) for file in shown]
    names = [str(file.relative_to(path.resolve())) for file, part in zip(files, parts, strict=True) for _ in part]
    return Inputs(Split(_legal(np.concatenate(parts), spec, path, names)), names, notes_on(left_out, remarks))


def split_of(arrays: Arrays, found: Examples, spec: DataSpec, where: object, stored: bool = False) -> Split:
    """Return examples of a file, with what is given beside them; a `UserError` says what is wrong.

    Frames are those of a file, `(N, T, C)`, or as they are `stored` in a dataset, `(N, C, T)`.
    """
    place = f"{where}: '{found.x}'"
    if found.x not in arrays:
        raise UserError(f"{place} is no array; write it with numpy.savez")
    array = arrays[found.x]
    if array.dtype.kind not in "buif":
        raise UserError(f"{place} holds {array.dtype} values; save booleans, integers or floats")
    beside_it = [arrays.get(name or "") for name in (found.lengths, found.offsets)]
    if isinstance(spec.medium, Roll):
        array = array if stored else frames_for(array, spec, place, *beside_it)
    elif found.lengths in arrays or found.offsets in arrays:
        if not spec.ends:
            fix = f"cut them to one length, and remove '{found.lengths or found.offsets}'"
            raise UserError("examples of different lengths, and this density was trained on those of one", place, fix)
        array = rows_with_ends(flat_of(array, place, *beside_it), spec, place)
    x, media = channels_first(array, place, spec.shape), media_of(spec)
    legal = _legal(media.standardised(x) if isinstance(media, Tables) else x, spec, where)
    labels = None
    if found.labels in arrays:
        key = f"{where}: '{found.labels}'"
        labels, _ = values_of(arrays[found.labels], len(x), key)
        if spec.classes:
            labels = numbers_of(labels, spec, key)
        elif labels.dtype.kind == "U":
            notice(f"{key} is left out: this density knows no classes, and its labels are text")
            labels = None
    features = context = None
    if spec.features:
        features = _beside(arrays, found, "features", (len(x), spec.features, *spec.shape[1:]), where)
    if spec.context:
        context = _beside(arrays, found, "context", (len(x), len(spec.context)), where)
    return Split(legal, labels, features, context)


def _beside(arrays: Arrays, found: Examples, kind: str, shape: tuple[int, ...], where: object) -> np.ndarray:
    """Return the features or the context of examples, as float32, which must be there and of this shape."""
    key = getattr(found, kind) or beside(found.x, kind)
    if key not in arrays or arrays[key].shape != shape or arrays[key].dtype.kind not in "buif":
        expected = ", ".join(map(str, shape))
        raise UserError(f"{where}: this density reads {kind}: save '{key}' of shape ({expected})")
    return as_float32(arrays[key], f"{where}: '{key}'")


def read_context(source: str, spec: DataSpec) -> Tensor:
    """Return the vectors `(n, F)` of an .npz file for a density that reads such: `context`, or those of a split."""
    path = Path(source).expanduser()
    if not path.is_file():
        refuse_pipe(path)
        raise UserError(f"{path}: no such file")
    names = npz_names(path)
    key = next((name for name in ("context", *(f"{s}_context" for s in reversed(SPLITS))) if name in names), None)
    if key is None:
        raise UserError(f"no array 'context' among {', '.join(names) or 'none'}", path, "write it with numpy.savez")
    array = read_npz(path, (key,)).get(key, np.array(""))
    if array.dtype.kind not in "buif" or array.ndim != 2 or not len(array) or array.shape[1] != len(spec.context):
        what = f"'{key}' is {array.dtype} of shape {array.shape}"
        raise UserError(what, path, f"this density reads vectors of shape (n, {len(spec.context)})")
    return torch.from_numpy(as_float32(array, f"{path}: '{key}'"))


def read_image(path: Path, spec: DataSpec, background: Background, remarks: Counter[str]) -> np.ndarray:
    """Return levels `(C, H, W)` of an image file: the central part in its proportions, as ImageFolder takes it."""
    levels = spec.without_noise().levels
    if levels is None or len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        raise UserError(f"{path}: this density takes {spec}, no levels of grey or colour: give them as an .npz file")
    channels, height, width = spec.shape
    picture = open_image(path, channels, (height, width), background)
    remarks.update(picture.remarks)
    if picture.size != (height, width):
        remarks[f"of another size (their central part is resized to {width} x {height})"] += 1
    return picture.pixels.astype(np.int64) * levels // 256


def read_text(path: Path, media: Texts) -> Tensor:
    """Return the levels `(T,)` of a text file; a `UserError` names the character that the density does not know."""
    try:
        return media.levels(path.read_bytes()).flatten()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", path, "check its permissions") from None
    except UserError as error:
        raise error.under(path) from None


def _examples(path: Path, media: Media, background: Background, remarks: Counter[str]) -> np.ndarray:
    """Return the examples `(n, C, *sites)` that a file holds; add to the remarks."""
    match media:
        case Sounds():
            return read_sound(path, media, media.spec.shape[-1], remarks)
        case Texts() if media.spec.ends:
            return lines_in(path, media)
        case Texts():  # windows that follow each other; what is left over at the end is dropped
            levels, length = read_text(path, media).numpy(), media.spec.shape[-1]
            n = len(levels) // length
            if not n:
                raise UserError(f"{path}: {len(levels)} characters or bytes are less than a window of {length}")
            return levels[: n * length].reshape(n, 1, length)
        case Tables():
            return _rows(path, media, remarks)
    return read_image(path, media.spec, background, remarks)[None]


def read_sound(path: Path, media: Sounds, length: int | None, remarks: Counter[str]) -> np.ndarray:
    """Return all whole examples `(n, 1, length)` of a recording, as AudioFolder takes them; null for all as one."""
    amplitudes, told = read_audio(path, media.rate)
    remarks.update(told)
    levels, ends = media.spec.without_noise().values, media.spec.ends
    form = SoundFormat(media.rate, length or len(amplitudes), levels, media.encoding, ends)
    return form.examples(amplitudes, every=True)


def _rows(path: Path, media: Tables, remarks: Counter[str]) -> np.ndarray:
    """Return rows `(n, 1, D)`, standardised as the density's training data was; add to the remarks."""
    columns = read_columns(path, Wanted(only=media.columns))
    remarks.update(columns.notes)
    return media.standardised(next(iter(columns.x.values()))).astype(np.float32)[:, None]


def _legal(x: np.ndarray, spec: DataSpec, where: object, names: list[str] | None = None) -> np.ndarray:
    """Return values in the type they are kept in, if all are legal: whole numbers `0..levels-1`, or finite ones."""
    levels = spec.without_noise().levels
    legal = np.abs(x) <= LIMITS.max if levels is None else (x >= 0) & (x < levels) & (x == np.floor(x))
    if not legal.all():
        i, *site = np.argwhere(~legal)[0].tolist()
        example = f"example {i} ({names[i]})" if names else f"example {i}"
        needs = "numbers that float32 holds" if levels is None else f"whole numbers 0..{levels - 1}"
        raise UserError(
            f"{where}: {example} holds {x[(i, *site)]:g}; this density takes {needs}: mend it or leave it out"
        )
    return x.astype(np.float32 if levels is None else np.uint8 if levels <= 256 else np.int32)
