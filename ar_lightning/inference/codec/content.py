"""Content that is compressed without loss: the array of an .npz file, an image, a text, or examples of a run."""

import codecs
import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ar_lightning.core.condition import Condition, as_condition
from ar_lightning.core.errors import UserError, nearby, refuse_pipe
from ar_lightning.core.files import save_npz
from ar_lightning.core.medium import Roll
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.npz_file import npz_names, read_npz
from ar_lightning.data.user.keys import Examples, beside, examples_in
from ar_lightning.data.user.reals import as_float32
from ar_lightning.inference.ends import lines_in
from ar_lightning.inference.inputs import read_text, split_of
from ar_lightning.inference.own import own_examples_of
from ar_lightning.media.characters import MARK
from ar_lightning.media.choose import media_of
from ar_lightning.media.images import is_image
from ar_lightning.media.picture import SUFFIXES as PICTURES
from ar_lightning.media.picture import open_image
from ar_lightning.media.text import Texts

__all__ = ["Content", "context_in", "extent", "given_context", "png", "read_content", "read_examples", "restored"]

MARKED = "marked"  # of a text that begins with a byte order mark, which is none of its characters


class Content(NamedTuple):
    """Values of a file, and what it takes to write the file again."""

    x: Tensor  # levels `(N, C, *sites)`
    fields: list[str]  # what else it takes to write the file again, the ending of its name first
    labels: Tensor | None = None  # `(N,)`, where the density needs them
    context: np.ndarray | None = None  # vectors `(N, F)` as the file has them, where the density needs them

    @property
    def given(self) -> Condition:
        """What the density is given."""
        return Condition(self.labels, None, None if self.context is None else given_context(self.context))


def read_content(path: Path, spec: DataSpec, conditional: bool) -> Content:
    """Read an .npz file with a `test` array or one array, a picture or, where the data is text, any other file."""
    refuse_pipe(path)
    if not path.is_file():
        raise UserError("is a folder" if path.is_dir() else "no such file", path, nearby(path))
    if path.suffix.lower() == ".npz":
        names = npz_names(path)
        found = examples_in(names, "test", path)
        if found.lengths or found.offsets or isinstance(spec.medium, Roll):
            what = "frames" if isinstance(spec.medium, Roll) else "examples of different lengths"
            lines = "" if isinstance(spec.medium, Roll) else "the lines of a text, or "
            raise UserError(f"{path}: {what} are compressed as {lines}data:test")
        beside_it = (found.labels if conditional else None, found.context if spec.context else None)
        kept = (found.x, *(name for name in beside_it if name))
        if others := [name for name in names if name not in kept]:
            notice(f"{path}: without {', '.join(others)}, which will not come back")
        return _of_arrays(read_npz(path, kept), found, spec, conditional, str(path))
    if conditional or spec.context:
        told = " and ".join(["labels"] * conditional + ["vectors (context)"] * bool(spec.context))
        raise UserError(f"{path}: this density is given {told}; put examples and {told} into an .npz file")
    media = media_of(spec)
    if isinstance(media, Texts):
        return _read_lines(path, media) if spec.ends else _read_text(path, media)
    if path.suffix.lower() in PICTURES:
        return _read_picture(path, spec)
    raise UserError(f"{path}: cannot be read as {spec}; give an .npz file, a picture, or data:test")


def read_examples(source: str, data: ArrayDataModule, conditional: bool, context: bool = False) -> Content:
    """Return examples of a run, such as `data:test` or `data:test[:N]`, as they would lie in an .npz file."""
    split, rows = own_examples_of(source, data)
    x, cond = data.examples(split, rows)
    array = x.numpy().astype(np.uint8 if (data.spec.levels or 0) <= 256 else np.int32)
    arrays = {split: array[:, 0] if array.shape[1] == 1 else array}
    labels, _, vectors = as_condition(cond)
    spec = data.spec if context else replace(data.spec, context=())
    if conditional and labels is not None:
        arrays[beside(split)] = np.array([spec.label_of(y) for y in labels.tolist()])
    if context and vectors is not None:
        arrays[beside(split, "context")] = vectors.numpy()
    return _of_arrays(arrays, Examples(split, beside(split)), spec, conditional, source, stored=True)


