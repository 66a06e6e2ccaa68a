"""Samples of a trained density as files: `python run.py sample RUN`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.condition import Condition, as_condition, repeated, rows_of
from ar_lightning.core.errors import UserError, first_line, nearest, refuse_over
from ar_lightning.core.fields import Engine
from ar_lightning.core.files import write_npz
from ar_lightning.core.medium import MixedTable, Roll
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.frames import frames_in
from ar_lightning.density.density import Density
from ar_lightning.inference.inputs import background_of, read_context
from ar_lightning.inference.open import SavedRun, read_run
from ar_lightning.inference.prompt import read_prompt
from ar_lightning.inference.rows import label_column, read_table_rows
from ar_lightning.media.choose import media_of
from ar_lightning.media.mixed import MixedTables
from ar_lightning.media.picture import Background
from ar_lightning.training.samples import given_values

__all__ = ["class_of", "sample", "stem_of", "written_arrays"]

ENDINGS = (".png", ".npz", ".wav", ".csv", ".txt")


def sample(
    run: str, n: int = 16, label: int | str | None = None, temperature: float = 1.0, seed: int = 0,
    given: str | None = None, prompt: str | None = None, keep: float | None = None, length: int | None = None,
    out: str | None = None, device: str = "auto", overrides: Sequence[str] = (), engine: Engine = "auto",
) -> dict[str, Path]:  # fmt: skip
    """Draw from a trained density, write the samples for people and return the files by kind.

    Args:
        run: the run directory or checkpoint.
        n: number of samples.
        label: the class of all of them, as the data calls it; null for all classes in turn.
        temperature: below 1 sharpens, above 1 flattens each conditional.
        seed: of the samples.
        given: an .npz file of vectors, for a density that reads such: `context` `(m, F)`, in turn; or a table that has
            the columns that a density is given, whose rows are taken in turn. Null for what is given of test examples
            of the run, and their labels.
        prompt: what they begin with: text, or the path of a text, sound or image file.
        keep: fraction of the prompt to take.
        length: sites of each, where the model draws sequences of any length.
        out: path of the files, without their endings; `samples/drawn-SEED` in the run directory if null.
        device: where to draw: PyTorch devices, parted by commas, which share the samples; auto for all GPUs.
        overrides: `data.*=value`, where the run's data was moved.
        engine: how steps run, as of `Density.sample`.

    Raises:
        UserError: the run, the class, the prompt, the length or the device cannot be used.
    """
    saved = read_run(run, overrides)
    stem = stem_of(out, saved.folder / "samples" / f"drawn-{seed}", given, prompt)
    densities = [saved.density(device, length) for device in _devices(device)]
    density = densities[0]
    cond = _condition(density, saved, n, label, given)
    known, mask = _given_columns(density, saved, n, given)
    if mask is None or prompt is not None:
        known, mask = _known(density, prompt, keep, n, background_of(saved.config))
    noise = density.noise(n, torch.Generator().manual_seed(seed))
    x = _drawn(densities, noise, cond, known, mask, temperature, engine)
    if density.spec.end is not None and (cut := int(x[:, 0, -1].ne(density.spec.end).sum())):
        unit = "frames" if x.shape[1] > 1 else "values"
        notice(f"{cut} of {n} samples have not ended after {x.shape[2]} {unit}, and are cut; --length takes more")
    in_turn = density.conditional and label is None and (given is not None or not _reads_more(density))
    columns = density.spec.classes if in_turn else 0
    media = media_of(density.spec)
    data = _compared(saved) if media.compared and length is None else None
    prompted = 0 if mask is None else int(mask[0].sum())
    files = media.write_samples(x, stem, data, columns if columns <= n else 0, prompted)
    if isinstance(media, MixedTables) and cond.labels is not None:
        name = label_column(saved.config) or "label"
        if columns:
            notice(f"as many rows of each class of {name}, whatever their shares in the data; --cond draws one class")
        media.write_labelled(x, cond.labels, files["samples"], name)
    return files | written_arrays(x, cond, density.spec, stem)


def written_arrays(x: Tensor, cond: Condition, spec: DataSpec, stem: Path) -> dict[str, Path]:
    """Write examples as `STEM.npz`, which `score --data` and `data.name=npz` read, where arrays say all of them."""
    if isinstance(spec.medium, Roll):
        frames, sizes = frames_in(x.numpy()) if spec.ends else (x.numpy().transpose(0, 2, 1), None)
        arrays = {"train": frames} | ({} if sizes is None else {"train_lengths": sizes})
    elif not spec.is_plain:
        return {}
    else:
        arrays = {"train": x.numpy() if spec.medium is None and not spec.ends else x[:, 0].numpy()}
    if spec.end is not None and spec.medium is None:
        arrays["train_lengths"] = (x[:, 0] != spec.end).sum(1).numpy()
        arrays["train"] = np.where(arrays["train"] == spec.end, 0, arrays["train"])
    if cond.labels is not None:
        arrays["train_labels"] = np.array([spec.label_of(y) for y in cond.labels.tolist()])
    if spec.context and cond.context is not None:
        arrays["train_context"] = cond.context.numpy()
    path = stem.with_name(f"{stem.name}.npz")
    write_npz(arrays, path)
    return {"arrays": path}


def _compared(saved: SavedRun) -> Tensor | None:
    """Return the training examples to show beside samples; None where they are not at hand, which is said."""
    try:
        return saved.data().split("train")[0]
    except UserError as error:
        notice(f"samples are not shown beside the data: {error}")
        return None


def _drawn(
    densities: Sequence[Density], noise: Tensor, cond: Condition, known: Tensor | None, mask: Tensor | None,
    temperature: float, engine: Engine,
) -> Tensor:  # fmt: skip
    """Share the samples among copies of a density, each on its device; each sample is a function of its noise alone."""

    def draw(density: Density, rows: Tensor) -> Tensor:
        kept, where = (None if t is None else t[rows] for t in (known, mask))
        given = rows_of(cond, rows)
        more: dict[str, Any] = {"noise": noise[rows], "progress": bar.update, "engine": engine}
        return density.sample(len(rows), given, kept, where, temperature, **more).cpu()

    parts = torch.arange(len(noise)).tensor_split(len(densities))
    total = len(noise) * densities[0].spec.dims
    with (
        tqdm(total=total, desc="drawing", unit=" values", leave=False, disable=None) as bar,
        ThreadPoolExecutor(len(densities)) as pool,
    ):
        return torch.cat(list(pool.map(draw, densities, parts)))


def _devices(names: str) -> list[str]:
    if names == "auto":
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    for name in names.split(","):
        try:
            torch.zeros(1, device=name).item()  # `meta` has no values
        except (RuntimeError, AssertionError) as error:  # AssertionError: a PyTorch without CUDA
            raise UserError(first_line(error), f"--device {name}", "take auto or cpu") from None
    return names.split(",")


def _reads_more(density: Density) -> bool:
    """Return whether more is given than labels: then samples are given what test examples are."""
    return bool(density.model.features or density.model.context)


def _condition(density: Density, saved: SavedRun, n: int, label: int | str | None, given: str | None) -> Condition:
    number = class_of(density, label)
    context = labels = None
    if given is not None:
        if not density.spec.context and not density.spec.given:
            raise UserError("this density is given no columns or vectors", f"--given {given}", "leave it out")
        if density.spec.context:
            context = repeated(Condition(context=read_context(given, density.spec)), n).context
    if not _reads_more(density) or (context is not None and not density.model.features):
        if density.conditional:
            labels = torch.arange(n) % density.spec.classes if number is None else torch.full((n,), number)
        return Condition(labels, None, context)
    own = _of_test_examples(saved, n, number)
    features = own.features
    if features is not None and density.model.features and features.shape[-1] != density.spec.shape[-1]:
        raise UserError(f"--length: the features that this density reads are those of {features.shape[-1]} sites")
    labels = own.labels if density.conditional else None
    cond = own._replace(labels=labels, context=own.context if context is None else context)
    try:
        density.check_condition(n, cond)
    except ValueError as error:
        raise UserError(f"data: what its test examples are given is not what this density reads: {error}") from None
    return cond


def _of_test_examples(saved: SavedRun, n: int, number: int | None) -> Condition:
    """Return what test examples are given, all of one class unless `number` is null: of n, spread evenly over them."""
    data = saved.data()
    rows = torch.arange(data.size("test"))
    if number is not None:
        labels = as_condition(data.split("test")[1]).labels
        rows = rows if labels is None else rows[labels == number]
    if not len(rows):
        of_it = f"--cond {data.spec.label_of(number or 0)}: no test example is of it"
        raise UserError(f"{of_it}, whose features or vectors would be given; choose another")
    chosen = rows[torch.arange(min(n, len(rows))) * len(rows) // min(n, len(rows))]
    return repeated(data.examples("test", chosen)[1], n)


def _given_columns(density: Density, saved: SavedRun, n: int, given: str | None) -> tuple[Tensor | None, Tensor | None]:
    """Return rows `(n, 1, D)` whose given columns samples have, and a mask of these; None for both if none are."""
    table = density.spec.medium
    if not isinstance(table, MixedTable) or not table.given:
        return None, None
    names = ", ".join(table.names[: table.given])
    if given is None:
        notice(f"given {names} of rows of the test split; --given FILE takes those of others")
        return given_values(density, saved.data(), n)
    rows = read_table_rows(Path(given).expanduser(), density.spec, saved.config, given=True)
    x, mask = torch.from_numpy(rows.x), density.given_mask(1)
    unread = density.likelihood.unread(x.to(density.device))
    if unread is not None and bool((unread.cpu() & mask).any()):
        i = int((unread.cpu() & mask).flatten(1).any(1).nonzero()[0])
        what = f"{rows.place} {rows.frame.index[i]}: a value of {names} is missing, which this density is given"
        raise UserError(what, f"--given {given}", "mend or remove that row")
    if not len(x):
        raise UserError("has no rows", f"--given {given}")
    notice(f"given {names} of {len(x):,} rows of {given}, in turn")
    return x[torch.arange(n) % len(x)], density.given_mask(n)


def _known(
    density: Density, prompt: str | None, keep: float | None, n: int, background: Background
) -> tuple[Tensor | None, Tensor | None]:
    """Return the beginning of the samples and a mask of it, `(n, C, *sites)` each, or None for both."""
    if prompt is None:
        if keep is not None:
            raise UserError("--keep: says how much of a --prompt to take; give one")
        return None, None
    start = read_prompt(prompt, density.spec, keep, background)
    known = torch.zeros(density.spec.shape, dtype=start.dtype)
    mask = torch.zeros(density.spec.shape, dtype=torch.bool)
    known[:, : start.shape[1]], mask[:, : start.shape[1]] = start, True
    if not density.completes(mask):
        raise UserError("--prompt: this density visits the values in another order, so it cannot continue their start")
    return known.expand(n, *known.shape), mask.expand(n, *mask.shape)


def class_of(density: Density, label: int | str | None) -> int | None:
    """Return the number of the class that has a label; null for none in particular."""
    if label is None:
        return None
    if not density.conditional:
        raise UserError(f"--cond {label}: this density is unconditional; train one with model.conditional=true")
    number = density.spec.class_of(label)
    if number is None:
        hint = nearest(label, (name for name in density.spec.labels if isinstance(name, str)))
        raise UserError(f"--cond {label}: its classes are {density.spec.class_names}{hint}")
    return number


def stem_of(out: str | None, default: Path, *sources: str | None) -> Path:
    """Return the path of the files, of which there may be several, without their endings: `grid` for `grid.png`.

    Raises:
        UserError: one of the `sources`, from which they are made, has the name of such a file.
    """
    path = default if out is None else Path(out).expanduser()
    stem = path.with_suffix("") if out and path.suffix.lower() in ENDINGS else path
    for source in sources:
        for ending in ENDINGS:
            refuse_over(stem.with_name(f"{stem.name}{ending}"), source)
    return stem
