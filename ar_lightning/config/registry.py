"""Names that a config may use, and where each lives. Adding a model or a dataset is one line here.

Values are `module:Name` strings, so that listing them imports nothing.
"""

import importlib
from typing import Any

from ar_lightning.core.errors import UserError, did_you_mean

__all__ = [
    "DATA",
    "LIKELIHOODS",
    "MODELS",
    "OPTIMIZERS",
    "PRUNERS",
    "REGISTRIES",
    "SAMPLERS",
    "SCHEDULES",
    "SWEEP_REGISTRIES",
    "find",
    "make",
    "target_of",
]

MODELS = {
    "independent": "ar_lightning.models.tables:Independent",
    "markov": "ar_lightning.models.tables:Markov",
    "table": "ar_lightning.models.tables:Table",
    "nade": "ar_lightning.models.nade:NADE",
    "made": "ar_lightning.models.made:MADE",
    "deep_nade": "ar_lightning.models.deep_nade:DeepNADE",
    "rnade": "ar_lightning.models.rnade:RNADE",
    "row_lstm": "ar_lightning.models.pixelrnn:RowLSTM",
    "diagonal_bilstm": "ar_lightning.models.pixelrnn:DiagonalBiLSTM",
    "pixelcnn": "ar_lightning.models.pixelrnn:PixelCNN",
    "gated_pixelcnn": "ar_lightning.models.gated_pixelcnn:GatedPixelCNN",
    "pixelcnnpp": "ar_lightning.models.pixelcnnpp:PixelCNNpp",
    "pixel_transformer": "ar_lightning.models.pixel_transformer:PixelTransformer",
    "transformer": "ar_lightning.models.transformer:Transformer",
    "any_order_transformer": "ar_lightning.models.any_order_transformer:AnyOrderTransformer",
    "rnn": "ar_lightning.models.rnn:RNN",
    "rnn_nade": "ar_lightning.models.rnn_nade:RNNNADE",
    "wavenet": "ar_lightning.models.wavenet:WaveNet",
}

LIKELIHOODS = {
    "bernoulli": "ar_lightning.likelihoods.discrete:Bernoulli",
    "categorical": "ar_lightning.likelihoods.discrete:Categorical",
    "discretized_logistic_mixture": "ar_lightning.likelihoods.logistic:DiscretizedLogisticMixture",
    "gaussian_mixture": "ar_lightning.likelihoods.mixtures:GaussianMixture",
    "laplace_mixture": "ar_lightning.likelihoods.mixtures:LaplaceMixture",
    "columns": "ar_lightning.likelihoods.columns:Columns",
}

DATA = {
    "digits": "ar_lightning.data.datasets.digits:Digits",
    "binarized_mnist": "ar_lightning.data.datasets.mnist:BinarizedMNIST",
    "mnist": "ar_lightning.data.datasets.mnist:MNIST",
    "fashion_mnist": "ar_lightning.data.datasets.mnist:FashionMNIST",
    "cifar10": "ar_lightning.data.datasets.cifar10:CIFAR10",
    "imagenet32": "ar_lightning.data.datasets.imagenet:ImageNet32",
    "imagenet64": "ar_lightning.data.datasets.imagenet:ImageNet64",
    "npz": "ar_lightning.data.user.npz:NpzArrays",
    "image_folder": "ar_lightning.data.user.image_folder:ImageFolder",
    "frames": "ar_lightning.data.user.frames:FramesFile",
    "table": "ar_lightning.data.user.table:TableFile",
    "survey": "ar_lightning.data.datasets.survey:Survey",
    "adult": "ar_lightning.data.datasets.adult:Adult",
    "red_wine": "ar_lightning.data.datasets.uci:RedWine",
    "white_wine": "ar_lightning.data.datasets.uci:WhiteWine",
    "parkinsons": "ar_lightning.data.datasets.uci:Parkinsons",
    "ionosphere": "ar_lightning.data.datasets.uci:Ionosphere",
    "boston_housing": "ar_lightning.data.datasets.uci:BostonHousing",
    "wine": "ar_lightning.data.datasets.uci:Wine",
    "breast_cancer": "ar_lightning.data.datasets.uci:BreastCancer",
    "lines": "ar_lightning.data.user.lines:LinesFile",
    "text": "ar_lightning.data.user.text:TextFile",
    "tiny_shakespeare": "ar_lightning.data.datasets.shakespeare:TinyShakespeare",
    "names": "ar_lightning.data.datasets.names:Names",
    "chords": "ar_lightning.data.datasets.chords:Chords",
    "tones": "ar_lightning.data.datasets.tones:Tones",
    "spoken_digits": "ar_lightning.data.datasets.speech:SpokenDigits",
    "speech_commands_digits": "ar_lightning.data.datasets.speech:SpeechCommandsDigits",
    "audio_folder": "ar_lightning.data.user.audio_folder:AudioFolder",
}

OPTIMIZERS = {
    "adam": "ar_lightning.training.optim:adam",
    "adamw": "ar_lightning.training.optim:adamw",
    "rmsprop": "ar_lightning.training.optim:rmsprop",
    "sgd": "ar_lightning.training.optim:sgd",
    "adagrad": "ar_lightning.training.optim:adagrad",
    "muon": "ar_lightning.training.muon:Muon",
}

SCHEDULES = {
    "constant": "ar_lightning.training.optim:constant",
    "cosine": "ar_lightning.training.optim:cosine",
    "exponential": "ar_lightning.training.optim:exponential",
    "plateau": "ar_lightning.training.optim:plateau",
}

REGISTRIES: dict[str, dict[str, str]] = {
    "model": MODELS,
    "likelihood": LIKELIHOODS,
    "data": DATA,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}

# Of a sweep rather than of a training.
SAMPLERS = {
    "tpe": "ar_lightning.sweep.choosers:tpe",
    "random": "ar_lightning.sweep.choosers:random",
    "gp": "ar_lightning.sweep.choosers:gp",
    "cmaes": "ar_lightning.sweep.choosers:cmaes",
    "nsgaii": "ar_lightning.sweep.choosers:nsgaii",
    "grid": "ar_lightning.sweep.choosers:grid",
}

PRUNERS = {
    "median": "ar_lightning.sweep.choosers:median",
    "hyperband": "ar_lightning.sweep.choosers:hyperband",
    "patient": "ar_lightning.sweep.choosers:patient",
    "none": "ar_lightning.sweep.choosers:none",
}

SWEEP_REGISTRIES: dict[str, dict[str, str]] = {"sampler": SAMPLERS, "pruner": PRUNERS}


def target_of(section: str, name: str) -> str:
    """Return `module:Name` of a registered name; where there is none, the error says the nearest."""
    known = (REGISTRIES | SWEEP_REGISTRIES)[section]
    if name not in known:
        raise UserError(f"unknown {section} '{name}'", hint=did_you_mean(name, known))
    return known[name]


def find(section: str, name: str) -> Any:
    """Import and return the registered class or function."""
    module, _, attribute = target_of(section, name).partition(":")
    return getattr(importlib.import_module(module), attribute)


def make(section: str, chosen: dict[str, Any], *args: Any) -> Any:
    """Call the class or function that `chosen` names with these arguments and its other keys."""
    return find(section, chosen["name"])(*args, **{key: value for key, value in chosen.items() if key != "name"})
