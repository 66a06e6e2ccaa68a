"""Lines of a text as examples of different lengths, and arrays of such: what is read, and in which batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.config.checks import check_config
from ar_lightning.config.resolve import resolve
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.datasets.names import Names
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.samplers import POOL, EpochSampler
from ar_lightning.data.user.lines import LinesFile
from ar_lightning.data.user.npz import NpzArrays
from ar_lightning.media.text import Texts
from tests.support.commands import run_here
from tests.support.files import one_line, real_data

NAMES = [f"{'ab' * (i % 4)}{chr(ord('a') + i % 26)}" for i in range(100)]


def saved(folder: Path, content: str | bytes = "\n".join(NAMES) + "\n") -> str:
    path = folder / "names.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return str(path)


def lines(data: LinesFile) -> list[str]:
    parts = data.load()
    return [s for part in parts.values() for s in Texts(data.spec).strings(torch.from_numpy(part.x.astype(np.int64)))]


def error_of(**args: Any) -> str:
    with pytest.raises(UserError) as info:
        LinesFile(**args).load()
    return one_line(info)


@pytest.mark.parametrize("unit", ["characters", "bytes"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_every_line_is_an_example_as_long_as_it_is(tmp_path: Path, unit: str, end: str, last: str) -> None:
    texts = [*NAMES, "Zoë", "two words"]
    data = LinesFile(path=saved(tmp_path, end.join(texts) + last), unit=unit)  # type: ignore[arg-type]
    assert sorted(lines(data)) == sorted(texts)
    assert data.spec.ends and data.spec.shape == (1, 1 + len("two words"))
    symbols = "".join(sorted(set("".join(texts))))
    assert data.spec.medium == Text(symbols if unit == "characters" else None)
    assert data.spec.levels == (len(symbols) if unit == "characters" else 256) + 1
    sizes = {name: len(part.x) for name, part in data.load().items()}
    assert sizes == {"train": 82, "valid": 10, "test": 10}
    assert "102 lines, ends are symbols too" in data.regime and "82/10/10" in data.regime
    assert DataSpec.from_dict(data.spec.to_dict()) == data.spec


def test_the_split_is_drawn_by_its_seed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    first, again, other = (LinesFile(path=path, split_seed=seed).load()["test"].x for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_empty_lines_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = LinesFile(path=saved(tmp_path, "\n\n" + "\n\n".join(NAMES) + "\n\r\n"))
    assert sorted(lines(data)) == sorted(NAMES)
    assert "102 empty lines left out" in data.regime and "102 empty lines" in capsys.readouterr().err


def test_a_bound_cuts_longer_lines_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that fills its row has no end there: it may go on."""
    data = LinesFile(path=saved(tmp_path), max_length=5)
    assert sorted(lines(data)) == sorted(name[:5] for name in NAMES)
    assert data.spec.shape == (1, 5) and "50 lines cut to 5" in data.regime
    assert "data.max_length=5 cuts 50 of 100 lines" in capsys.readouterr().err
    x = np.concatenate([part.x for part in data.load().values()])
    assert (x[:, 0, -1] != data.spec.end).sum() == 50


def test_the_bundled_words_are_there_without_a_file() -> None:
    data = LinesFile()
    words = lines(data)
    assert len(words) == len(set(words)) > 1000 and {"the", "data"} < set(words)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no line with anything in it"),
        ("\n\r\n\n", "no line with anything in it"),
        ("a\nb\n", "are too few to hold out"),
        (b"a\xff\n" * 30, "not text in UTF-8"),
    ],
)
def test_bad_files_are_answered_in_one_line(tmp_path: Path, content: str | bytes, problem: str) -> None:
    assert problem in error_of(path=saved(tmp_path, content))


def test_missing_files_are_named(tmp_path: Path) -> None:
    saved(tmp_path)
    assert "did you mean" in error_of(path=str(tmp_path / "name.txt")) or "no file" in error_of(
        path=str(tmp_path / "x")
    )


ROWS = [[1, 0, 2], [2], [], [0, 0, 1, 2, 1], [1, 1]] * 5


