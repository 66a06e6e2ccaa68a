"""Completions of a partly known example, beside it: `python run.py complete RUN --input FILE`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.condition import Given, as_condition, rows_of
from ar_lightning.core.errors import UserError, did_you_mean, first_line
from ar_lightning.core.fields import Engine
from ar_lightning.core.notice import notice
from ar_lightning.density.compiled import choose_loop
from ar_lightning.density.density import Density
from ar_lightning.density.lengths import first_part, lengths_of
from ar_lightning.inference.evaluate import check_data, translator
from ar_lightning.inference.fill import fill_table
from ar_lightning.inference.inputs import background_of, input_data, read_inputs
from ar_lightning.inference.open import Run, open_run
from ar_lightning.inference.own import own_examples_of
from ar_lightning.inference.rows import TableRows, read_table_rows
from ar_lightning.inference.sample import class_of, stem_of, written_arrays
from ar_lightning.media.base import as_completions, prefix_of
from ar_lightning.media.choose import media_of
from ar_lightning.media.frames import in_file_order, to_frame

__all__ = ["complete", "mask_of"]

MASKS = ("top-half", "bottom-half", "left", "right", "first-half")


def complete(
    run: str, source: str, mask: str | None = None, n: int = 8, temperature: float = 1.0, seed: int = 0,
    label: int | str | None = None, out: str | None = None, overrides: Sequence[str] = (), engine: Engine = "auto",
) -> dict[str, Path]:  # fmt: skip
    """Draw the unknown values of an example given the known ones, exactly, and write them beside the example.

    Args:
        run: the run directory or checkpoint.
        source: a file, whose first example is taken, or `data:SPLIT[INDEX]` for an example of the run's own data.
        mask: what is known: see `mask_of`; null for the first half. Of a mixed table, it is what is there.
        n: number of completions.
        temperature: below 1 sharpens, above 1 flattens each conditional.
        seed: of the completions.
        label: the class of the example, for a conditional density; null for the one that it has.
        out: path of the files, without their endings; `samples/completed-SEED` in the run directory if null.
        overrides: `key=value` of the run's data, and of where to compute.
        engine: how steps run, as of `Density.sample`; not of a mixed table.

    Returns:
        The files by kind: one picture; a sheet and recordings; a text; a table. In all but pictures, the example itself
        comes first. Of images and plain rows there are the arrays of the completions, too. Of a mixed table, there are
        the files of `fill_table`.

    Raises:
        UserError: the example does not exist, or the density cannot complete it exactly.
    """
    opened = open_run(run, overrides)
    density, media = opened.density, media_of(opened.density.spec)
    stem = stem_of(out, opened.folder / "samples" / f"completed-{seed}", source)
    if density.spec.support == "mixed":
        if mask is not None:
            raise UserError(f"--mask {mask}: a table is completed where its cells are missing; leave it out")
        choose_loop(engine, density, n)  # which refuses to compile
        number = class_of(density, label)
        return fill_table(opened, _rows(opened, source), source, n, temperature, seed, number, stem)
    x, own = _example(opened, source)
    known = mask_of(mask or "first-half", density, seed, x)
    rows = torch.zeros(n, dtype=torch.long)
    given = as_condition(own)
    cond = rows_of(given._replace(labels=_label(density, given.labels, label)), rows)
    generator = torch.Generator().manual_seed(seed)
    with tqdm(total=n * density.spec.dims, desc="drawing", unit=" values", leave=False, disable=None) as bar:
        drawn = density.sample(
            n, cond, x[rows], known, temperature, generator, progress=bar.update, engine=engine
        ).cpu()
    if density.spec.medium is None:
        files = media.write_completions(x, known[None], drawn[None, None], stem)
    else:
        every = torch.cat([x, drawn.to(x.dtype)])
        files = as_completions(media.write_samples(every, stem, known=prefix_of(known)))
    return files | written_arrays(drawn, cond, density.spec, stem)


def mask_of(name: str, density: Density, seed: int = 0, x: Tensor | None = None) -> Tensor:
    """Return a mask `(C, *sites)`, True where a value is known, such that the density completes the rest exactly.

    The first half of an example `x` `(1, C, *sites)` is that of the values before its end, where it has one.

    Names are top-half, bottom-half, left or right of an image (of a sequence, top-half and left are its start);
    first-half of the values in the density's own order; random:FRACTION of the sites, by a seed; or an .npy file of
    booleans that broadcast to `(C, *sites)`.
    """
    mask = _mask(name, density, seed)
    if name == "first-half" and x is not None and density.spec.end is not None:
        mask = first_part(density.spec, lengths_of(x, density.spec.end) - 1)
    if mask.all() or not mask.any():
        raise UserError(f"--mask {name}: {'everything' if mask.all() else 'nothing'} is known, so it completes nothing")
    if not density.completes(mask):
        able = [other for other in MASKS if density.completes(_mask(other, density, seed))]
        if not able:
            raise UserError(f"--mask {name}: this density is of several orders, and nothing comes first in all of them")
        what = f"--mask {name}: what is known does not come first in the order of this density"
        raise UserError(f"{what}; take --mask {able[0]}")
    return mask


def _mask(name: str, density: Density, seed: int) -> Tensor:
    shape = density.spec.shape
    mask = torch.zeros(shape, dtype=torch.bool)
    kind, _, rest = name.partition(":")
    match kind:
        case "top-half" | "bottom-half":
            mask[:, : shape[1] // 2] = True
            return mask if kind == "top-half" else ~mask
        case "left" | "right":
            mask[..., : shape[-1] // 2] = True
            return mask if kind == "left" else ~mask
        case "first-half":
            mask.view(-1)[density.model.order[: density.spec.dims // 2].cpu()] = True
            return mask
        case "random":
            places = torch.rand(shape[1:], generator=torch.Generator().manual_seed(seed))
            return (places < _fraction(rest)).expand(shape)
    path = Path(name).expanduser()
    if path.suffix != ".npy" or not path.is_file():
        raise UserError(f"--mask {name}: no such mask{did_you_mean(name, [*MASKS, 'random:0.5', 'FILE.npy'])}")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: no more than the file has
        return torch.from_numpy(np.broadcast_to(found.astype(bool), shape).copy())
    except Exception as error:  # whatever NumPy makes of bytes that can be anything
        raise UserError(f"--mask {name}: not booleans that broadcast to {shape} ({first_line(error)})") from None


def _fraction(text: str) -> float:
    try:
        fraction = float(text or 0.5)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction < 1:
        raise UserError(f"--mask random:{text}: expected a fraction between 0 and 1, such as random:0.5")
    return fraction


def _example(opened: Run, source: str) -> tuple[Tensor, Given]:
    """Return an example `(1, C, *sites)` and its condition."""
    spec = opened.density.spec
    if source.startswith("data:"):
        own = opened.data()
        check_data(opened.density, own)
        split, rows = own_examples_of(source, own)
        return own.examples(split, rows[:1])
    inputs = read_inputs(Path(source).expanduser(), spec, background=background_of(opened.config))
    if inputs.notes:
        notice(f"{source}: {', '.join(inputs.notes)}")
    return input_data(inputs.split, spec, opened.config["seed"]).examples("test", torch.tensor([0]))


def _rows(opened: Run, source: str) -> TableRows:
    """Return the rows of a file, or of the run's own data, of a mixed table."""
    spec = opened.density.spec
    if not source.startswith("data:"):
        return read_table_rows(Path(source).expanduser(), spec, opened.config, holes=True, as_written=True)
    own = opened.data()
    split, numbers = own_examples_of(source, own)
    x, cond = own.examples(split, numbers)
    x = translator(opened.density, own)(x, numbers)
    table: Any = spec.medium
    frame = in_file_order(to_frame(x, table), table).set_axis(numbers.numpy())
    labels = as_condition(cond).labels
    return TableRows(x.numpy(), frame, "row", None if labels is None else labels.numpy())


def _label(density: Density, own: Tensor | None, label: int | str | None) -> Tensor | None:
    """Return the class `(1,)` to complete, None for an unconditional density."""
    number = class_of(density, label)
    if not density.conditional:
        return None
    if number is None and own is None:
        raise UserError(f"this density is conditional: give --cond, a class of {density.spec.class_names}")
    return own if number is None else torch.tensor([number])
