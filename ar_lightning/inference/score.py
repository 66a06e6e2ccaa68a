"""The log-likelihood of each example under a trained density, as a table: `python run.py score RUN --data FILE`."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ar_lightning.config.registry import DATA
from ar_lightning.core.condition import as_condition
from ar_lightning.core.errors import UserError, did_you_mean, refuse_over
from ar_lightning.core.files import write_csv
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.notice import notice
from ar_lightning.data.base import Split
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.inference.cells import BATCH, cell_scores, given_what, oddest_png, usual_scores
from ar_lightning.inference.evaluate import log_class_prior, scores, translator
from ar_lightning.inference.inputs import Inputs, background_of, input_data, read_inputs
from ar_lightning.inference.open import Run, open_run
from ar_lightning.inference.rows import TableRows, label_column, read_table_rows
from ar_lightning.media.plots import drawn

__all__ = ["score"]


def score(
    run: str, data: str | None = None, split: str = "test", out: str = "scores.csv", overrides: Sequence[str] = (),
    by: Literal["column"] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write log p(x), or log p(x | y) where a conditional density is given labels, of each example, in their order.

    The columns are index, nats (log p), bits_per_dim (-log p, of the values that an example has, its end among them;
    not of a mixed table), label where there are labels,
    p_label (that is p(y | x)) where a conditional density is given them, and file where examples come from several. By
    column, there is also -log p of every cell of a mixed table, in nats: given all other cells of its row that are
    there, of a density for all orders, and else given those before it. Cells that are missing or given have none. Then
    a picture shows the oddest rows.

    Args:
        run: the run directory or checkpoint.
        data: a file or folder of examples, or the name of a dataset; null for the run's own.
        split: of the dataset, test or valid; of an .npz file any.
        out: the CSV file.
        overrides: `key=value` of the dataset, and of where to compute.
        by: `column` for a score of each cell.

    Returns:
        `examples`, `nll` their mean in nats, `bpd` in bits per dimension, None of a mixed table, and by column the
        picture, `oddest`.

    Raises:
        UserError: the density cannot take the data, or an example holds illegal values.
    """
    path = None if data is None or data in DATA else Path(data).expanduser()
    if path is not None and not path.exists():
        raise UserError(f"--data {data}: no such file, nor a dataset{did_you_mean(data, DATA)}")
    if path is not None and any(o.startswith("data") for o in overrides):
        raise UserError(f"--data {data}: a file has no keys data.*; they go with the name of a dataset")
    chosen = [f"data.name={data}", *overrides] if data in DATA else overrides
    file = Path(out).expanduser()
    refuse_over(file, path)
    opened = open_run(run, chosen, resize=path is None)
    density = opened.density
    if by and not isinstance(density.spec.medium, MixedTable):
        raise UserError(f"--by {by}: is for tables of mixed columns, and this density is of {density.spec}")
    table = None  # of a file
    if path is not None and density.spec.support == "mixed":
        table = read_table_rows(path, density.spec, opened.config, holes=density.model.orderless)
        inputs: Inputs | None = Inputs(Split(table.x, table.labels))
    else:
        inputs = None if path is None else read_inputs(path, density.spec, split, background_of(opened.config))
    if inputs and inputs.notes:
        notice(f"{data}: {', '.join(inputs.notes)}")
    if inputs is None:
        module = opened.data()
        prior = log_class_prior(density, module)
    else:
        module = input_data(inputs.split, density.spec, opened.config["seed"], opened.config["data"]["stream"])
        prior = log_class_prior(density, opened.data()) if density.conditional else None
        if prior is None and density.conditional and inputs.split.labels is None:
            raise UserError(f"--data {data}: this density is conditional: give labels, in an .npz file")
        if table and density.conditional and table.labels is None:
            notice(
                f"{data}: scores are log p(row), over all classes of {label_column(opened.config)}, which is not there"
            )
    with opened.computing():
        parts = list(scores(density, module, split if inputs is None else "test", log_prior=prior, parts=False))
    rows = torch.cat([part.rows for part in parts]).argsort()  # a stream is read in lanes
    nll = torch.cat([part.nll for part in parts]).double().cpu()[rows]
    dims: Any = density.spec.dims
    if all(part.symbols is not None for part in parts):
        dims = torch.cat([part.symbols for part in parts if part.symbols is not None]).cpu()[rows]
    bits = nll / (dims * math.log(2)) if density.spec.has_bpd else None
    columns: dict[str, Any] = {"index": range(len(nll)), "nats": _text(-nll)}
    columns |= {} if bits is None else {"bits_per_dim": _text(bits)}
    if all(part.labels is not None for part in parts):
        labels = torch.cat([part.labels for part in parts if part.labels is not None]).cpu()[rows]
        columns["label"] = [module.spec.label_of(y) for y in labels.tolist()]
        if prior is not None:
            joint = torch.cat([part.log_joint for part in parts if part.log_joint is not None]).cpu()[rows]
            columns["p_label"] = _text(joint.softmax(1).gather(1, labels[:, None])[:, 0])
    if inputs and inputs.names:
        columns["file"] = inputs.names
    bpd = None if bits is None else float((bits * dims).sum() / (bits * 0 + dims).sum())
    found: dict[str, Any] = {"examples": len(nll), "nll": float(nll.mean()), "bpd": bpd}
    if by:
        which = split if inputs is None else "test"
        cells, picture = _by_column(opened, module, which, nll, table, file)
        columns |= cells
        found["oddest"] = picture
    write_csv(columns, zip(*columns.values(), strict=True), file)
    return found


def _by_column(
    opened: Run, module: ArrayDataModule, split: str, nll: Tensor, file: TableRows | None, out: Path
) -> tuple[dict[str, Iterator[str]], Path | None]:
    """Return the scores of the cells by column, and the picture of the oddest rows, None where it cannot be drawn."""
    density = opened.density
    table: Any = density.spec.medium
    x, cond = module.split(split)
    x = translator(density, module)(x, torch.arange(len(x)))
    if density.conditional and as_condition(cond).labels is None:
        raise UserError(
            f"--by column: this density is of p(row | {label_column(opened.config)}): give that column, too"
        )
    with opened.computing():
        cells = cell_scores(density, x, cond)
        usual = usual_scores(density, x, cond, opened.config["seed"])
    what = given_what(density)
    names = [f"-log p({name} | {what})" for name in table.names[table.given :]]
    picture = out.with_name(f"{out.stem}-oddest.png")
    numbers, place = (range(len(x)), "index") if file is None else (file.frame.index.tolist(), file.place)
    of = f"cell | {'all others' if what == 'others' else 'those before'}"
    scored = zip(names, cells.T[table.given :], strict=True)
    texts = {name: _written(column) for name, column in scored}
    drawing = x, cells.numpy(), nll.numpy(), usual.numpy(), table, numbers, place, of, picture
    return texts, drawn(picture, lambda: oddest_png(*drawing))


def _written(values: Tensor) -> Iterator[str]:
    """Yield scores of cells as texts, one at a time: all texts of a large table would take some GB."""
    for part in values.split(BATCH):
        yield from ("" if math.isnan(value) else f"{value:.9g}" for value in part.tolist())


def _text(values: Tensor) -> list[str]:
    """Write numbers with all their digits of single precision."""
    return [f"{value:.9g}" for value in values.tolist()]