def _of_arrays(
    arrays: dict[str, np.ndarray], found: Examples, spec: DataSpec, conditional: bool, where: str, stored: bool = False
) -> Content:
    """Return the content of an array that holds examples on the levels of the density."""
    split, name, key = split_of(arrays, found, spec, where, stored), found.x, beside(found.x)
    array = arrays[name]
    if array.dtype.kind == "f" and np.signbit(array).any():
        raise UserError(f"{where}: '{name}' holds the value -0, which would come back as 0")
    fields = ["npz", ",".join(map(str, array.shape)), array.dtype.str.lstrip("|"), name]
    x = torch.from_numpy(split.x.astype(np.int64))
    context, last = None, []
    if spec.context:
        if (vectors := beside(name, "context")) not in arrays:
            raise UserError(f"{where}: this density is given vectors; save them as '{vectors}' in it too")
        context = arrays[vectors]
        last = [context.dtype.str.lstrip("|")]
    if not conditional:
        return Content(x, [*fields, *last], None, context)
    if split.labels is None or key not in arrays:
        raise UserError(f"{where}: this density is given labels; save them as '{key}' in it too")
    kind = "U" if arrays[key].dtype.kind == "U" else arrays[key].dtype.str.lstrip("|")
    if arrays[key].ndim > 1 or (kind == "U") != _named(spec):
        what = f"{where}: '{key}' is {arrays[key].dtype} of shape {arrays[key].shape}"
        raise UserError(f"{what}; save {'text' if _named(spec) else 'whole numbers'} of shape ({len(x)},)")
    return Content(x, [*fields, kind, *last], torch.from_numpy(split.labels), context)


def given_context(array: np.ndarray) -> Tensor:
    """Return vectors `(N, F)` of a file as a density is given them."""
    return torch.from_numpy(as_float32(array, "context").copy())


