"""Compressed files of a trained density: `python run.py compress RUN FILE`, and `decompress`.

A file is, in this order: `ARL` and the version of the format, which is the form of the code; two CRC-32, of all that
follows and of the values; the first 8 bytes of the SHA-256 of the density's config and weights; a line of text with
tabs in it, of the versions and the engine that wrote it and of the kind of content; the vectors that the examples are
given, as they are, where the density reads such; and the code, of all examples together. Version 1 names no engine: it
is eager.
"""

import gzip
import hashlib
import json
import math
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.errors import UserError, nearby, refuse_over, refuse_pipe
from ar_lightning.core.fields import Engine
from ar_lightning.core.files import CHECKPOINT_KEY, write_bytes
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.compiled import why_not_compiled
from ar_lightning.density.density import Density
from ar_lightning.density.lengths import after_end
from ar_lightning.density.machine_code import maker
from ar_lightning.inference.codec.codec import check_codable, decode, encode_by
from ar_lightning.inference.codec.content import (
    context_in,
    extent,
    given_context,
    png,
    read_content,
    read_examples,
    restored,
)
from ar_lightning.inference.open import SavedRun, read_run
from ar_lightning.media.images import is_image
from ar_lightning.nn.rounding import FORM

__all__ = ["Compressed", "compress", "decompress"]

SUFFIX = ".arl"
MAGIC = b"ARL" + bytes([FORM])
FRAME = struct.Struct("<4sI")  # magic, CRC-32 of all that follows
HEADER = struct.Struct("<I8s")  # CRC-32 of the values, digest of the density


@dataclass(frozen=True)
class Compressed:
    """The result of compressing a file."""

    path: Path  # of the compressed file
    spec: DataSpec  # of the examples
    examples: int  # number N of them
    values: int  # that they have together, their ends among them
    size: int  # of the compressed file, in bytes
    nats: float  # `-log p` of all examples together
    label_nats: float  # what their labels take, N log(classes); 0 where the density is given none
    context_size: int  # what their vectors take, in bytes; 0 where the density is given none
    others: dict[str, int]  # bytes that other lossless formats take for the same values
    seconds: float  # that encoding took
    engine: Engine  # that computed the probabilities, `eager` or `compiled`

    def __str__(self) -> str:
        rows = {"coded": float(self.size), "-log2 p(x)": self.nats / math.log(2) / 8}
        if self.label_nats:
            rows["the labels"] = self.label_nats / math.log(2) / 8
        if self.context_size:
            rows["the vectors"] = self.context_size
        rows |= self.others
        lines = [f"  {name:<12}{n:>14,.0f} bytes  {8 * n / self.values:8.4f} bits/dim" for name, n in rows.items()]
        return "\n".join([f"{self.examples} x {self.spec}, in {self.seconds:.1f} s, {self.engine}", *lines])


def compress(
    run: str, source: str, out: str | None = None, overrides: Sequence[str] = (), engine: Engine = "eager"
) -> Compressed:
    """Compress a file without loss, by the probabilities of a trained density.

    Args:
        run: the run directory or checkpoint.
        source: an .npz file, a picture or a text; or `data:test`, `data:test[:N]` for examples of the run, the first N.
        out: path of the compressed file; null for that of the source with `.arl`, of examples in the run directory.
        overrides: `data.*=value`, where the run's data was moved.
        engine: how steps run, as of `Density.sample`. `decompress` takes the same, and needs the same code.

    Raises:
        UserError: the density is no code, or gives the file no probability; or it cannot be compiled, as asked.
    """
    saved = read_run(run, overrides)
    density, digest = _codable(run, saved)
    if source.startswith("data:"):
        content = read_examples(source, saved.data(), density.conditional, bool(density.spec.context))
        default = saved.folder / f"{source[5:].replace('[', ':').partition(':')[0]}{SUFFIX}"
    else:
        content = read_content(Path(source).expanduser(), density.spec, density.conditional)
        default = Path(f"{source}{SUFFIX}").expanduser()
    path = Path(out).expanduser() if out else default
    refuse_over(path, source)
    x, fields, labels, context = content
    n, length = extent(fields, density.spec, density.conditional)
    start = time.perf_counter()
    with tqdm(total=n * density.spec.dims, desc="encoding", unit=" values", leave=False, disable=None) as bar:
        payload, nats, engine = encode_by(engine, density, x, content.given, length, bar.update)
    seconds = time.perf_counter() - start
    by = f"{engine} {maker()}" if engine == "compiled" else engine
    line = "\t".join([*_environment(), by, *(quote(field, safe="<>=,") for field in fields)])
    vectors = b"" if context is None else context.tobytes()
    body = HEADER.pack(_crc_of(x, labels), digest) + line.encode() + b"\n" + vectors + payload
    packed = FRAME.pack(MAGIC, zlib.crc32(body)) + body
    write_bytes(packed, path)
    label_nats = 0.0 if labels is None else n * math.log(density.spec.classes)
    others = _others(x, length, density.spec)
    return Compressed(
        path,
        density.spec,
        n,
        len(_coded(x, length, density.spec)),
        len(packed),
        nats,
        label_nats,
        len(vectors),
        others,
        seconds,
        engine,
    )


