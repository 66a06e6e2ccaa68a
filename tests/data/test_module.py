"""Batches: every example once, the same steps on any number of processes, nothing padded in evaluation."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor

from ar_lightning.config.schema import schema_of
from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Split, Splits
from ar_lightning.data.datasets.digits import Digits
from ar_lightning.data.module import ArrayDataModule, Batch


class Counting(Dataset):
    """Example `i` holds the number `i`, so that a batch shows which examples are in it."""

    def __init__(self, n: int = 101, real: bool = False, labelled: bool = False, noise: bool = False) -> None:
        self.n, self.real, self.labelled, self.noise = n, real, labelled, noise

    @property
    def spec(self) -> DataSpec:
        return DataSpec((1, 2), None if self.real else self.n)

    @property
    def regime(self) -> str:
        return "numbers"

    def load(self) -> Splits:
        x = np.arange(self.n).repeat(2).reshape(-1, 1, 2)
        split = Split(x.astype(np.float32 if self.real else np.uint8), np.arange(self.n) % 3 if self.labelled else None)
        return {"train": split, "valid": split, "test": split}

    def augment(self, x: Tensor) -> Tensor:
        return x + torch.randint(0, 2, x.shape) * 100 if self.noise else x


def module(dataset: Dataset, rank: int = 0, world: int = 1, seed: int = 0, batch_size: int = 8) -> ArrayDataModule:
    made = ArrayDataModule(dataset, seed, batch_size=batch_size, eval_batch_size=1)
    made.trainer = SimpleNamespace(global_rank=rank, world_size=world)  # type: ignore[assignment]
    return made


def numbers(batches: list[Batch]) -> list[list[int]]:
    return [x[:, 0, 0].int().tolist() for x, _ in batches]


def flat(batches: list[list[int]]) -> list[int]:
    return [i for batch in batches for i in batch]


def epoch(made: ArrayDataModule, number: int = 0) -> list[list[int]]:
    loader = made.train_dataloader()
    loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
    return numbers(list(loader))


def test_what_is_configured_is_documented() -> None:
    fields = schema_of("ar_lightning.data.module:ArrayDataModule").fields
    assert list(fields) == ["batch_size", "eval_batch_size", "dequantise", "stream", "mutate"]
    assert all(field.doc for field in fields.values())


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("labelled", [True, False])
def test_types_of_a_batch(real: bool, labelled: bool) -> None:
    made = ArrayDataModule(Counting(real=real, labelled=labelled), batch_size=8)
    made.setup()
    for loader in (made.train_dataloader(), made.val_dataloader(), made.test_dataloader()):
        x, labels = next(iter(loader))
        assert x.shape == (8, 1, 2) and x.dtype == (torch.float32 if real else torch.int64)
        if labels is None:
            assert not labelled
        else:
            assert labels.dtype == torch.int64 and labels.tolist() == [int(i) % 3 for i in x[:, 0, 0]]


def test_every_example_is_seen_once_an_epoch_in_an_order_of_seed_and_epoch() -> None:
    orders = [flat(epoch(module(Counting(), seed=s), e)) for s in (0, 1) for e in (0, 1)]
    assert all(sorted(order) == list(range(101)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    torch.manual_seed(7)
    assert flat(epoch(module(Counting()), 1)) == orders[1]


@pytest.mark.parametrize("n", [100, 101, 113])
def test_steps_are_the_same_on_any_number_of_processes(n: int) -> None:
    one = epoch(module(Counting(n)), 3)
    two = [epoch(module(Counting(n), rank, 2), 3) for rank in (0, 1)]
    assert [len(batch) for batch in two[0]] == [len(batch) for batch in two[1]]
    for alone, *shared in zip(one, *two, strict=False):
        missing = set(alone) - set(flat(shared))
        assert set(flat(shared)) <= set(alone) and len(missing) == (n % 2 if len(alone) < 8 else 0)
    assert sum(len(batch) for rank in two for batch in rank) == n - n % 2


def test_evaluation_on_two_processes_counts_every_example_once() -> None:
    for loader in ("val_dataloader", "test_dataloader"):
        ranks = [flat(numbers(list(getattr(module(Counting(), rank, 2), loader)()))) for rank in (0, 1)]
        assert sorted(ranks[0] + ranks[1]) == list(range(101))
        assert flat(numbers(list(getattr(module(Counting()), loader)()))) == list(range(101))


def test_only_training_batches_are_augmented() -> None:
    made = module(Counting(90, noise=True))
    torch.manual_seed(0)
    first = epoch(made)
    assert max(max(batch) for batch in first) >= 100
    assert epoch(made) != first
    torch.manual_seed(0)
    assert epoch(made) == first
    for loader in (made.val_dataloader(), made.test_dataloader()):
        assert max(max(batch) for batch in numbers(list(loader))) < 90


def test_loaders_leave_the_global_generator_alone() -> None:
    made = module(Counting())
    before = torch.get_rng_state()
    for loader in (made.train_dataloader(), made.val_dataloader()):
        list(loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_split_gives_examples_spread_over_it() -> None:
    made = ArrayDataModule(Counting(labelled=True))
    x, labels = made.split("test", 4)
    assert x[:, 0, 0].tolist() == [0, 25, 50, 75] and x.dtype == torch.int64
    assert labels is not None and labels.tolist() == [0, 1, 2, 0]
    assert len(made.split("train")[0]) == len(made.split("valid", 999)[0]) == 101


def test_impossible_divisions_are_answered_in_one_line() -> None:
    for made in (module(Counting(), world=3, batch_size=8), module(Counting(3), world=4, batch_size=8)):
        with pytest.raises(UserError, match="processes") as info:
            made.train_dataloader()
        assert "\n" not in str(info.value)


class Recorder(lightning.LightningModule):
    """Keeps what it is given; has no use for it."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[int]] = {}
        self.tested: list[int] = []

    def training_step(self, batch: Batch) -> Tensor:
        x, labels = batch
        assert labels is None
        self.seen.setdefault(self.current_epoch, []).extend(x[:, 0, 0].tolist())
        return self.w * x.float().mean()

    def test_step(self, batch: Batch) -> None:
        self.tested.extend(batch[0][:, 0, 0].tolist())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("overfit", [0, 2])
