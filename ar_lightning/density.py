"""A density: an autoregressive network and a likelihood. Everything else talks to this."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ar_lightning.errors import UserError, did_you_mean
from ar_lightning.likelihoods import Likelihood
from ar_lightning.registry import find
from ar_lightning.sampling import Draw, sample_naive, sampler_of
from ar_lightning.spec import DataSpec, Shapes

__all__ = ["Density", "build_density", "load"]

CHECKPOINT_KEY = "ar_lightning"
BATCH = 256  # samples drawn at a time; the result does not depend on it


class Density(nn.Module):
    """`p(x) = prod_i p(x_i | x_<i)`: a network that is causal in its order, and the likelihood of one value.

    Args:
        model: maps encoded inputs to parameters, strictly causally.
        likelihood: scores, encodes and draws one value.
        spec: shape, levels and classes of the data.
    """

    def __init__(self, model: nn.Module, likelihood: Likelihood, spec: DataSpec) -> None:
        super().__init__()
        self.model: Any = model
        self.likelihood = likelihood
        self.spec = spec

    @property
    def conditional(self) -> bool:
        """Whether `cond` (labels) is needed."""
        return bool(self.model.classes)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def log_prob(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return log p(x | cond) in nats.

        Args:
            x: data values `(B, C, *sites)`.
            cond: labels `(B,)` of a conditional density.

        Returns:
            `(B,)`, float32 or better.

        Raises:
            ValueError: wrong shape, values outside the support, or labels missing.
        """
        if not self.training:  # training data has been checked once, when it was loaded
            self._check_values(x)
            self._check_labels(len(x), cond)
        params = self.model(self._encode(x), cond if self.conditional else None)
        return self.likelihood.log_prob(params, x).flatten(1).sum(1)

    def class_log_probs(self, x: Tensor) -> Tensor:
        """Return log p(x | y) in nats for every class y of a conditional density, a forward pass each.

        Args:
            x: data values `(B, C, *sites)`.

        Returns:
            `(B, classes)`, float32 or better.

        Raises:
            ValueError: the density is unconditional, or as `log_prob`.
        """
        if not self.conditional:
            raise ValueError("this density is unconditional: it has no p(x | class)")
        labels = torch.arange(self.model.classes, device=x.device)
        return torch.stack([self.log_prob(x, label.expand(len(x))) for label in labels], 1)

    def loss(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return the training objective `(B,)` in nats: -log p. A density with another objective overrides this."""
        return -self.log_prob(x, cond)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        cond: Tensor | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        naive: bool = False,
    ) -> Tensor:
        """Draw n examples `(n, C, *sites)`, or complete known ones.

        Completion is exact, a draw from p(unknown | known), where the known values come first in the model's order
        (the upper rows of an image in raster order). Values known after an unknown one are kept, but earlier draws do
        not see them.

        Args:
            n: number of samples.
            cond: labels `(n,)` of a conditional density.
            known: values `(n, C, *sites)` to keep where `mask` is True.
            mask: booleans that broadcast to `(n, C, *sites)`.
            temperature: below 1 sharpens, above 1 flattens each conditional; 1 draws from the density.
            generator: CPU generator of the noise; the same seed gives the same samples in any batch size.
            noise: the noise itself, instead of a generator; a part of `self.noise(...)` gives that part of the samples.
            naive: a full forward pass per value; for tests and comparisons.

        Raises:
            ValueError: shapes that do not fit, a temperature that is not positive, labels missing.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if (known is None) != (mask is None):
            raise ValueError("completion needs both `known` and `mask`")
        noise = self.noise(n, generator) if noise is None else noise
        if known is not None and mask is not None:
            self._check_values(known)
            mask = mask.expand(n, *self.spec.shape)
        self._check_labels(n, cond)
        was_training = self.training
        self.eval()
        try:
            return torch.cat([
                self._sample_batch(part, cond, known, mask, noise, temperature, naive)
                for part in torch.arange(n).split(BATCH)
            ])  # fmt: skip
        finally:
            self.train(was_training)

    def noise(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return the uniforms `(n, D, likelihood.noise)` that n samples are a function of.

        They are drawn on the CPU, so that a seed means the same on every device.
        """
        return torch.rand(n, self.spec.dims, self.likelihood.noise, generator=generator)

    def _sample_batch(
        self, part: Tensor, cond: Tensor | None, known: Tensor | None, mask: Tensor | None, noise: Tensor,
        temperature: float, naive: bool,
    ) -> Tensor:  # fmt: skip
        def rows(t: Tensor | None) -> Tensor | None:
            return None if t is None else t[part.to(t.device)].to(self.device)

        k, m = rows(known), rows(mask)
        draw = Draw(
            self.likelihood, noise[part].to(self.device),
            None if k is None else k.flatten(1), None if m is None else m.flatten(1), temperature, self.dtype,
        )  # fmt: skip
        dtype = torch.float32 if self.spec.levels is None else torch.long
        x = torch.zeros(len(part), *self.spec.shape, dtype=dtype, device=self.device)
        loop = sample_naive if naive else sampler_of(self.model)
        return loop(self.model, draw, x, rows(cond) if self.conditional else None)

    def _encode(self, x: Tensor) -> Tensor:
        return self.likelihood.encode(x).to(self.dtype)

    def _check_values(self, x: Tensor) -> None:
        if tuple(x.shape[1:]) != self.spec.shape:
            raise ValueError(f"expected data (B, {', '.join(map(str, self.spec.shape))}), got {tuple(x.shape)}")
        self.likelihood.check(x)

    def _check_labels(self, n: int, cond: Tensor | None) -> None:
        if not self.conditional:
            return
        if cond is None or cond.shape != (n,):
            raise ValueError(f"this density is conditional: give `cond`, {n} labels")
        if n and not (cond.min() >= 0 and cond.max() < self.model.classes):
            raise ValueError(f"expected labels in 0..{self.model.classes - 1}, got {cond.min()}..{cond.max()}")

    def extra_repr(self) -> str:
        parameters = sum(p.numel() for p in self.parameters())
        return f"{self.spec}, {parameters:,} parameters"


def build_density(config: dict[str, Any], spec: DataSpec) -> Density:
    """Build the density that the `model` and `likelihood` sections describe, for data of this spec.

    Raises:
        UserError: the model or likelihood cannot take the data.
    """
    model_class = find("model", config["model"]["name"])
    chosen = dict(config["likelihood"])
    name = chosen.pop("name")
    if name == "auto":
        name = auto_likelihood(spec, getattr(model_class, "joint_colours", False))
    likelihood_class = find("likelihood", name)
    if chosen.get("encoding", "auto") == "auto" and name == "categorical":
        chosen["encoding"] = model_class.encoding
    likelihood = likelihood_class(spec, **chosen)
    shapes = Shapes(spec.shape, likelihood.inputs, likelihood.params, spec.classes, likelihood.joint)
    model = model_class(shapes, **{k: v for k, v in config["model"].items() if k != "name"})
    return Density(model, likelihood, spec)


def auto_likelihood(spec: DataSpec, joint_colours: bool = False) -> str:
    """Return the name of the likelihood that fits the data best.

    A model that leaves the colours of a pixel to the likelihood gets one that models them jointly.

    Raises:
        UserError: there is none.
    """
    if spec.support == "real":
        raise UserError(f"no likelihood takes {spec}")
    if spec.support == "binary" and (spec.shape[0] == 1 or not joint_colours):
        return "bernoulli"
    return "discretized_logistic_mixture" if joint_colours else "categorical"


def load(path: str | Path, device: str | torch.device = "cpu") -> Density:
    """Rebuild a trained density from a checkpoint, or from a run directory (its best checkpoint).

    The checkpoint alone is enough: it holds the whole config. No code in it is executed.

    Raises:
        UserError: no checkpoint there, or one that cannot be read.
    """
    file = checkpoint_of(Path(path))
    checkpoint = read_checkpoint(file)
    saved = checkpoint[CHECKPOINT_KEY]
    density = build_density(saved["config"], DataSpec.from_dict(saved["data"]))
    prefix = "density."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    density.to(next((w.dtype for w in weights.values() if w.is_floating_point()), torch.float32))
    try:
        density.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{file}: its weights do not fit its config: {str(error).splitlines()[1].strip()}") from None
    return density.to(device).eval()


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint of this project into main memory, executing no code in it.

    Raises:
        UserError: it is damaged, or none of this project's.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"{file}: not a readable checkpoint ({reason})") from None
    if not isinstance(checkpoint, dict) or not checkpoint.get(CHECKPOINT_KEY):
        raise UserError(f"{file}: not a checkpoint of ar_lightning: it holds no config")
    return checkpoint


def checkpoint_of(path: Path) -> Path:
    """Return the checkpoint that a path means: itself, or the best (else the last) of a run directory."""
    if path.is_file():
        return path
    folder = path / "checkpoints"
    for name in ("best.ckpt", "last.ckpt"):
        if (folder / name).is_file():
            return folder / name
    if folder.is_dir():
        raise UserError(f"{path}: no checkpoint there yet")
    near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() and not path.exists() else []
    raise UserError(f"{path}: no such run or checkpoint{did_you_mean(path.name, near) if near else ''}")
