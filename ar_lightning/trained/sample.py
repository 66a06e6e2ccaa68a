"""Samples of a trained density as files: `python run.py sample RUN`."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.checkpoints import CHECKPOINT_KEY, checkpoint_of, read_checkpoint, rebuild
from ar_lightning.condition import Condition, repeated
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density import Density
from ar_lightning.errors import UserError
from ar_lightning.media import write_samples
from ar_lightning.medium import Table
from ar_lightning.train import build_data_module
from ar_lightning.trained.prompts import read_prompt

__all__ = ["sample"]


def sample(
    run: str, n: int = 16, label: int | None = None, temperature: float = 1.0, seed: int = 0, prompt: str | None = None,
    keep: float | None = None, length: int | None = None, out: str | None = None, device: str = "auto",
) -> dict[str, Path]:  # fmt: skip
    """Draw from a trained density, write the samples for people and return the files by kind.

    Args:
        run: the run directory or checkpoint.
        n: number of samples.
        label: the class of all of them; null for all classes in turn.
        temperature: below 1 sharpens, above 1 flattens each conditional.
        seed: of the samples.
        prompt: what they begin with: text, or the path of a text, sound or image file.
        keep: fraction of the prompt to take.
        length: sites of each, where the model draws sequences of any length.
        out: path of the files, without endings; `samples/drawn-SEED` in the run directory if null.
        device: where to draw: a PyTorch device, or auto.

    Raises:
        UserError: what is asked for cannot be had.
    """
    file = checkpoint_of(Path(run))
    checkpoint = read_checkpoint(file)
    density = rebuild(checkpoint, file, _device(device), length)
    config = checkpoint[CHECKPOINT_KEY]["config"]
    cond = _condition(density, config, n, label)
    known, mask = _known(density, prompt, keep, n)
    generator = torch.Generator().manual_seed(seed)
    with tqdm(total=n * density.spec.dims, desc="drawing", unit=" values", leave=False, disable=None) as bar:
        x = density.sample(n, cond, known, mask, temperature, generator, progress=bar.update)
    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    stem = Path(out).expanduser() if out else folder / "samples" / f"drawn-{seed}"
    columns = density.spec.classes if density.conditional and label is None else 0
    data = _data(config).split("train")[0] if isinstance(density.spec.medium, Table) else None
    given = 0 if mask is None else int(mask[0].sum())
    return write_samples(x.cpu(), density.spec, stem, data, columns if columns <= n else 0, given)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a PyTorch without CUDA
        raise UserError(f"--device {name}: {str(error).splitlines()[0][:120]}") from None
    return name


def _condition(density: Density, config: dict[str, Any], n: int, label: int | None) -> Condition:
    classes = density.spec.classes
    if label is not None and not density.conditional:
        raise UserError(f"--cond {label}: this density is unconditional; train one with model.conditional=true")
    if label is not None and not 0 <= label < classes:
        raise UserError(f"--cond {label}: its classes are 0..{classes - 1}")
    labels = None
    if density.conditional:
        labels = torch.arange(n) % classes if label is None else torch.full((n,), label)
    if not density.model.features:
        return Condition(labels)
    features = repeated(_data(config).split("test", n)[1], n).features
    if features is not None and features.shape[-1] != density.spec.shape[-1]:
        raise UserError(f"--length: the features that this density reads are those of {features.shape[-1]} sites")
    return Condition(labels, features)


def _data(config: dict[str, Any]) -> ArrayDataModule:
    """Return the data that the density was trained on."""
    from ar_lightning.checks import build_dataset

    return build_data_module(config, build_dataset(config["data"]))


def _known(density: Density, prompt: str | None, keep: float | None, n: int) -> tuple[Tensor | None, Tensor | None]:
    """Return what the samples begin with and a mask of it, `(n, C, *sites)` each, or None for both."""
    if prompt is None:
        if keep is not None:
            raise UserError("--keep: says how much of a --prompt to take; give one")
        return None, None
    given = read_prompt(prompt, density.spec, keep)
    known = torch.zeros(density.spec.shape, dtype=given.dtype)
    mask = torch.zeros(density.spec.shape, dtype=torch.bool)
    known[:, : given.shape[1]], mask[:, : given.shape[1]] = given, True
    if not density.completes(mask):
        raise UserError("--prompt: this density visits the values in another order, so it cannot continue their start")
    return known.expand(n, *known.shape), mask.expand(n, *mask.shape)
