"""Extreme settings are bounded where they are declared: one line, before anything is computed."""

from pathlib import Path

import pytest

from ar_lightning.cli import main
from ar_lightning.core.errors import is_out_of_memory
from ar_lightning.core.output import answered
from ar_lightning.inference.sample import _devices

EXTREME = [
    ("optimizer.lr=1e38", "expected float > 0, got 1e+38; a number is at most 1e+30"),
    ("optimizer.eps=1e300", "a number is at most 1e+30"),
    ("trainer.max_hours=1e300", "expected float > 0 and <= 1e+06 or null"),
    ("trainer.max_hours=2e6", "expected float > 0 and <= 1e+06 or null"),
    ("samples.n=1000000000", "expected int >= 1 and <= 1e+06, got 1000000000"),
    ("samples.temperature=1e-40", "expected float >= 1e-06 and <= 1e+06, got 1e-40"),
    ("trainer.threads=1000000000", "expected int >= 1 and <= 4096 or null"),
    ("trainer.devices=1000000", "expected a number of devices"),
    ("trainer.num_nodes=1000000", "start it on each of them, with srun or torchrun"),
    ("seed=9223372036854775808", "expected int >= 0"),
]
OPTIONS = [
    "--n 1000000000", "--n 0", "--n 1.5", "--seed 99999999999999999999", "--seed 1e300", "--temperature 1e-40",
    "--temperature 1e300", "--temperature nan", "--length 99999999999", "--length -1",
]  # fmt: skip


@pytest.mark.parametrize(("setting", "answer"), EXTREME)
def test_a_setting_beyond_its_bounds(setting: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model=nade", setting, "run_dir=/nowhere/x"]) == 2
    err = capsys.readouterr().err
    assert setting.partition("=")[0] in err and answer in err and err.count("\n") == 1


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_beyond_its_bounds(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "nowhere", *option.split()]) == 2
    name, value = option.split()
    err = capsys.readouterr().err
    assert err.startswith(f"error: command line: {name}: ") and f"value: '{value}'\n" in err


@pytest.mark.parametrize("text", ["1e300", "1e38", "99999999999999999999"])
def test_text_may_look_like_any_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model=nade", f"experiment={text}", "optimizer.lr=0"]) == 2
    assert "optimizer.lr" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["meta", "cpu,meta", "nowhere"])
def test_a_device_that_computes_nothing(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(lambda: len(_devices(device))) == 2
    assert f"error: --device {device.rpartition(',')[2]}: " in capsys.readouterr().err


def test_what_does_not_fit_in_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import torch

    for ask in (lambda: np.empty(2**55, "u1"), lambda: torch.empty(2**55), lambda: torch.empty(2**40, 2**40)):
        with pytest.raises((MemoryError, RuntimeError)) as found:
            ask()
        assert is_out_of_memory(found.value)
        assert answered(ask) == 2  # type: ignore[arg-type]
        err = capsys.readouterr().err
        assert err.startswith("error: out of memory (") and err.count("\n") == 1


def test_a_place_where_no_directory_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model=nade", "model.hidden=2", "run_dir=/proc/x"]) == 2
    err = capsys.readouterr().err
    assert "/proc/x: " in err and err.count("\n") == 1
