"""Any user's frames (`data.name=frames data.path=my.npz`): piano rolls, and channels of sensors."""

from functools import cached_property

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import FrameRate, Key, NonNegativeInt
from ar_lightning.core.medium import Roll
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.frames import frames_of, with_ends
from ar_lightning.data.ragged import rows_of
from ar_lightning.data.user.npz import Content, NpzArrays
from ar_lightning.data.user.reals import as_float32

__all__ = ["FramesFile"]


class FramesFile(NpzArrays):
    """Your own frames from an .npz file: channels of 0 and 1 a step, or of real values; of different lengths or one.

    The file is that of `data.name=npz`, but `train` is `(N, T, C)`, T frames of C channels. They may be of different
    lengths: then `train_lengths` `(N,)` says how many frames each example has; or `train` is `(sum, C)`, all
    examples one after another, and `train_offsets` `(N + 1,)` says where each begins. The end is then a channel of its
    own, which is predicted and drawn. So for `valid` and `test`; labels and vectors are as of `data.name=npz`.

    Args:
        path: the .npz file.
        lowest_key: the MIDI number of the first channel of a piano roll, which is then heard, 21 of 88 keys; null where
            channels are no keys.
        rate: frames a second, of samples that are heard.
        split_seed: seed of the held-out splits, where the file has none.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        lowest_key: Key | None = None,
        rate: FrameRate = 4.0,
        split_seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(path=path, split_seed=split_seed)
        self.lowest_key = lowest_key
        self.rate = rate

    @property
    def spec(self) -> DataSpec:
        content = self._content
        medium = Roll(self.rate, self.lowest_key)
        return DataSpec(
            content.splits["train"].x.shape[1:], content.levels, content.labels.classes, medium=medium,
            labels=content.labels.values, context=content.context, ends=content.ends,
        )  # fmt: skip

    @cached_property
    def _content(self) -> Content:
        x, found = self._read()
        if features := next((name for role, name in self._keys.of.items() if role.endswith("_features")), None):
            raise UserError(f"'{features}': frames have no features", self.path, "leave them out")
        lengths, offsets = (self._beside(x, found, kind) for kind in ("lengths", "offsets"))
        frames = {
            name: frames_of(array, self._named(name), lengths.get(name), offsets.get(name)) for name, array in x.items()
        }
        for name, part in frames.items():
            self._check_values(name, part.values)
            if part.values.shape[1] != frames["train"].values.shape[1]:
                raise UserError(f"{self._named(name)} is of shape {x[name].shape}; make C that of 'train'")
        levels = self._levels_of({name: part.values for name, part in frames.items()})
        if self.lowest_key is not None and levels != 2:
            problem = f"{self._named('train')} holds other values than 0 and 1 of keys; remove it"
            raise UserError(f"data.lowest_key: {problem}")
        if lengths or offsets:
            if levels not in (2, None):
                what = "frames of different lengths hold 0 and 1 alone, or real values"
                raise UserError(f"{self._named('train')}: {what}; binarise or standardise them, or cut to one length")
            sizes = {name: part.sizes for name, part in frames.items()}
            length = max(rows_of(size, None)[0] for size in sizes.values())
            kind = np.uint8 if levels else np.float32
            x = {}
            for name, part in frames.items():
                values = part.values if levels else as_float32(part.values, self._named(name), name == "train")
                x[name] = with_ends(values, part.sizes, length, kind)
            return self._content_of(x, found, levels, {}, sizes, "frames")
        if wrong := next((name for name, array in x.items() if array.shape[1:] != x["train"].shape[1:]), None):
            raise UserError(f"{self._named(wrong)} is of shape {x[wrong].shape}; make T and C those of 'train'")
        if levels is None:
            x = {name: as_float32(array, self._named(name), name == "train") for name, array in x.items()}
        return self._content_of({name: a.transpose(0, 2, 1) for name, a in x.items()}, found, levels, {}, {})
