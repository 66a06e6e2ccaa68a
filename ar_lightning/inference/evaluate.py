"""Evaluate a trained density on data, read in its own units and characters: likelihood, its error, and by class."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.condition import Condition, as_condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import MAX_CLASSES, Density
from ar_lightning.density.lengths import symbols_of
from ar_lightning.density.members import log_mean
from ar_lightning.density.metrics import (
    BitsPerDim,
    ColumnLikelihood,
    ColumnShare,
    MixtureLikelihood,
    NegativeLogLikelihood,
)
from ar_lightning.density.stream import Memory, carried
from ar_lightning.media.choose import media_of
from ar_lightning.media.text import bits_per_character

__all__ = [
    "EVALUATED",
    "Evaluation",
    "check_data",
    "evaluate",
    "log_class_prior",
    "scores",
    "standard_error",
    "translator",
]

EVALUATED = ("test", "valid")  # splits that are read in order, and as they are


class Scored(NamedTuple):
    """A batch of examples and their scores."""

    rows: Tensor  # number of each example in its split, `(B,)`
    nll: Tensor  # -log p(x), or -log p(x | y) where labels are given, `(B,)` in nats
    labels: Tensor | None  # `(B,)`, or None
    log_joint: Tensor | None  # log p(x | y) + log p(y) of every class, `(B, classes)` in nats; None where there is none
    terms: Tensor | None = None  # -log p of each cell given those before, under the first member, `(B, D)` in nats
    scored: Tensor | None = None  # booleans `(B, D)`: which cells are scored; both of a mixed table only
    symbols: Tensor | None = None  # number of values that are scored `(B,)`, of examples of different lengths only
    members: Tensor | None = None  # log p(x) under each member `(members, B)` in nats, where there are several


@dataclass(frozen=True)
class ClassLikelihood:
    """The likelihood of the examples of one class, with the numbers that `Evaluation` has of all."""

    label: int | str  # as the data calls it
    examples: int
    nll: float
    nll_stderr: float | None
    bpd: float | None
    bpd_stderr: float | None
    accuracy: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The likelihood of a split."""

    split: str  # its name
    regime: str  # what a published number must agree with
    examples: int  # number of them
    nll: float  # mean in nats per example
    nll_stderr: float | None  # standard error of that mean, for examples that are independent; None of a single one
    bpd: float | None  # mean in bits per dimension; None of a mixed table
    bpd_stderr: float | None  # its standard error
    independent: bool  # whether the examples are; windows of a stream are not, and their errors may be too small
    accuracy: float | None = None  # of argmax_y p(x | y) p(y); None where nothing is classified
    accuracy_stderr: float | None = None  # its standard error
    classes: tuple[ClassLikelihood, ...] = ()  # the same by class, where there are labels
    columns: tuple[ColumnShare, ...] = ()  # of a mixed table, under the first member where several are averaged
    bits_per_character: float | None = None  # of a whole text of tokens: an upper bound
    nll_by_members: Mapping[int, float] = field(default_factory=dict)  # of mixtures of the first of several members


