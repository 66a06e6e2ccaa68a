"""Published likelihoods, and which runs they may be set beside: the same data, regime, model and kind of training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

__all__ = ["PUBLISHED", "Published", "published_for", "published_like"]

DOWNSAMPLED = "downsampled ImageNet of van den Oord et al. 2016"
PIXELRNN = "van den Oord, Kalchbrenner & Kavukcuoglu, 2016"
GATED = "van den Oord et al., 2016, Conditional image generation with PixelCNN decoders"
MADE = "Germain et al., 2015, table 6"
RNADE = "Uria, Murray & Larochelle, 2013, table 1"
TWIN = "the baseline of Serdyuk, Ke, Sordoni, Trischler, Pal & Bengio, 2018, Twin networks"


@dataclass(frozen=True)
class Published:
    """A published number."""

    data: str
    regime: str  # what the regime of a run must contain
    examples: int | None  # number of test examples; None where a run tests one of several folds
    unit: Literal["nats", "bits/dim"]  # nats are of an example
    model: str
    value: float  # -log p, as a mean over test examples; lower is better
    setting: str  # what it holds for
    source: str  # where it is published
    requires: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # what settings must be among, by dotted key

    def __str__(self) -> str:
        return f"{self.value:.2f} {self.unit}, {self.data}, {self.model}: {self.setting} ({self.source})"


def _mnist(model: str, nats: float, setting: str, source: str, **requires: tuple[Any, ...]) -> Published:
    keys = {f"model.{key}": values for key, values in requires.items()}
    regime = "fixed binarisation (Larochelle split)"
    return Published("binarized_mnist", regime, 10_000, "nats", model, nats, setting, source, keys)


def _deep_nade() -> list[Published]:
    """The averages over random orders of a network of two layers."""
    nats = {1: 89.17, 2: 87.96, 4: 87.10, 8: 86.41, 16: 85.96, 32: 85.60, 64: 85.28, 128: 85.10}
    source = "Uria, Murray & Larochelle, 2014"
    return [
        _mnist("deep_nade", value, f"two layers, {n} order{'s' * (n > 1)}", source, ensemble=(n,), layers=(2,))
        for n, value in nats.items()
    ]


def _dynamic(model: str, nats: float) -> Published:
    """Of a public library, trained on all 60,000 images; bits are drawn anew for each test, too."""
    setting, source = "trained on all 60,000, test bits drawn anew", "the README of pytorch-generative, 2020"
    requires = {"data.binarize": ("dynamic",)}
    return Published("mnist", "dynamic binarisation", 10_000, "nats", model, nats, setting, source, requires)


_cifar = partial(Published, "cifar10", "256 levels", 10_000, "bits/dim")
_imagenet32 = partial(Published, "imagenet32", DOWNSAMPLED, 49_999, "bits/dim")
_imagenet64 = partial(Published, "imagenet64", DOWNSAMPLED, 49_999, "bits/dim")


def _table(data: str, gaussians: float, laplaces: float) -> list[Published]:
    """Both kinds of RNADE on a table; the paper's values are mean log p of a row, of which these are the negatives."""
    kinds = {"gaussian": (gaussians, ("auto", "gaussian_mixture")), "laplace": (laplaces, ("laplace_mixture",))}
    return [
        Published(
            data, "fold", None, "nats", "rnade", -value, f"{kind} mixtures, mean of 10 folds", RNADE,
            {"likelihood.name": likelihoods, "data.units": ("standardised",)},
        )
        for kind, (value, likelihoods) in kinds.items()
    ]  # fmt: skip


# Of several that a run matches, the first is meant.
PUBLISHED = (
    _mnist("independent", 205.79, "the means of train", "computed from the data by counting"),
    _mnist("nade", 88.33, "500 hidden units, one random order", "Larochelle & Murray, 2011"),
    _mnist("made", 88.40, "one layer of 8000 units, one mask", MADE, masks=(1,), layers=(1,)),
    _mnist("made", 89.59, "two layers of 8000 units, one mask", MADE, masks=(1,), layers=(2,)),
    _mnist("made", 86.64, "two layers of 8000 units, 32 masks", MADE, masks=(32,), layers=(2,)),
    *_deep_nade(),
    _mnist("pixelcnn", 81.30, "3x3 kernels, size not published", PIXELRNN),
    _mnist("row_lstm", 80.54, "kernels of 3, size not published", PIXELRNN),
    _mnist("diagonal_bilstm", 80.75, "one layer, h = 32", PIXELRNN, layers=(1,)),
    _mnist("diagonal_bilstm", 79.20, "7 layers, h = 16", PIXELRNN),
    _mnist("rnn", 79.87, "LSTM of three layers", TWIN, cell=("lstm",), layers=(3,)),
    _mnist("gated_pixelcnn", 80.10, "a baseline of the PixelVAE paper", "Gulrajani et al., 2016"),
    _dynamic("nade", 85.65),
    _dynamic("made", 84.87),
    _dynamic("pixelcnn", 81.45),
    _dynamic("gated_pixelcnn", 81.50),
    _dynamic("pixel_transformer", 79.17),
    _cifar("pixelcnn", 3.14, "15 layers, h = 128", PIXELRNN),
    _cifar("row_lstm", 3.07, "12 layers, h = 128", PIXELRNN),
    _cifar("diagonal_bilstm", 3.00, "12 layers, h = 128", PIXELRNN),
    _cifar("gated_pixelcnn", 3.03, "unconditional", GATED),
    _cifar("pixelcnnpp", 2.92, "6 blocks of 5 resnets", "Salimans et al., 2017"),
    _imagenet32("row_lstm", 3.86, "size of CIFAR-10's", PIXELRNN),
    _imagenet32("gated_pixelcnn", 3.83, "unconditional", GATED),
    _imagenet64("row_lstm", 3.63, "size of CIFAR-10's", PIXELRNN),
    _imagenet64("gated_pixelcnn", 3.57, "unconditional", GATED),
    *_table("red_wine", -9.36, -9.46),
    *_table("white_wine", -10.23, -10.38),
    *_table("parkinsons", -0.90, -2.63),
    *_table("ionosphere", -2.50, -5.87),
    *_table("boston_housing", -0.64, -4.04),
)


def published_for(result: Mapping[str, Any], config: Mapping[str, Any]) -> Published | None:
    """Return the published number that a run's test likelihood may be set beside, if there is one.

    Of the run, its `result.json` and its settings by dotted key. All published densities are given no labels.
    """
    if "test/nll" not in result or "dequantised" in result["regime"] or config.get("trainer.limit_test") is not None:
        return None
    row = published_like(config)
    if row is None or (row.data, row.model) != (result["data"], result["model"]):
        return None
    same = row.regime in result["regime"] and row.examples in (None, result.get("test_examples"))
    return row if same else None


def published_like(config: Mapping[str, Any]) -> Published | None:
    """Return the published number that a config aims at, by its data, model and settings, if there is one."""
    if config.get("model.conditional"):
        return None
    for row in PUBLISHED:
        same = (row.data, row.model) == (config.get("data.name"), config.get("model.name"))
        if same and all(config.get(key) in values for key, values in row.requires.items()):
            return row
    return None
