"""Weights as .safetensors: the same density as of the checkpoint, and no damage that goes unnoticed."""

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import CHECKPOINT_KEY
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.training.checkpoints import load, read_checkpoint, written_at
from ar_lightning.training.weights import write_weights
from tests.support.commands import ROOT

RELEASED = ROOT / "tests" / "compatibility" / "released_0_1"
KINDS = ("nade", "gated_pixelcnn", "rnade")


def checkpoint(kind: str) -> Path:
    return RELEASED / kind / "checkpoints" / "best.ckpt"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Exported weights of a small density."""
    path = tmp_path / "model.safetensors"
    write_weights(read_checkpoint(checkpoint("nade")), path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_is_the_same_bit_for_bit(kind: str, tmp_path: Path) -> None:
    file, before = tmp_path / "some.safetensors", read_checkpoint(checkpoint(kind))
    write_weights(before, file)
    ours, theirs, after = load(checkpoint(kind)), load(file), read_checkpoint(file)
    assert ours.spec == theirs.spec and written_at(after) == written_at(before)
    assert after[CHECKPOINT_KEY]["config"] | {"run_dir": ""} == before[CHECKPOINT_KEY]["config"] | {"run_dir": ""}
    x = ours.sample(4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.log_prob(x), theirs.log_prob(x))
    again = tmp_path / "again.safetensors"
    write_weights(after, again)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float32])
def test_any_type_of_weights_is_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    content = read_checkpoint(checkpoint("nade"))
    weights = {k: w.to(dtype) if w.is_floating_point() else w for k, w in content["state_dict"].items()}
    shared = weights["density.model.shared"] = torch.arange(6.0).view(2, 3)
    weights |= {"density.model.transposed": shared.T, "density.model.none": torch.zeros(0, 3)}
    file = tmp_path / "model.safetensors"
    write_weights(content | {"state_dict": weights}, file)
    read = read_checkpoint(file)["state_dict"]
    assert read.keys() == weights.keys()
    assert all(read[k].dtype == w.dtype and torch.equal(read[k], w) for k, w in weights.items())


def test_what_data_are_survives_json() -> None:
    spec = DataSpec((1, 3), None, 2, medium=Table.plain(3), labels=("cat", "a dog"))
    for one in (spec, DataSpec((3, 8, 8), None, quantised=256)):
        assert DataSpec.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_no_flipped_bit_gives_another_density(file: Path, tmp_path: Path) -> None:
    whole, content = read_checkpoint(file), file.read_bytes()
    places, damaged = random.Random(0), tmp_path / "damaged.safetensors"
    header = struct.unpack("<Q", content[:8])[0]
    for i in range(200):
        harmed = bytearray(content)
        harmed[places.randrange(8 + header if i % 2 else len(content))] ^= 1 << places.randrange(8)
        damaged.write_bytes(harmed)
        try:
            read = read_checkpoint(damaged)
        except UserError as error:
            assert "\n" not in str(error) and str(damaged) in str(error)
        else:  # padding of the header, which is not read
            assert read[CHECKPOINT_KEY] == whole[CHECKPOINT_KEY]
            assert all(torch.equal(w, read["state_dict"][k]) for k, w in whole["state_dict"].items())


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_one_line(keep: int, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"model\.safetensors: not a readable checkpoint \(") as error:
        load(file)
    assert "\n" not in str(error.value)


def rewritten(file: Path, change: Any) -> None:
    """Write the file again with other metadata."""
    with safe_open(file, "pt") as content:
        metadata, weights = content.metadata(), {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    about = json.loads(metadata[CHECKPOINT_KEY])
    change(about)
    save_file(weights, file, {CHECKPOINT_KEY: json.dumps(about)})


def test_another_config_or_digest_is_refused(file: Path) -> None:
    for change in (
        lambda about: about["config"]["optimizer"].update(lr=9.0),
        lambda about: about.update(epoch=7),
        lambda about: about.update(sha256=1),
        lambda about: about.pop("sha256"),
        lambda about: about.pop("data"),
    ):
        rewritten(file, change)
        with pytest.raises(UserError, match="its digest is wrong: the file is damaged"):
            load(file)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"w": torch.zeros(2)}, file)
    with pytest.raises(UserError, match="not a checkpoint of ar_lightning: it holds no config"):
        load(file)


def test_a_pickle_by_that_name_is_not_read(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    torch.save({CHECKPOINT_KEY: Trap()}, tmp_path / "trap.safetensors")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load(tmp_path / "trap.safetensors")
    assert not (tmp_path / "executed").exists()


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    content = read_checkpoint(checkpoint("nade"))
    next(w for w in content["state_dict"].values() if w.is_floating_point()).view(-1)[0] = float("nan")
    write_weights(content, tmp_path / "nan.safetensors")
    with pytest.raises(UserError, match="are numbers: its training diverged"):
        load(tmp_path / "nan.safetensors")
