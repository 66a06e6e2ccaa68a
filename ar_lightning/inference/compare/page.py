"""A comparison as one self-contained web page, with pictures, sound and text in it."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from ar_lightning.inference.compare.curves import AXES, By, curve_png, has_curves
from ar_lightning.inference.compare.table import Cell, Group, Row, by_data, columns, footnotes, title_of

__all__ = ["comparison_page"]

TEMPLATE = Path(__file__).with_name("page.html")
SHOWN = 1500  # characters of sampled text
WAVS = 8  # recordings of a run


@dataclass(frozen=True)
class Picture:
    """A picture as data URIs, with its size in pixels."""

    uri: str
    width: int
    height: int
    alt: str
    dark: str = ""


@dataclass(frozen=True)
class Samples:
    """Samples of a run."""

    row: Row
    picture: Picture | None
    sounds: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class PageTable:
    """A table as the page shows it.

    Args:
        heads: name of each column, and its kind: number, notes or text.
        lines: each row and its cells.
        footnotes: what is said below it.
    """

    heads: tuple[tuple[str, str], ...]
    lines: tuple[tuple[Row, tuple[Cell, ...]], ...]
    footnotes: tuple[str, ...]

    @property
    def has_best(self) -> bool:
        """True if a row is the best of several."""
        return any(row.best for row, _ in self.lines)


@dataclass(frozen=True)
class Section:
    """The runs on one dataset."""

    table: PageTable
    title: str
    regime: str
    curves: tuple[Picture, ...]
    samples: tuple[Samples, ...]


def comparison_page(rows: Group, by: str | None = None) -> str:
    """Return the HTML.

    Args:
        rows: of the table.
        by: data for a table in each section; null for one table of all.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    names = ", ".join(dict.fromkeys(row.run.setting.data for row in rows))
    return template.render(
        whole=None if by else _table(rows), sections=[_section(group) for group in by_data(rows)],
        title=f"{len(rows)} run{'s' if len(rows) > 1 else ''} on {names}",
    )  # fmt: skip


def _table(rows: Group) -> PageTable:
    shown = columns(rows)
    heads = []
    for name, cells in shown.items():
        is_number = any(isinstance(cell.value, int | float) for cell in cells)
        heads.append((name, "number" if is_number else "notes" if name == "notes" else "text"))
    lines = zip(rows, zip(*shown.values(), strict=True), strict=True)
    return PageTable(tuple(heads), tuple(lines), tuple(footnotes(rows)))


def _section(rows: Group) -> Section:
    setting = rows[0].run.setting
    curves = tuple(_curve(rows, by) for by in AXES if has_curves(rows, by))
    samples = (_samples(row) for row in rows)
    shown = tuple(s for s in samples if s.picture or s.sounds or s.text)
    return Section(_table(rows), title_of(rows), setting.regime, curves, shown)


def _curve(rows: Group, by: By) -> Picture:
    ends = [f"{row.run.name} {row.run.curve[-1].bpd:.3f}" for row in rows if row.run.curve]
    alt = f"Validation bits/dim by {AXES[by]}, where the curves end: {', '.join(ends)}."
    light, dark = (_picture(curve_png(rows, by, dark), alt) for dark in (False, True))
    assert light is not None and dark is not None
    return Picture(light.uri, light.width, light.height, alt, dark.uri)


def _samples(row: Row) -> Samples:
    """Find the last samples of a run, in its directory or as `benchmarks/results/` keeps them; any may be missing."""
    folder, name = row.run.folder, row.run.name
    stem = next((s for s in (folder / "samples" / "final", folder / "samples") if list(_files(s))), None)
    picture: Picture | None = None
    sounds: list[str] = []
    text = ""
    for file in _files(stem) if stem else ():
        try:
            content = file.read_bytes()
        except OSError:
            continue
        match file.suffix:
            case ".png" if picture is None:
                picture = _picture(content, f"Samples of {name}, a {row.run.model} on {row.run.setting.data}")
            case ".wav" if len(sounds) < WAVS:
                sounds.append(_uri(content, "audio/wav"))
            case ".txt":
                text = content.decode("utf-8", "replace")
    return Samples(row, picture, tuple(sounds), text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} ...")


def _files(stem: Path) -> list[Path]:
    wavs = sorted(stem.parent.glob(f"{stem.name}-[0-9]*.wav"))
    return [file for file in (stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.txt"), *wavs)
            if file.is_file()]  # fmt: skip


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