def test_lightning_drives_it(overfit: int) -> None:
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        use_distributed_sampler=False,
        overfit_batches=overfit,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model, data = Recorder(), ArrayDataModule(Counting(), batch_size=8)
    trainer.fit(model, datamodule=data)
    if overfit:
        assert model.seen[0] == model.seen[1] and len(model.seen[0]) == 16
        return
    for number in (0, 1):
        assert model.seen[number] == flat(epoch(module(Counting()), number))
    trainer.test(model, datamodule=data, verbose=False)
    assert model.tested == list(range(101))


def test_digits_go_through() -> None:
    made = ArrayDataModule(Digits(), eval_batch_size=180)
    assert made.spec == Digits().spec and made.regime == Digits().regime
    made.prepare_data()
    made.setup("fit")
    (x, labels), *rest = made.val_dataloader()
    assert x.shape == (180, 1, 8, 8) and labels is not None and not rest


class Mapped(Dataset):
    """A terabyte of blank images, mapped from a file that takes no room."""

    shape = (350_000, 3, 1024, 1024)

    def __init__(self, folder: Path) -> None:
        self.file = folder / "x.bin"
        with self.file.open("wb") as file:
            file.write(bytes([200]) * 5)
            file.truncate(math.prod(self.shape))

    @property
    def spec(self) -> DataSpec:
        return DataSpec(self.shape[1:], 16)

    @property
    def regime(self) -> str:
        return "blank"

    def load(self) -> Splits:
        x = np.memmap(self.file, mode="r", shape=self.shape)
        return {"train": Split(x[:-20]), "valid": Split(x[-20:-10]), "test": Split(x[-10:])}

    def values(self, x: Tensor) -> Tensor:
        return x // 16


@pytest.fixture
def every_warning() -> Iterator[None]:
    torch.set_warn_always(True)  # PyTorch gives most of its warnings once a process
    yield
    torch.set_warn_always(False)


@pytest.mark.filterwarnings("error")  # PyTorch warns of tensors over arrays that cannot be written
@pytest.mark.usefixtures("every_warning")
def test_mapped_files_are_read_a_batch_at_a_time(tmp_path: Path) -> None:
    made = ArrayDataModule(Mapped(tmp_path), batch_size=2)
    made.prepare_data()
    made.setup()
    x, _ = next(iter(made.val_dataloader()))
    assert x.shape == (2, 3, 1024, 1024) and x.dtype == torch.int64 and not x.any()
    x, _ = made.split("train", 1)
    assert x[0, 0, 0, :6].tolist() == [12] * 5 + [0]
    assert made.size("train") == 349_980


def test_values_are_mapped_in_every_split_and_before_augment() -> None:
    class Halved(Counting):
        def values(self, x: Tensor) -> Tensor:
            return x // 2

    made = module(Halved(90, noise=True))
    for loader in (made.val_dataloader(), made.test_dataloader()):
        assert flat(numbers(list(loader))) == [i // 2 for i in range(90)]
    assert made.split("train")[0][:, 0, 0].tolist() == [i // 2 for i in range(90)]
    seen = flat(epoch(made))
    assert {i % 100 for i in seen} == set(range(45)) and max(seen) >= 100


def test_class_prior_is_that_of_the_training_labels() -> None:
    made = ArrayDataModule(Digits())
    prior, labels = made.class_prior(), made.split("train")[1]
    assert labels is not None and prior.dtype == torch.float64 and prior.sum().item() == pytest.approx(1)
    assert [round(p * len(labels)) for p in prior.tolist()] == [int((labels == k).sum()) for k in range(10)]
    with pytest.raises(UserError, match="no labels"):
        ArrayDataModule(Counting()).class_prior()


def test_mutations_are_of_training_batches_alone() -> None:
    """As many values as asked for are drawn anew, uniformly; some by chance are what they were."""

    class Plain(Dataset):
        spec, regime = DataSpec((1, 50), levels=4), ""

        def load(self) -> Splits:
            return dict.fromkeys(("train", "valid", "test"), Split(np.zeros((400, 1, 50), np.uint8)))

    data = ArrayDataModule(Plain(), batch_size=400, mutate=0.4)
    data.setup()
    torch.manual_seed(0)
    ((x, _),) = data.train_dataloader()
    frequencies = torch.bincount(x.flatten(), minlength=4) / x.numel()
    assert torch.allclose(frequencies, torch.tensor([0.7, 0.1, 0.1, 0.1]), atol=0.01) and x.dtype == torch.long
    assert not any(x.any() for x, _ in (*data.val_dataloader(), *data.test_dataloader()))
    assert not data.split("train")[0].any()


def test_real_values_are_not_mutated() -> None:
    with pytest.raises(UserError, match="replaces levels"):
        ArrayDataModule(Counting(real=True), mutate=0.1)