def evaluate(
    density: Density, data_module: ArrayDataModule, split: str = "test", limit: int | None = None
) -> Evaluation:
    """Return the likelihood of a split, by the batches and metrics that the training tests with.

    Args:
        density: a trained density.
        data_module: of data that it can take. Rows of a table are put in the density's own units first, and text is
            read in its own characters.
        split: test or valid.
        limit: batches to read; null for all.

    Raises:
        UserError: the density cannot take the data, or an example holds illegal values.
    """
    nll, bpd = NegativeLogLikelihood(), BitsPerDim(density.spec.dims)
    medium = density.spec.medium
    columns = ColumnLikelihood(medium) if isinstance(medium, MixedTable) else None
    mixtures = MixtureLikelihood(density.model.members)
    parts = []
    for scored in scores(density, data_module, split, limit, log_class_prior(density, data_module)):
        part = Scored(*(None if t is None else t.cpu() for t in scored))  # type: ignore[arg-type]
        nll.update(part.nll)
        bpd.update(part.nll, part.symbols)
        if columns is not None and part.terms is not None and part.scored is not None:
            columns.update(part.terms, part.scored)
        if part.members is not None:
            mixtures.update(part.members)
        parts.append(part._replace(terms=None, scored=None, members=None))
    every = torch.cat([part.nll for part in parts]).double()
    labels = torch.cat([part.labels for part in parts if part.labels is not None] or [torch.empty(0)]).long()
    guesses = torch.cat([part.log_joint.argmax(1) for part in parts if part.log_joint is not None] or [labels[:0]])
    right = guesses == labels if len(guesses) else torch.empty(0)
    dims = None
    if density.spec.has_bpd:
        symbols = [part.symbols for part in parts if part.symbols is not None]
        dims = (torch.cat(symbols) if symbols else torch.full((len(every),), density.spec.dims)).double()
    return Evaluation(
        split, data_module.regime, len(every), float(nll.compute()), standard_error(every),
        None if dims is None else float(bpd.compute()), _bits(every, dims)[1],
        not data_module.stream, float(right.float().mean()) if len(right) else None,
        standard_error(right.double()) if len(right) else None,
        tuple(_of_class(int(y), data_module.spec, every, labels, right, dims) for y in labels.unique()),
        columns.shares() if columns is not None and columns.update_count else (),
        None if limit else bits_per_character(float(nll.compute()), data_module.split(split)[0], data_module.spec),
        mixtures.by_size() if mixtures.update_count else {},
    )  # fmt: skip


@torch.inference_mode()
def scores(
    density: Density, data: ArrayDataModule, split: str = "test", limit: int | None = None,
    log_prior: Tensor | None = None, parts: bool = True,
) -> Iterator[Scored]:  # fmt: skip
    """Yield the batches of a split, test or valid, scored, behind a progress bar; `limit` of them, null for all.

    Where a conditional density is given no labels, it is scored by log p(x) = log sum_y p(x | y) p(y); `log_prior` is
    log p(y) `(classes,)` in nats, null for no p(x | y) of other classes. `parts` are scored, too: cells of a mixed
    table, and an example under each of several members.
    """
    if split not in EVALUATED:
        raise UserError(f"split '{split}': only {' and '.join(EVALUATED)} are evaluated")
    read = translator(density, data)
    loader: Any = data.test_dataloader() if split == "test" else data.val_dataloader()
    batches = zip(loader.batch_sampler, loader, strict=True)
    memory: Memory = {}
    was_training = density.training
    density.eval()  # in training, data is not checked and models may drop units
    try:
        total = min(len(loader), limit or len(loader))
        for numbers, (x, cond) in tqdm(
            islice(batches, total), split, total, leave=False, unit=" batches", disable=None
        ):
            rows = torch.tensor(numbers)
            x = read(x, rows).to(density.device)
            condition = Condition(*(None if t is None else t.to(density.device) for t in as_condition(cond)))
            more: dict[str, Any] = {"symbols": symbols_of(x, density.spec)}
            if parts and density.spec.support == "mixed" and (condition.labels is not None or not density.conditional):
                more |= {"terms": -density.terms(x, condition)[:, 0], "scored": density.scored(x)[:, 0]}
            if log_prior is None:
                with carried(density.model, memory, len(x)) if data.stream else nullcontext():
                    log_p = density.member_log_probs(x, condition)
                more |= {"members": log_p} if parts and len(log_p) > 1 else {}
                yield Scored(rows, -log_mean(log_p), condition.labels, None, **more)
                continue
            if parts and density.model.members > 1 and condition.labels is not None:
                more |= {"members": density.member_log_probs(x, condition)}
            log_p = density.class_log_probs(x, condition)
            joint = log_p + log_prior.to(log_p.device)
            of_x = joint.logsumexp(1) if condition.labels is None else log_p.gather(1, condition.labels[:, None])[:, 0]
            yield Scored(rows, -of_x, condition.labels, joint, **more)
    finally:
        density.train(was_training)


def log_class_prior(density: Density, data: ArrayDataModule) -> Tensor | None:
    """Return log p(y) of the training labels; None if the density does not classify."""
    if not density.conditional or density.spec.classes > MAX_CLASSES:
        return None
    check_data(density, data)  # first: data without labels has no prior
    return data.class_prior().log()