def extent(fields: list[str], spec: DataSpec, conditional: bool) -> tuple[int, int]:
    """Return how many examples the fields describe, and how many values; those after them only fill up the last one.

    Raises:
        ValueError: `compress` writes no such fields for a density like this.
    """
    given = conditional or bool(spec.context)
    match fields:
        case ["npz", shape, kind, _, *kinds] if len(kinds) == conditional + bool(spec.context):
            n, *sizes = map(_count, shape.split(","))
            named = [_named(spec)] * conditional + [False] * bool(spec.context)
            legal = all(k == "U" if text else _is_kind(k) for k, text in zip(kinds, named, strict=True))
            if legal and math.prod(sizes) == spec.dims and len(sizes) <= 3 and _is_kind(kind):
                return n, n * spec.dims
        case ["png"] if is_image(spec) and not given:
            return 1, spec.dims
        case ["lines", n] if isinstance(media_of(spec), Texts) and not given:
            return _count(n), _count(n) * spec.dims
        case ["txt", length] | ["txt", length, "marked"] if isinstance(media_of(spec), Texts) and not given:
            return -(-_count(length) // spec.dims), _count(length)
    raise ValueError("no fields of compressed content")


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise ValueError(f"{text} is no number of values")
    return int(text)


def _named(spec: DataSpec) -> bool:
    """Return whether classes are called by text."""
    return any(isinstance(label, str) for label in spec.labels)


def _is_kind(text: str) -> bool:
    """Return whether a text is the kind of an array of booleans, integers or floats, as NumPy writes it."""
    return bool(re.fullmatch("b1|[iu]1|[<>][iu][248]|[<>]f(2|4|8|12|16)", text))


def context_in(data: bytes, n: int, fields: list[str], spec: DataSpec) -> tuple[np.ndarray | None, bytes]:
    """Return the vectors `(n, F)` that bytes begin with, as the file had them, and the other bytes.

    Raises:
        ValueError: there are fewer bytes than the vectors take.
    """
    if not spec.context:
        return None, data
    kind, size = np.dtype(fields[-1]), n * len(spec.context)
    if len(data) < size * kind.itemsize:
        raise ValueError("the vectors are cut off")
    found = np.frombuffer(data, kind, size).reshape(n, -1)
    return found, data[found.nbytes :]


def restored(
    fields: list[str], x: Tensor, labels: Tensor | None, spec: DataSpec, context: np.ndarray | None = None
) -> bytes:
    """Return the bytes of the file that content was read from; of an .npz file, of the arrays that were compressed."""
    match fields[0]:
        case "npz":
            shape = tuple(map(int, fields[1].split(",")))
            last = shape[1:] != spec.shape and len(shape) == 4 and spec.shape[0] > 1  # its channels come last
            array = x.movedim(1, -1) if last else x
            arrays = {fields[3]: array.reshape(shape).numpy().astype(fields[2])}
            if labels is not None:
                values = np.array([spec.label_of(y) for y in labels.tolist()])
                arrays[beside(fields[3])] = values.astype(fields[4])
            if context is not None:
                arrays[beside(fields[3], "context")] = context
            file = io.BytesIO()
            save_npz(arrays, file)
            return file.getvalue()
        case "png":
            return png(x[0], spec)
        case "lines":
            return _as_lines(x, Texts(spec))
        case _:
            levels, media = x.flatten()[: int(fields[1])], media_of(spec)
            if not isinstance(media, Texts) or media.bytewise:
                return bytes(levels.tolist())
            return (MARK * (MARKED in fields) + media.strings(levels.view(1, 1, -1))[0]).encode("utf-8")


def png(x: Tensor, spec: DataSpec) -> bytes:
    """Return levels `(1 or 3, H, W)` as a PNG: level k of K is 255 k / (K - 1)."""
    from PIL import Image

    pixels = (x.double() * 255 / ((spec.levels or 0) - 1)).round().to(torch.uint8).movedim(0, -1).numpy()
    file = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if spec.levels == 2 and image.mode == "L":
        image = image.convert("1", dither=Image.Dither.NONE)  # a bit a pixel
    image.save(file, format="png", optimize=True)
    return file.getvalue()


def _read_text(path: Path, media: Texts) -> Content:
    levels, spec = read_text(path, media), media.spec
    if not len(levels):
        raise UserError(f"{path}: is empty")
    marked = not media.bytewise and path.read_bytes().startswith(codecs.BOM_UTF8)
    fields = ["txt", str(len(levels)), *([MARKED] if marked else [])]
    windows = F.pad(levels, (0, -len(levels) % spec.dims))
    return Content(windows.view(-1, *spec.shape), fields)


def _read_lines(path: Path, media: Texts) -> Content:
    x = torch.from_numpy(lines_in(path, media).astype(np.int64))
    if _as_lines(x, media) != path.read_bytes():
        what = "a line is empty or too long, or the ends of lines are other than a line feed after each"
        raise UserError(f"{path}: would not come back as it is: {what}")
    return Content(x, ["lines", str(len(x))])


def _as_lines(x: Tensor, media: Texts) -> bytes:
    """Return lines as the bytes of a text."""
    if media.symbols is not None:
        return "".join(f"{line}\n" for line in media.strings(x)).encode("utf-8")
    return b"".join(bytes(row[row != media.spec.end].tolist()) + b"\n" for row in x[:, 0])


def _read_picture(path: Path, spec: DataSpec) -> Content:
    from PIL import Image

    if not is_image(spec):
        raise UserError(f"{path}: is a picture, and this density is over {spec}; give an .npz file or data:test")
    rgb, _, remarks = open_image(path, 3)
    with Image.open(path) as image:
        if remarks or image.mode not in ("1", "L", "RGB") or "transparency" in image.info:
            what = " and ".join((f"of mode {image.mode}", *remarks))
            raise UserError(f"{path}: a picture {what}; save one of 8-bit grey or RGB, and nothing else")
    channels, height, width = spec.shape
    if rgb.shape[1:] != (height, width):
        raise UserError(f"{path}: is {rgb.shape[2]} x {rgb.shape[1]} pixels, this density's are {width} x {height}")
    if channels == 1 and not (rgb == rgb[:1]).all():
        raise UserError(f"{path}: is in colour, and this density is of grey pictures")
    top = (spec.levels or 0) - 1
    pixels = torch.from_numpy(rgb[:channels].astype(np.int64))
    x = (pixels.double() * top / 255).round().long()
    if not torch.equal((x.double() * 255 / top).round().long(), pixels):
        greys = f"{top + 1} levels, which are the pixels 255 k / {top}"
        raise UserError(f"{path}: has other pixels than the {greys}; coding the nearest would not be lossless")
    return Content(x[None], ["png"])
