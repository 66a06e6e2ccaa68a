"""Any user's arrays (`data.name=npz data.path=my.npz`)."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.medium import Table
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Split, Splits, hold_out, users_file
from ar_lightning.data.images import Images, treatment
from ar_lightning.data.labels import Labels, numbered, values_of
from ar_lightning.data.npz_file import npz_names, read_npz
from ar_lightning.data.ragged import flat_of, ragged, rows_of
from ar_lightning.data.user.keys import Keys, beside, keys_of
from ar_lightning.data.user.reals import as_float32, check_finite, moments_of

__all__ = ["Content", "NpzArrays", "channels_first"]

MAX_LEVELS = 65536
Arrays = dict[str, np.ndarray]  # by split


class Content(NamedTuple):
    """What is read of a file."""

    splits: Splits  # that the file has
    levels: int | None
    labels: Labels
    context: tuple[tuple[float, float], ...]  # mean and deviation of each number of the vectors of train
    ends: bool  # examples are of different lengths
    notes: tuple[str, ...]  # what was left out or taken for something, for the regime


class NpzArrays(Images):
    """Your own arrays from an .npz file: images, sequences or table rows, discrete or real.

    The file has the key `train`, and optionally `valid`, `test`, `<split>_labels`, `<split>_features` and
    `<split>_context`; `<split>_images` is read as `<split>`. A missing valid or test split is held out of train, a
    tenth each. An array is `(N, D)`, `(N, H, W)`, `(N, C, H, W)` or `(N, H, W, C)` with 1 or 3 channels.

    Levels `(N, D)` may be of different lengths: then `<split>_lengths` `(N,)` says how many values each has, and the
    others are not read; or an array `(sum,)` has all examples one after another, and `<split>_offsets` `(N + 1,)` says
    where each begins. The end of an example is then a level of its own, the last, which is predicted and drawn.

    Features, which are given and not modelled, are `(N, F, D)` or `(N, F, H, W)`. A context is a vector of F numbers
    that is given with an example, `(N, F)` in any units: models standardise it by the training examples.

    Labels are whole numbers or text, or one-hot; classes are those that occur in train, in their order.

    Booleans, integers and floats that are all whole and not negative are levels: 2 where only 0 and 1 occur, 256 for
    uint8 with a value above 127 (an 8-bit image), else the largest value of any split plus one. Other floats are real;
    rows `(N, D)` of them are a table, of columns x0, x1 .., which are not standardised.

    Args:
        path: the .npz file.
        levels: number of values a site takes; null to infer it from the arrays.
        split_seed: seed of the held-out splits, where the file has none.
        flip: mirror training images left to right at random, each with probability 1/2.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        levels: PositiveInt | None = None,
        split_seed: NonNegativeInt = 0,
        flip: bool = False,
    ) -> None:
        self.path = users_file(path, "npz", "my.npz", (".npz",), ".npz file")
        self.levels = levels
        self.split_seed = split_seed
        self.flip = flip

    @property
    def spec(self) -> DataSpec:
        train, levels, labels = self._content.splits["train"], self._content.levels, self._content.labels
        features = 0 if train.features is None else train.features.shape[1]
        shape = train.x.shape[1:]
        table = Table.plain(shape[1]) if levels is None and len(shape) == 2 and not features else None
        return DataSpec(
            shape, levels, labels.classes, features, table, labels=labels.values, context=self._content.context,
            ends=self._content.ends,
        )  # fmt: skip

    @property
    def regime(self) -> str:
        splits = self.load()
        held = [name for name in SPLITS if name not in self._content.splits]
        how = f"{' and '.join(held)} held out of train with seed {self.split_seed}" if held else "splits of the file"
        notes = "".join(f", {note}" for note in self._content.notes)
        sizes = "/".join(str(len(splits[name].x)) for name in SPLITS)
        return f"{self.path.name}, {treatment(how, self.flip)}, {sizes}{notes}"

    def load(self) -> Splits:
        splits = self._content.splits
        train = splits["train"]
        if missing := [name for name in SPLITS if name not in splits]:
            held = hold_out(len(train.x), missing, self.split_seed, self.path)
            splits = splits | {name: train.at(index) for name, index in held.items()}
        return {name: splits[name] for name in SPLITS}

    @cached_property
    def _keys(self) -> Keys:
        keys = keys_of(npz_names(self.path), self.path)
        if "train" not in keys.of:
            hint = f"rename one of {', '.join(keys.left_out)}" if keys.left_out else "save one"
            raise UserError("no array named 'train'", self.path, hint)
        return keys

    @cached_property
    def _content(self) -> Content:
        x, found = self._read()
        sizes = self._sizes(x, found)
        for name, array in x.items():
            self._check_values(name, array)
            if array.shape[1:] != x["train"].shape[1:]:
                shapes = f"{array.shape[1:]} but train has {x['train'].shape[1:]}"
                raise UserError(f"{self._named(name)} has examples of shape {shapes}; make them the same")
        levels = self._levels_of(x)
        if sizes:
            if levels is None:
                problem = f"{self._named('train')}: real values have no level for an end"
                raise UserError(f"{problem}; quantise them, or save them as frames (N, T, C) for data.name=frames")
            length = max(rows_of(size, None)[0] for size in sizes.values())
            x = {name: ragged(array, sizes[name], length, levels)[:, 0] for name, array in x.items()}
            levels += 1
        features = self._checked_features(x, self._beside(x, found, "features"))
        if levels is None:
            x = {name: as_float32(array, self._named(name), name == "train") for name, array in x.items()}
        if levels is None and x["train"].ndim == 3:
            size = " x ".join(map(str, x["train"].shape[1:]))
            notice(f"{self._named('train')}: (N, T, D) or (N, H, W), {size} real values are read as grey images")
        x = {name: channels_first(array, self._named(name)) for name, array in x.items()}
        if self.flip and x["train"].ndim != 4:
            rows = f"rows of {x['train'].shape[-1]} values"
            raise UserError(f"data.flip=true: {self.path} holds {rows}, no images to flip; leave data.flip out")
        if self.flip and features:
            raise UserError(f"data.flip=true: the features of {self.path} would stay as they are; leave data.flip out")
        return self._content_of(x, found, levels, features, sizes)

    def _read(self) -> tuple[Arrays, Arrays]:
        """Return the arrays of examples by split, and all arrays by name."""
        keys = self._keys
        found = read_npz(self.path, keys.of.values())
        if absent := next((name for name in keys.of.values() if name not in found), None):
            raise UserError(f"'{absent}' is no array", self.path, "write it with numpy.savez")
        return {s: found[keys.of[s]] for s in SPLITS if s in keys.of}, found

    def _content_of(
        self, x: Arrays, found: Arrays, levels: int | None, features: Arrays, sizes: Arrays, unit: str = "values"
    ) -> Content:
        """Return examples `(N, C, *sites)`, of these `sizes` where they end, with what lies beside them in the file."""
        keys = self._keys
        labels, treated = self._numbered(x, self._beside(x, found, "labels"))
        context = self._checked_context(x, self._beside(x, found, "context"))
        kind = np.float32 if levels is None else np.uint8 if levels <= 256 else np.int32
        splits = {
            s: Split(np.ascontiguousarray(a, kind), *(beside.get(s) for beside in (labels.numbers, features, context)))
            for s, a in x.items()
        }
        moments = moments_of(context["train"]) if context else ()
        if constant := [str(i) for i, (_, deviation) in enumerate(moments) if not deviation]:
            treated = (*treated, f"without {keys.of['train_context']} {', '.join(constant)}, constant in train")
        if sizes:
            low, high = (f([f(size) for size in sizes.values()]) for f in (np.min, np.max))
            treated = (*treated, f"examples of {low} to {high} {unit}, whose ends are values too")
        if notes := (*keys.notes, *treated):
            notice(f"{self.path}: {', '.join(notes)}")
        return Content(splits, levels, labels, moments, bool(sizes), notes)

    def _sizes(self, x: Arrays, found: Arrays) -> Arrays:
        """Put the values of examples of different lengths one after another in `x`; return the size of each example."""
        lengths, offsets = (self._beside(x, found, kind) for kind in ("lengths", "offsets"))
        if not lengths and not offsets:
            return {}
        if features := next((self._named(f"{s}_features") for s in x if f"{s}_features" in self._keys.of), None):
            raise UserError(f"{features}: examples of different lengths have no features; leave them out")
        sizes = {}
        for name in x:
            x[name], sizes[name] = flat_of(x[name], self._named(name), lengths.get(name), offsets.get(name))
        return sizes

    def _named(self, role: str) -> str:
        """Return the place of an array in messages, by its name in the file."""
        return f"{self.path}: '{self._keys.of.get(role, role)}'"

    def _beside(self, x: Arrays, found: Arrays, kind: str) -> Arrays:
        """Return the labels, features or vectors of each split, of which all or none must have some."""
        roles = {s: f"{s}_{kind}" for s in SPLITS if f"{s}_{kind}" in self._keys.of}
        for name, role in roles.items():
            if name not in x:
                fix = f"add the array or remove the {kind}"
                raise UserError(f"'{self._keys.of[role]}' has no '{name}' to go with", self.path, fix)
        if roles and (without := [name for name in x if name not in roles]):
            fix = f"give {kind} for every split in the file, or for none"
            raise UserError(f"no '{beside(self._keys.of[without[0]], kind)}'", self.path, fix)
        return {name: found[self._keys.of[role]] for name, role in roles.items()}

    def _numbered(self, x: Arrays, beside: Arrays) -> tuple[Labels, tuple[str, ...]]:
        """Return the classes of the examples, and what was done to labels to get them."""
        if not beside:
            return Labels({}, (), 0), ()
        places = {name: self._named(f"{name}_labels") for name in beside}
        found = {name: values_of(y, len(x[name]), places[name]) for name, y in beside.items()}
        treated = {f"labels {done}" for _, done in found.values() if done}
        return numbered({name: y for name, (y, _) in found.items()}, places), tuple(sorted(treated))

    def _check_values(self, name: str, array: np.ndarray) -> None:
        where = self._named(name)
        if array.dtype.kind not in "buif":
            raise UserError(f"{where} holds {array.dtype} values; save booleans, integers or floats")
        if array.size == 0:
            raise UserError(f"{where} is empty, of shape {array.shape}; leave it out or fill it")
        if array.dtype.kind == "f":
            check_finite(array, where)
        if array.dtype.kind == "i" and array.min() < 0:
            fix = "levels start at 0; shift them, or save standardised floats for real data"
            raise UserError(f"{where} holds the negative integer {array.min()}; {fix}")

    def _levels_of(self, x: dict[str, np.ndarray]) -> int | None:
        real = [name for name, array in x.items() if array.dtype.kind == "f" and not _is_whole(array)]
        whole = [name for name, array in x.items() if array.dtype.kind != "f"]
        if real and self.levels is not None:
            fix = f"data.levels={self.levels} needs 0..{self.levels - 1}; quantise, or leave data.levels out"
            raise UserError(f"{self._named(real[0])} holds values that are not whole and >= 0, and {fix}")
        if real and whole:
            kinds = f"{self._named(whole[0])} holds integers but '{self._keys.of[real[0]]}' real values"
            raise UserError(kinds, hint="save both as one kind")
        if real:
            return None
        top = {name: int(array.max()) for name, array in x.items()}
        highest = max(top, key=lambda name: top[name])
        if self.levels is not None and top[highest] >= self.levels:
            fix = (
                f"data.levels={self.levels} allows 0..{self.levels - 1}; set data.levels={top[highest] + 1:.7g} or more"
            )
            raise UserError(f"{self._named(highest)} holds the value {top[highest]:.7g}, but {fix}")
        if max(self.levels or 0, top[highest] + 1) > MAX_LEVELS:
            fix = f"{MAX_LEVELS} levels are the most; for real data save floats that are standardised"
            raise UserError(f"{self._named(highest)} holds whole numbers up to {top[highest]:.7g}, and {fix}")
        is_8bit = top[highest] > 127 and all(array.dtype == np.uint8 for array in x.values())
        return self.levels or (256 if is_8bit else max(2, top[highest] + 1))

    def _checked_features(self, x: Arrays, features: Arrays) -> Arrays:
        for name, u in features.items():
            where = self._named(f"{name}_features")
            sites = channels_first(x[name], self._named(name)).shape[2:]
            if u.dtype.kind not in "buif" or u.ndim != 2 + len(sites) or u.shape[2:] != sites or not u.shape[1]:
                shape = ", ".join(map(str, sites))
                raise UserError(f"{where} is {u.dtype} of shape {u.shape}; save numbers of shape (N, F, {shape})")
            if len(u) != len(x[name]) or u.shape[1] != features[min(features)].shape[1]:
                raise UserError(f"{where} is of shape {u.shape}; make N that of '{name}' and F the same in all splits")
        return {name: as_float32(u, self._named(f"{name}_features"), name == "train") for name, u in features.items()}

    def _checked_context(self, x: Arrays, context: Arrays) -> Arrays:
        for name, u in context.items():
            where, size = self._named(f"{name}_context"), context[min(context)].shape[1:]
            if u.dtype.kind not in "buif" or u.ndim != 2 or not u.shape[1]:
                raise UserError(f"{where} is {u.dtype} of shape {u.shape}; save numbers of shape (N, F)")
            if len(u) != len(x[name]) or u.shape[1:] != size:
                raise UserError(f"{where} is of shape {u.shape}; make N that of '{name}' and F the same in all splits")
        return {name: as_float32(u, self._named(f"{name}_context"), name == "train") for name, u in context.items()}


