"""How likely data is under a trained density: the number of its training again, with its error, and by class."""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy
from tqdm import tqdm

from ar_lightning.condition import Condition, as_condition
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density import Density
from ar_lightning.errors import UserError
from ar_lightning.lit import MAX_CLASSES
from ar_lightning.medium import Table, Text
from ar_lightning.metrics import BitsPerDim, NegativeLogLikelihood
from ar_lightning.nn.recurrent import Memory, carried
from ar_lightning.spec import DataSpec

__all__ = ["EVALUATED", "ClassLikelihood", "Evaluation", "Scored", "evaluate", "log_class_prior", "scores"]

EVALUATED = ("test", "valid")  # splits that are read in order, and as they are


class Scored(NamedTuple):
    """A batch of examples and what a density says of them.

    Args:
        rows: number of each example in its split, `(B,)`.
        nll: -log p(x), or -log p(x | y) where labels are given, `(B,)` in nats.
        labels: `(B,)`, or None.
        log_joint: log p(x | y) + log p(y) of every class, `(B, classes)` in nats; None where there is none.
    """

    rows: Tensor
    nll: Tensor
    labels: Tensor | None
    log_joint: Tensor | None


@dataclass(frozen=True)
class ClassLikelihood:
    """The examples of one class.

    Args:
        label: the class.
        examples: number of them.
        nll: their mean in nats per example.
        nll_stderr: its standard error; None of a single example.
        bpd: the same in bits per dimension.
        bpd_stderr: its standard error.
        accuracy: fraction of them that is classified right; None where nothing is classified.
    """

    label: int
    examples: int
    nll: float
    nll_stderr: float | None
    bpd: float
    bpd_stderr: float | None
    accuracy: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The likelihood of a split.

    Args:
        split: its name.
        regime: what a published number must agree with.
        examples: number of them.
        nll: mean in nats per example.
        nll_stderr: standard error of that mean, for examples that are independent; None of a single one.
        bpd: mean in bits per dimension.
        bpd_stderr: its standard error.
        independent: whether the examples are; windows of a stream are not, and their errors may be too small.
        accuracy: of argmax_y p(x | y) p(y); None where nothing is classified.
        accuracy_stderr: its standard error.
        classes: the same by class, where there are labels.
    """

    split: str
    regime: str
    examples: int
    nll: float
    nll_stderr: float | None
    bpd: float
    bpd_stderr: float | None
    independent: bool
    accuracy: float | None = None
    accuracy_stderr: float | None = None
    classes: tuple[ClassLikelihood, ...] = ()


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
        UserError: the data is not such as the density takes, or an example holds illegal values.
    """
    nll, bpd = NegativeLogLikelihood(), BitsPerDim(density.spec.dims)
    accuracy: Any = MulticlassAccuracy(max(2, density.spec.classes), average="micro", validate_args=False)
    parts = []
    prior = log_class_prior(density, data_module)
    for scored in scores(density, data_module, split, limit, prior):
        part = Scored(*(None if t is None else t.cpu() for t in scored))  # type: ignore[arg-type]
        nll.update(part.nll)
        bpd.update(part.nll)
        if part.log_joint is not None and part.labels is not None:
            accuracy.update(part.log_joint.argmax(1), part.labels)
        parts.append(part)
    every = torch.cat([part.nll for part in parts]).double()
    labels = torch.cat([part.labels for part in parts if part.labels is not None] or [torch.empty(0)]).long()
    guesses = torch.cat([part.log_joint.argmax(1) for part in parts if part.log_joint is not None] or [labels[:0]])
    right = guesses == labels if len(guesses) else torch.empty(0)
    bits = 1 / (density.spec.dims * math.log(2))
    error = standard_error(every)
    of_all = float(accuracy.compute()) if len(right) else None
    return Evaluation(
        split, data_module.regime, len(every), float(nll.compute()), error, float(bpd.compute()), _times(error, bits),
        not data_module.stream, of_all, standard_error(right.double()) if len(right) else None,
        tuple(_of_class(int(y), every, labels, right, bits) for y in labels.unique()),
    )  # fmt: skip


@torch.inference_mode()
def scores(
    density: Density, data: ArrayDataModule, split: str = "test", limit: int | None = None,
    log_prior: Tensor | None = None,
) -> Iterator[Scored]:  # fmt: skip
    """Yield the batches of a split, scored, behind a progress bar.

    Where a conditional density is given no labels, it is scored by log p(x) = log sum_y p(x | y) p(y).

    Args:
        density: a trained density.
        data: of data that it can take.
        split: test or valid.
        limit: batches to read; null for all.
        log_prior: log p(y) `(classes,)` of a conditional density, in nats; null for no p(x | y) of other classes.

    Raises:
        UserError: as `evaluate`.
    """
    if split not in EVALUATED:
        raise UserError(f"split '{split}': only {' and '.join(EVALUATED)} are evaluated")
    read = translation(density, data)
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
            given = Condition(*(None if t is None else t.to(density.device) for t in as_condition(cond)))
            if log_prior is None:
                with carried(density.model, memory, len(x)) if data.stream else nullcontext():
                    yield Scored(rows, -density.log_prob(x, given), given.labels, None)
                continue
            log_p = density.class_log_probs(x, given)
            joint = log_p + log_prior.to(log_p.device)
            of_x = joint.logsumexp(1) if given.labels is None else log_p.gather(1, given.labels[:, None])[:, 0]
            yield Scored(rows, -of_x, given.labels, joint)
    finally:
        density.train(was_training)


