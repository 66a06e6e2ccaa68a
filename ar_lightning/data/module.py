"""From arrays to batches: the one DataModule, whatever the dataset."""

from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ar_lightning.core.condition import Condition, Given
from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Decay, PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Split
from ar_lightning.data.fingerprint import Fingerprint, fingerprint
from ar_lightning.data.samplers import EpochSampler, LaneSampler
from ar_lightning.data.transforms import Dequantised, mutated

__all__ = ["ArrayDataModule", "Batch"]

Batch = tuple[Tensor, Given]
READ = 2**24  # values looked at at a time


class ArrayDataModule(lightning.LightningDataModule):
    """Batches of any dataset from arrays in memory or mapped from files: `(x, cond)`.

    `x` is `(B, C, *sites)`, int64 levels or float32 values; `cond` are the labels `(B,)` int64, None where the data has
    none, or a `Condition` where it has features `(B, F, *sites)` or vectors `(B, F)` too.
    A training step holds the same examples on any number of processes: step `t` takes the same examples of the
    permutation drawn from `seed` and epoch, divided among them. Where examples end where they end, those of a step are
    of about one length. Evaluation counts every example exactly once. The Trainer needs
    `use_distributed_sampler=False`.

    The windows of a contiguous dataset may also be read as a stream: in as many lanes as a batch has examples, each a
    part of the split; batch `t` has the `t`-th window of every lane. Training leaves out the last windows, which do not
    fill all lanes; in evaluation lanes differ in length by one at most, and the longer come first.

    Args:
        dataset: where the arrays come from.
        seed: of the order of the training examples, together with the epoch.
        batch_size: examples per training step, over all processes together.
        eval_batch_size: examples per evaluation step, over all processes together; null for `batch_size`.
        dequantise: add uniform noise to the levels, for a likelihood of real values; bits/dim then are a bound on those
            of the levels.
        stream: read the windows of a text in order, in `batch_size` lanes, and carry the model's state from each to the
            next; they are scored given the text before.
        mutate: fraction of the values of a training batch that are replaced by levels drawn uniformly, for the
            background density of a likelihood ratio (Ren et al., 2019), as `run.py anomaly --background` takes it.

    Raises:
        UserError: `mutate` is given for real values, `batch_size` cannot be divided among the processes, or a split is
            smaller than it has to be.
    """

    def __init__(
        self,
        dataset: Dataset,
        seed: int = 0,
        *,
        batch_size: PositiveInt = 64,
        eval_batch_size: PositiveInt | None = None,
        dequantise: bool = False,
        stream: bool = False,
        mutate: Decay = 0.0,
    ) -> None:
        super().__init__()
        self.dataset: Dataset = Dequantised(dataset, seed) if dequantise else dataset
        self.seed = seed
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.stream = stream
        self.mutate = mutate
        if mutate and self.spec.levels is None:
            raise UserError(f"data.mutate={mutate:g}: replaces levels, and this data is {self.spec}; set it to 0")
        if mutate and self.spec.ends:
            raise UserError(f"data.mutate={mutate:g}: examples would end elsewhere, of {self.spec}; set it to 0")
        self._batches: dict[str, _Batches] = {}
        self._order: EpochSampler | LaneSampler  # of the training batches
        self.fingerprint: Fingerprint  # of the splits, once they are loaded

    @property
    def spec(self) -> DataSpec:
        """Shape, support and number of classes of one example."""
        return self.dataset.spec

    @property
    def regime(self) -> str:
        """Binarisation, split and sizes, which a published number must agree with."""
        if not self.stream:
            return self.dataset.regime
        lanes = min(self.eval_batch_size, self.size("test"))
        return f"{self.dataset.regime}; windows given the text before them, in {lanes} lanes that start without any"

    def prepare_data(self) -> None:
        """Download what is missing, on one process, which keeps the arrays for its `setup`."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Load the splits, keeping small integers small and mapped files on disk."""
        if not self._batches:
            augment = {"train": self._augment}
            values, splits = self.dataset.values, self.dataset.load()
            self._batches = {name: _Batches(split, values, augment.get(name)) for name, split in splits.items()}
            self.fingerprint = fingerprint(splits)

    def _augment(self, x: Tensor) -> Tensor:
        x = self.dataset.augment(x)
        return mutated(x, self.mutate, self.spec.levels) if self.mutate and self.spec.levels else x

    def size(self, name: str) -> int:
        """Return the number of examples of a split."""
        self.setup()
        return len(self._batches[name])

    def dims(self, name: str) -> float:
        """Return the number of values of an example of a split; where lengths differ, their mean, ends included."""
        if self.spec.end is None:
            return self.spec.dims
        self.setup()
        sizes = self._batches[name].lengths(self.spec.end) * self.spec.shape[0] + 1
        return float(np.minimum(sizes, self.spec.dims).mean())

    def split(self, name: str, n: int | None = None) -> Batch:
        """Return a split, or `n` examples spread evenly over it (a test file may be sorted by class).

        Training examples are as stored, before `augment`; the types are those of a batch.
        """
        size = self.size(name)
        return self.examples(name, torch.arange(size) if n is None or n >= size else torch.arange(n) * size // n)

    def examples(self, name: str, rows: Tensor) -> Batch:
        """Return the examples of a split with these numbers `(n,)`, as `split` does."""
        self.setup()
        return self._batches[name].read(rows)

    def class_prior(self) -> Tensor:
        """Return the frequency of each class among the training labels, `(classes,)` float64 of sum 1."""
        self.setup()
        labels = self._batches["train"].labels
        if labels is None:
            raise UserError(f"data: {self.spec} has no labels, so there are no classes")
        return torch.bincount(labels, minlength=self.spec.classes).double() / len(labels)

    def true_nll(self) -> float | None:
        """Return the mean of -log p in nats of the test examples under their true density; None if it is unknown.

        No model can be expected to do better; a conditional one may, as it is given the labels.
        """
        self.setup()
        test = self._batches["test"]
        log_p = self.dataset.true_log_prob(test.x, test.features)
        return None if log_p is None else -float(log_p.mean())

    def train_dataloader(self) -> DataLoader[Batch]:
        rank, world = self._rank_and_world("train")
        if self.batch_size % world:
            what = f"data.batch_size={self.batch_size} cannot be divided among {world} processes"
            raise UserError(f"{what}; change either")
        examples = self._batches["train"]
        if self.stream:
            if len(examples) < self.batch_size:
                few = f"{len(examples)} train windows do not fill {self.batch_size} lanes"
                raise UserError(f"data.stream=true: {few}; lower data.batch_size or data.length")
            whole = len(examples) - len(examples) % self.batch_size
            self._order = LaneSampler(whole, self.batch_size, rank, world)
            return _loader(examples, batch_sampler=self._order)
        lengths = None if self.spec.end is None else examples.lengths(self.spec.end)
        self._order = EpochSampler(len(examples), self.seed, rank, world, lengths, self.batch_size)
        return _loader(examples, self.batch_size // world, sampler=self._order)

    def skip(self, batches: int) -> None:
        """Leave out the first batches of the training epoch that is read next, which the model has learned from."""
        self._order.start = batches if self.stream else batches * (self.batch_size // self._rank_and_world("train")[1])

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._eval_dataloader("valid")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._eval_dataloader("test")

    def _eval_dataloader(self, name: str) -> DataLoader[Batch]:
        rank, world = self._rank_and_world(name)
        examples = self._batches[name]
        if self.stream:
            lanes = min(self.eval_batch_size, len(examples))
            if lanes < world:
                few = f"{lanes} {name} lanes for {world} processes"
                raise UserError(f"data.stream=true: {few}; raise data.eval_batch_size, or use fewer devices")
            return _loader(examples, batch_sampler=LaneSampler(len(examples), lanes, rank, world))
        # Lightning's default sampler repeats examples to even out the processes, which biases the number reported.
        sampler = UnrepeatedDistributedSampler(examples, world, rank, shuffle=False) if world > 1 else None
        return _loader(examples, -(-self.eval_batch_size // world), sampler=sampler)

    def _rank_and_world(self, name: str) -> tuple[int, int]:
        self.setup()
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
        if (n := len(self._batches[name])) < world:
            raise UserError(f"data: {n} {name} examples for {world} processes; use fewer devices")
        return rank, world


class _Batches(TorchDataset[Batch]):
    """A split, indexed a batch at a time: what is indexed is copied, the whole of a mapped file never is.

    `values` is applied to every batch, and then `augment` to those of training.
    """

    def __init__(
        self, split: Split, values: Callable[[Tensor], Tensor], augment: Callable[[Tensor], Tensor] | None
    ) -> None:
        self.x = np.asarray(split.x)  # the view of a mapped file as a plain array: it is indexed faster
        self.labels = None if split.labels is None else torch.from_numpy(np.array(split.labels))
        self.features, self.context = (None if a is None else np.asarray(a) for a in (split.features, split.context))
        self.values = values
        self.augment = augment

    def __len__(self) -> int:
        return len(self.x)

    def lengths(self, end: int) -> np.ndarray:
        """Return the number of sites `(N,)` before the end of each example."""
        return np.concatenate([(x[:, 0] != end).sum(1) for x in np.array_split(self.x, -(-self.x.size // READ))])

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.read(torch.tensor(indices), augmented=True)

    def read(self, indices: Tensor, augmented: bool = False) -> Batch:
        """Return the examples as a batch, optionally augmented."""
        x = self.values(torch.from_numpy(self.x[indices.numpy()]))
        x = self.augment(x) if augmented and self.augment else x
        x = x if x.is_floating_point() else x.long()
        labels = None if self.labels is None else self.labels[indices]
        if self.features is None and self.context is None:
            return x, labels
        rows = indices.numpy()
        parts = (None if a is None else torch.from_numpy(a[rows]) for a in (self.features, self.context))
        return x, Condition(labels, *parts)


def _loader(examples: _Batches, batch_size: int = 1, **samplers: Any) -> DataLoader[Batch]:
    """Fetch whole batches through `__getitems__`.

    The private generator keeps the loader's own draw of a worker seed out of the global one, so that validating more or
    less often does not change training.
    """
    return DataLoader(examples, batch_size, collate_fn=lambda batch: batch, generator=torch.Generator(), **samplers)
