"""Examples of different lengths as a user has them, in the terms of a density: lines of text, and arrays."""

from pathlib import Path

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.ragged import Flat, ragged
from ar_lightning.data.user.lines import lines_of
from ar_lightning.data.user.text import code_points, content_of
from ar_lightning.media.text import Texts

__all__ = ["lines_in", "rows_with_ends"]


def lines_in(path: Path, media: Texts) -> np.ndarray:
    """Return the lines of a text as rows `(N, 1, T)` for a density of such; empty ones are left out, which is said.

    Raises:
        UserError: there are none, or one has a character that the density does not know.
    """
    content = content_of(path)
    units = np.frombuffer(content, np.uint8) if media.symbols is None else code_points(content, str(path))
    flat, sizes, empty = lines_of(units)
    if empty:
        notice(f"{path}: {empty} empty lines are left out")
    if not len(sizes):
        raise UserError(f"{path}: holds no line with anything in it")
    if media.symbols is None:
        return rows_with_ends(Flat(flat, sizes), media.spec, str(path))
    known = np.array([ord(symbol) for symbol in media.symbols])  # in rising order
    levels = np.searchsorted(known, flat).clip(max=len(known) - 1)
    if (unknown := known[levels] != flat).any():
        first = int(np.flatnonzero(unknown)[0])
        i = int(np.searchsorted(sizes.cumsum(), first, "right"))
        line = "".join(map(chr, flat[sizes[:i].sum() : sizes[: i + 1].sum()]))
        what = f"{path}: {chr(flat[first])!r} in the line {line!r}"
        raise UserError(f"{what} is none of the {len(known)} characters that this density was trained on")
    return rows_with_ends(Flat(levels, sizes), media.spec, str(path))


def rows_with_ends(flat: Flat, spec: DataSpec, where: str) -> np.ndarray:
    """Return sequences of levels as rows `(N, 1, T)` of a density's length, which their ends fill; say what is cut.

    Raises:
        UserError: a value is no level of the density.
    """
    end = spec.end
    assert end is not None
    if flat.values.size and not ((flat.values >= 0) & (flat.values < end) & (flat.values % 1 == 0)).all():
        raise UserError(f"{where} holds other values than the levels 0..{end - 1} of this density; mend them")
    if cut := int((flat.sizes >= spec.dims).sum()):
        most = f"{cut} of {len(flat.sizes)} examples are cut to their first {spec.dims} values"
        notice(f"{where}: {most}: this density was trained on none that are longer, and log p is of what is left")
    return ragged(flat.values, flat.sizes, spec.dims, end)
