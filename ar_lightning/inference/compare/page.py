"""A comparison as one self-contained web page, with pictures, sound and text in it."""

import base64
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from ar_lightning.inference.compare.curves import AXES, curve_png, points_of
from ar_lightning.inference.compare.table import Group, Row, by_data, columns, footnotes, is_number, title_of

__all__ = ["comparison_page"]

TEMPLATE = Path(__file__).with_name("page.html")
SHOWN = 1500  # characters of sampled text
WAVS = 8  # recordings of a run


class Picture(NamedTuple):
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int
    alt: str


class Samples(NamedTuple):
    """Samples of a run: a picture, recordings as data URIs, and text; what there is of them."""

    row: Row
    picture: Picture | None
    sounds: list[str]
    text: str


def comparison_page(rows: Group, by: str | None = None) -> str:
    """Return the HTML, with a table in each section (`by` data), or with one table of all."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"columns": columns, "footnotes": footnotes, "is_number": is_number, "title_of": title_of}
    names = ", ".join(dict.fromkeys(row.run.setting.data for row in rows))
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        rows=rows, by=by, title=f"{len(rows)} run{'s' if len(rows) > 1 else ''} on {names}",
        sections=[(group, _curves(group), list(filter(None, map(_samples, group)))) for group in by_data(rows)],
    )  # fmt: skip


def _curves(rows: Group) -> list[tuple[Picture | None, ...]]:
    """Return the curves by epoch and by seconds, where there are any, each in light and in dark."""
    pictures = []
    ends = [f"{row.run.name} {row.run.curve[-1].value:.3f}" for row in rows if row.run.curve]
    for by, name in AXES.items():
        if any(points_of(row, by) for row in rows):
            alt = f"Validation {rows[0].run.unit} by {name}, where the curves end: {', '.join(ends)}."
            pictures.append(tuple(_picture(curve_png(rows, by, dark), alt) for dark in (False, True)))
    return pictures


def _samples(row: Row) -> Samples | None:
    """Find the last samples of a run, in its directory or as `benchmarks/results/` keeps them; any may be missing."""
    folder = row.run.folder
    for stem in (folder / "samples" / "final", folder / "samples"):
        about = f"Samples of {row.run.name}, a {row.run.model} on {row.run.setting.data}"
        picture = _picture(_read(stem.with_suffix(".png")), about)
        wavs = map(_read, sorted(stem.parent.glob(f"{stem.name}-[0-9]*.wav"))[:WAVS])
        sounds = [_uri(content, "audio/wav") for content in wavs if content]
        text = _read(stem.with_suffix(".txt")).decode("utf-8", "replace")
        if picture or sounds or text:
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} ..."
            return Samples(row, picture, sounds, shown)
    return None


def _read(file: Path) -> bytes:
    """Return the content of a file, nothing where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _picture(content: bytes, alt: str) -> Picture | None:
    """Return a PNG for the page; None where it is broken."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError):  # PIL's own name for broken chunks
        return None
    return Picture(_uri(content, "image/png"), *image.size, alt)


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