def channels_first(x: np.ndarray, where: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return examples `(N, C, *sites)` whose channels may come last, or be left out if there is one.

    `shape` `(C, *sites)` is what a density takes; null to tell it from the array, with 1 or 3 channels.
    """
    channels, *sites = shape or _shape_of(x, where)
    if x.size and x.shape[1:] in ((channels, *sites), tuple(sites) if channels == 1 else None):
        return x.reshape(-1, channels, *sites)
    if x.size and len(sites) == 2 and x.shape[1:] == (*sites, channels):
        return np.ascontiguousarray(np.moveaxis(x, -1, 1))
    raise UserError(f"{where} is of shape {x.shape}; this density takes (N, {', '.join(map(str, shape or ()))})")


def _shape_of(x: np.ndarray, where: str) -> tuple[int, ...]:
    match x.shape[1:]:
        case (_,) | (_, _):
            return (1, *x.shape[1:])
        case (1 | 3, _, _):
            return x.shape[1:]
        case (height, width, (1 | 3) as channels):
            return channels, height, width
    layouts = "(N, D), (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels"
    raise UserError(f"{where}: arrays of shape {x.shape} are not understood; reshape to {layouts}")


def _is_whole(array: np.ndarray) -> bool:
    return bool((array >= 0).all() and (array == np.floor(array)).all())
