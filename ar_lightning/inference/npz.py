"""Which array of an .npz file a person means, and its values and labels as a density takes them."""

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec

__all__ = ["channels_first", "labels_of", "name_of_examples", "name_of_labels"]

Arrays = dict[str, np.ndarray]


def name_of_examples(arrays: Arrays, split: str, where: str) -> str:
    """Return the name of the array of a split, or of the only one there is.

    Args:
        arrays: of the file, by name.
        split: which one is meant, where there are several.
        where: the file, for the message.

    Raises:
        UserError: no such array.
    """
    names = [name for name in arrays if not name.endswith(("_labels", "_features"))]
    for name in (f"{split}_images", split):
        if name in names:
            return name
    if len(names) != 1:
        raise UserError(f"{where}: no array '{split}' among {', '.join(names) or 'none'}; rename one, or leave one in")
    return names[0]


def name_of_labels(name: str) -> str:
    """Return the name of the labels that go with an array."""
    return f"{name.removesuffix('_images')}_labels"


def channels_first(x: np.ndarray, spec: DataSpec, where: str) -> np.ndarray:
    """Return examples `(N, C, *sites)`, whose channels may be last, or left out where there is one.

    Raises:
        UserError: examples of another shape, or none.
    """
    channels, *sites = spec.shape
    if len(x) and (x.shape[1:] == spec.shape or (channels == 1 and x.shape[1:] == tuple(sites))):
        return x.reshape(-1, *spec.shape)
    if len(x) and len(sites) == 2 and x.shape[1:] == (*sites, channels):
        return np.ascontiguousarray(np.moveaxis(x, -1, 1))
    raise UserError(f"{where} is of shape {x.shape}; this density takes (N, {', '.join(map(str, spec.shape))})")


def labels_of(arrays: Arrays, name: str, classes: int, where: str) -> np.ndarray | None:
    """Return the labels `(N,)` that go with an array, as they are in the file; None where there are none.

    Args:
        arrays: of the file, by name.
        name: of the array.
        classes: number of them that the density knows; 0 for any number.
        where: the file, for the message.

    Raises:
        UserError: labels that do not fit the examples or the classes.
    """
    key = name_of_labels(name)
    labels = arrays.get(key)
    if labels is None:
        return None
    n = len(arrays[name])
    if labels.shape != (n,) or labels.dtype.kind not in "bui":
        raise UserError(f"{where}: '{key}' is {labels.dtype} of shape {labels.shape}; save integers ({n},)")
    wrong = np.flatnonzero((labels < 0) | (labels >= (classes or np.inf)))
    if len(wrong):
        i = int(wrong[0])
        raise UserError(f"{where}: example {i} has the label {labels[i]}; the classes are 0..{classes - 1}")
    return labels