def log_class_prior(density: Density, data: ArrayDataModule) -> Tensor | None:
    """Return log p(y) of the training labels, where the density is one that classifies."""
    if not density.conditional or density.spec.classes > MAX_CLASSES:
        return None
    check_data(density, data)  # first: data without labels has no prior
    return data.class_prior().log()


def check_data(density: Density, data: ArrayDataModule) -> None:
    """Refuse data that a density cannot take.

    Raises:
        UserError: shape, values, classes or features are not those that it was trained for.
    """
    own, other = density.spec, data.spec
    texts = isinstance(own.medium, Text) and isinstance(other.medium, Text)  # these differ in their characters
    is_same = own.shape == other.shape and (own.levels == other.levels or texts) and own.quantised == other.quantised
    if not is_same:
        how = "; set data.dequantise=true" if own.quantised and own.quantised == other.levels else ""
        raise UserError(f"data: {_in_full(other)}, but this density was trained for {_in_full(own)}{how}")
    if type(own.medium) is not type(other.medium):
        raise UserError(f"data: {_kind(other)}, but this density was trained for {_kind(own)}")
    if isinstance(own.medium, Table) and isinstance(other.medium, Table) and own.medium.columns != other.medium.columns:
        columns = ", ".join(own.medium.columns)
        raise UserError(f"data: columns {', '.join(other.medium.columns)}, but this density was trained for {columns}")
    if not isinstance(own.medium, Table | Text) and own.medium != other.medium:
        raise UserError(f"data: {other.medium}, but this density was trained for {own.medium}")
    if density.conditional and other.classes != own.classes:
        raise UserError(f"data: {other.classes} classes, but this density is conditional on {own.classes}")
    if density.model.features and other.features != own.features:
        raise UserError(f"data: {other.features} features, but this density reads {own.features}")
    if data.stream and not getattr(density.model, "carries", False):
        raise UserError("data.stream=true: this density carries no state on; set it to false")


def translation(density: Density, data: ArrayDataModule) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what puts a batch, whose examples have these numbers, in the units or characters of a density.

    Raises:
        UserError: it cannot take the data; what is returned raises it where an example holds illegal values.
    """
    check_data(density, data)
    own, other = density.spec, data.spec

    def read(x: Tensor, rows: Tensor) -> Tensor:
        if isinstance(own.medium, Table) and isinstance(other.medium, Table) and own.medium != other.medium:
            offset, scale, new_offset, new_scale = (
                torch.tensor(column, dtype=torch.float64)
                for medium in (other.medium, own.medium)
                for column in (medium.offset, medium.scale)
            )
            x = ((offset + scale * x - new_offset) / new_scale).float()
        if isinstance(own.medium, Text) and isinstance(other.medium, Text) and own.medium != other.medium:
            x = _respelt(x, own.medium.symbols, other.medium.symbols)
        legal = x.isfinite() if own.levels is None else (x >= 0) & (x < own.levels) & (x == x.round())
        if not bool(legal.all()):
            i = int((~legal).flatten(1).any(1).nonzero()[0])
            value = x[i][~legal[i]][0].item()
            what = "a character that it does not know" if isinstance(own.medium, Text) else f"the value {value:g}"
            raise UserError(f"data: example {rows[i]} holds {what}; this density was trained for {_in_full(own)}")
        return x

    return read


def _respelt(x: Tensor, symbols: str | None, before: str | None) -> Tensor:
    """Return levels of the characters `symbols` for those of `before`; -1 for a character that is not among them."""
    if symbols is None or before is None:
        raise UserError("data: bytes are no characters; set data.unit as in the training of this density")
    return torch.tensor([symbols.find(symbol) for symbol in before])[x]


def _of_class(label: int, nll: Tensor, labels: Tensor, right: Tensor, bits: float) -> ClassLikelihood:
    here = labels == label
    mean, error = float(nll[here].mean()), standard_error(nll[here])
    accuracy = float(right[here].double().mean()) if len(right) else None
    return ClassLikelihood(label, int(here.sum()), mean, error, mean * bits, _times(error, bits), accuracy)


def standard_error(values: Tensor) -> float | None:
    """Return the standard error of the mean of independent values `(N,)`; None of a single one."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _in_full(spec: DataSpec) -> str:
    return f"{spec}, dequantised from {spec.quantised} levels" if spec.quantised else str(spec)


def _kind(spec: DataSpec) -> str:
    return "plain arrays or images" if spec.medium is None else type(spec.medium).__name__.lower()