def decompress(run: str, source: str, out: str | None = None, engine: Engine = "auto") -> Path:
    """Write the file again that was compressed; return its path.

    Args:
        run: the run directory or checkpoint that compressed it.
        source: the compressed file.
        out: path of the file; null for `STEM-decoded` with the ending that it had.
        engine: `auto` is that which compressed it. The other one may do where that cannot run.

    Raises:
        UserError: the file is damaged, of another program, or compressed by another density, or by code that this
            machine cannot run.
    """
    density, digest = _codable(run, read_run(run))
    form, body = _opened(Path(source).expanduser())
    values_crc, by = HEADER.unpack_from(body)
    if by != digest:
        raise UserError(f"{source}: was compressed by another density than {run}: weights or config are not the same")
    line, _, payload = body[HEADER.size :].partition(b"\n")
    try:
        version, processor, *fields = map(unquote, line.decode().split("\t"))
        wrote, made = _engine_of(fields.pop(0) if form > 1 else "eager")
        n, length = extent(fields, density.spec, density.conditional)
        context, payload = context_in(payload, n, fields, density.spec)
        given = None if context is None else given_context(context)
    except (ValueError, IndexError):
        raise UserError("its header is none that `compress` writes", source, "it was changed; copy it again") from None
    stem = Path(Path(source).name.removesuffix(SUFFIX)).stem
    ending = {"lines": "txt"}.get(fields[0], fields[0])
    path = (Path(out) if out else Path(source).with_name(f"{stem}-decoded.{ending}")).expanduser()
    refuse_over(path, source)
    engine = wrote if engine == "auto" else engine
    if engine == "compiled" and (why := why_not_compiled(density)):
        if wrote != engine:
            raise UserError(f"--engine compiled: {why}; {source} was compressed by the eager one, take --engine auto")
        hint = "decompress it where it was compressed, or try --engine eager, which may round as it did"
        raise UserError(f"{source}: was compressed by compiled code, and {why}; {hint}")
    if engine == "compiled" and form == 1:
        raise UserError(f"{source}: is of version 1, which is eager alone; take --engine auto")
    with tqdm(total=n * density.spec.dims, desc="decoding", unit=" values", leave=False, disable=None) as bar:
        try:
            x, labels = decode(density, payload, n, length, bar.update, given, engine, form)
            same = _crc_of(x, labels) == values_crc
        except ValueError:
            same = False
    if not same:
        here = "PyTorch {} on {}".format(*_environment())
        there = f"PyTorch {version} on {processor}"
        of = "another processor or version of this program" if there == here else here
        why = f"compressed by {there}, this is {of}, and the two round otherwise"
        if wrote != engine:
            why = f"it was compressed by the {wrote} engine, and the {engine} one rounds otherwise"
        elif made and made != maker():
            why = "the code that compressed it was compiled by other versions or for another processor"
        raise UserError(f"{source}: does not come out as it went in: {why}; decompress it there, or copy it again")
    write_bytes(restored(fields, x, labels, density.spec, context), path)
    return path


def _codable(run: str, saved: SavedRun) -> tuple[Density, bytes]:
    """Return the density of a run if it can be a code, and a digest of its config and weights."""
    density = saved.density()
    try:
        check_codable(density)
    except ValueError as error:
        raise UserError(f"{run}: {error}") from None
    config = saved.checkpoint[CHECKPOINT_KEY]["written"]  # or a new key would make another density of it
    what = {**{key: config.get(key) for key in ("model", "likelihood")}, "data": density.spec.to_dict()}
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for name, weight in sorted(density.state_dict().items()):
        digest.update(name.encode() + weight.contiguous().numpy().tobytes())
    return density, digest.digest()[:8]


def _engine_of(field: str) -> tuple[Engine, str]:
    """Return the engine that wrote a file, and what made its code, if any; `ValueError` for a field that tells none."""
    match field.split(" "):
        case ["eager"]:
            return "eager", ""
        case ["compiled", made]:
            return "compiled", made
    raise ValueError("no engine")


def _opened(path: Path) -> tuple[int, bytes]:
    """Return the form of a compressed file and what follows its frame, if it is whole."""
    refuse_pipe(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = nearby(path, lambda entry: entry.suffix == SUFFIX)
        raise UserError(f"cannot be read ({error.strerror})", path, hint) from None
    if len(content) < FRAME.size + HEADER.size or content[:3] != MAGIC[:3]:
        raise UserError(f"{path}: not a file that `run.py compress` wrote")
    magic, crc = FRAME.unpack_from(content)
    if not 1 <= magic[3] <= FORM:
        raise UserError(f"{path}: is of version {magic[3]} of the format, and this program reads 1 to {FORM}")
    body = content[FRAME.size :]
    if zlib.crc32(body) != crc:
        raise UserError(f"{path}: damaged or truncated; copy it again")
    return magic[3], body


def _environment() -> list[str]:
    """Return the version of PyTorch and the vector unit of the CPU, on which the rounding of a conditional depends."""
    return [torch.__version__.partition("+")[0], torch.backends.cpu.get_cpu_capability()]


def _others(x: Tensor, length: int, spec: DataSpec) -> dict[str, int]:
    """Return the bytes of the values as plain bytes (of binary ones: bits), in gzip and, of images, in PNG."""
    kept = _coded(x, length, spec)
    array = kept.astype(np.uint8 if (spec.levels or 0) <= 256 else np.uint16)
    plain = np.packbits(kept.astype(np.uint8)) if spec.levels == 2 else array
    others = {"plain": plain.nbytes, "gzip": len(gzip.compress(plain.tobytes(), 9))}
    if is_image(spec):
        sheet = x.movedim(1, 0).flatten(1, 2)  # (C, N * H, W): one picture, one header
        others["PNG"] = len(png(sheet, spec))
    return others


def _coded(x: Tensor, length: int, spec: DataSpec) -> np.ndarray:
    """Return the values that are coded, those of examples that end up to their ends, one after another."""
    if spec.end is not None:
        return x[~after_end(x, spec.end)].numpy()
    return x.flatten()[:length].numpy()


def _crc_of(x: Tensor, labels: Tensor | None) -> int:
    crc = zlib.crc32(x.numpy().astype("<i4").tobytes())
    return crc if labels is None else zlib.crc32(labels.numpy().astype("<i4").tobytes(), crc)