def arrays(kind: str, rows: list[list[int]] = ROWS) -> dict[str, np.ndarray]:
    sizes = np.array([len(row) for row in rows])
    if kind == "offsets":
        return {"train": np.concatenate(rows).astype(int), "train_offsets": np.append(0, sizes.cumsum())}
    padded = np.array([row + [9] * (6 - len(row)) for row in rows])
    return {"train": padded, "train_lengths": sizes}


@pytest.mark.parametrize("kind", ["lengths", "offsets"])
def test_arrays_say_how_long_each_example_is(tmp_path: Path, kind: str) -> None:
    """In rows with padding, whose values are no levels, or one after another."""
    np.savez(tmp_path / "a.npz", **arrays(kind), train_labels=np.arange(25) % 2)
    data = NpzArrays(path=str(tmp_path / "a.npz"))
    assert (data.spec.shape, data.spec.levels, data.spec.ends, data.spec.classes) == ((1, 6), 4, True, 2)
    x = np.concatenate([part.x for part in data.load().values()])[:, 0]
    assert sorted(row[row != 3].tolist() for row in x) == sorted(ROWS)
    assert "examples of 0 to 5 values" in data.regime


def module(tmp_path: Path, **args: Any) -> ArrayDataModule:
    return ArrayDataModule(LinesFile(path=saved(tmp_path, "\n".join(NAMES * 30))), batch_size=8, **args)


def test_examples_of_a_step_are_of_about_one_length(tmp_path: Path) -> None:
    data = module(tmp_path)
    data.setup()
    spread = []
    seen = []
    for x, _ in data.train_dataloader():
        sizes = (x[:, 0] != data.spec.end).sum(1)
        spread.append(int(sizes.max() - sizes.min()))
        seen += sizes.tolist()
    assert np.mean(spread) < 1 and len(seen) == 2400
    assert len(set(seen[:80])) > 2  # batches are not in the order of their lengths


@pytest.mark.parametrize("size", [3, 64, 1000, 1003])
def test_an_epoch_by_length_has_every_example_once_on_any_number_of_processes(size: int) -> None:
    """It depends on the seed and the epoch alone; step t takes the same examples on one process or on two."""
    lengths = np.random.RandomState(0).randint(0, 30, size)
    one = EpochSampler(size, 5, lengths=lengths, batch=4)
    two = [EpochSampler(size, 5, rank, 2, lengths, 4) for rank in range(2)]
    for sampler in (one, *two):
        sampler.set_epoch(3)
    order = list(one)
    assert sorted(order) == list(range(size)) and order == list(one)
    parts = [list(sampler) for sampler in two]
    for t in range(size // 4):
        assert sorted(order[4 * t : 4 * t + 4]) == sorted(parts[0][2 * t : 2 * t + 2] + parts[1][2 * t : 2 * t + 2])
    one.start = 8
    assert list(one) == order[8:]
    one.set_epoch(4)
    assert size < 8 or list(one) != order
    assert POOL > 1


@pytest.mark.parametrize(("key", "value"), [("dequantise", True), ("mutate", 0.1)])
def test_what_would_move_an_end_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    settings = {"data.name": "lines", "data.path": saved(tmp_path), f"data.{key}": value, "model.name": "rnn"}
    with pytest.raises(UserError, match=r"an end, which is no number|would end elsewhere"):
        config = resolve({}, settings, "test")
        dataset = check_config(config)
        ArrayDataModule(dataset, mutate=config["data"]["mutate"])


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (["model.name=nade", "model.order=random"], "set model.order=raster"),
        (["model.name=made", "model.order=raster", "model.vary_order=true"], "set model.vary_order=false"),
        (["model.name=deep_nade"], "choose a model with an order of its own"),
        (["model.name=rnn", "likelihood.name=discretized_logistic_mixture"], "choose categorical"),
    ],
)
def test_models_that_do_not_go_from_left_to_right_are_refused(
    model: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("data=lines", *model) == 2
    assert problem in capsys.readouterr().err


@real_data
def test_the_published_names() -> None:
    data = Names()
    assert (data.spec.shape, data.spec.levels) == ((1, 16), 27)
    assert "32033 lines" in data.regime and "25627/3203/3203" in data.regime
    assert {"emma", "zzyzx"} < set(lines(data))