def _of_class(
    number: int, spec: DataSpec, nll: Tensor, labels: Tensor, right: Tensor, dims: Tensor | None
) -> ClassLikelihood:
    here, label = labels == number, spec.label_of(number)
    accuracy = float(right[here].double().mean()) if len(right) else None
    bits = _bits(nll[here], None if dims is None else dims[here])
    return ClassLikelihood(label, int(here.sum()), float(nll[here].mean()), standard_error(nll[here]), *bits, accuracy)


def _bits(nll: Tensor, dims: Tensor | None) -> tuple[float | None, float | None]:
    """Return the bits per dimension of scores `(N,)` in nats over `dims` `(N,)`, and their standard error.

    All bits are divided by all dimensions; the error of that ratio is, to first order, that of a mean.
    """
    if dims is None:
        return None, None
    bits = nll / math.log(2)
    ratio = bits.sum() / dims.sum()
    return float(ratio), standard_error((bits - ratio * dims) / dims.mean())


def standard_error(values: Tensor) -> float | None:
    """Return the standard error of the mean of independent values `(N,)`; None of a single one."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None


def check_data(density: Density, data: ArrayDataModule) -> None:
    """Raise `UserError` if data differ in shape, values or what is given from what the density was trained for."""
    own, other = density.spec, data.spec
    media, theirs = media_of(own), media_of(other)
    recoded = media.recoded and theirs.recoded
    mixed = own.support == other.support == "mixed"  # columns are found by their names
    if (
        (own.shape != other.shape and not mixed)
        or own.ends != other.ends
        or (own.levels != other.levels and not recoded)
        or own.quantised != other.quantised
    ):
        how = "; set data.dequantise=true" if own.quantised and own.quantised == other.levels else ""
        raise UserError(f"data: {_in_full(other)}, but this density was trained for {_in_full(own)}{how}")
    if not (own.medium is None and other.is_plain):  # rows of arrays had no medium in older checkpoints
        if type(media) is not type(theirs):
            raise UserError(f"data: {theirs.name}, but this density was trained for {media.name}")
        if difference := media.difference(theirs):
            raise UserError(f"data: {difference}")
    if density.conditional and other.classes != own.classes:
        raise UserError(f"data: {other.classes} classes, but this density is conditional on {own.classes}")
    if density.model.features and other.features != own.features:
        raise UserError(f"data: {other.features} features, but this density reads {own.features}")
    if own.context and len(other.context) != len(own.context):
        raise UserError(f"data: vectors of {len(other.context)} numbers, but this density reads {len(own.context)}")
    if data.stream and not density.model.carries:
        raise UserError("data.stream=true: this density carries no state on; set it to false")


def translator(density: Density, data: ArrayDataModule) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that puts a batch in the units or characters of a density.

    It takes values `(B, C, *sites)` and the numbers `(B,)` of the examples, and raises `UserError` if an example holds
    illegal values.
    """
    check_data(density, data)
    own, media, theirs = density.spec, media_of(density.spec), media_of(data.spec)

    def read(x: Tensor, rows: Tensor) -> Tensor:
        x = media.translate(x, theirs)
        if own.support == "mixed":
            return _legal_rows(density, x, rows)
        legal = x.isfinite() if own.levels is None else (x >= 0) & (x < own.levels) & (x == x.round())
        if not bool(legal.all()):
            i = int((~legal).flatten(1).any(1).nonzero()[0])
            what = media.illegal.format(x[i][~legal[i]][0].item())
            raise UserError(f"data: example {rows[i]} holds {what}; this density was trained for {_in_full(own)}")
        return x

    return read


def _legal_rows(density: Density, x: Tensor, rows: Tensor) -> Tensor:
    """Return rows of a mixed table; raise `UserError` if one holds an illegal value, or lacks one that is needed."""

    def complaint(some: Tensor) -> str:
        try:
            density.check_values(some.to(density.device))
        except ValueError as error:
            return str(error)
        return ""

    if complaint(x):
        i, why = next((i, why) for i in range(len(x)) if (why := complaint(x[i : i + 1])))
        raise UserError(f"data: row {rows[i]}: {why}")
    return x


def _in_full(spec: DataSpec) -> str:
    return f"{spec}, dequantised from {spec.quantised} levels" if spec.quantised else str(spec)
