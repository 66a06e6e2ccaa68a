"""Tones in noise (generated, no download): sound whose true density is known, so that a model has a mark to reach."""

from collections.abc import Iterator
from functools import cached_property
from math import log, pi
from typing import Literal

import numpy as np

from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits

__all__ = ["Tones"]

RATE = 8000
SIZES = {"train": 2000, "valid": 200, "test": 200}
FREQUENCIES = 440 * 2 ** (np.array([-9, -7, -5, -4, -2, 0, 2, 3]) / 12)  # C major from C4 to C5, tempered, in Hz
PHASES = (np.arange(16) + 0.5) * pi / 8  # none at zero, where rounding would hang on the last bit of a sine
NOISE = np.array([3, 2, 1, 0]) / 9  # probability of an error of 0, 1, 2 or more levels, of either sign
REACH = 2  # largest error
CHANGE = 1 / 64  # probability that a melody draws a new note at a sample


class Tones(Dataset):
    """Musical tones in noise, generated: their true density is known, and so are the bits/dim to reach; labels.

    `x_t = round(c + A sin(phase_t)) + e_t` on levels 0..K-1, with `c = (K-1)/2` and `A = c - 2`. The phase starts at
    one of 16, evenly likely, and advances by `2 pi f / 8000` a sample for a note of frequency f, one of the 8 of C
    major from 262 to 523 Hz. The noise e is independent, triangular on -2..2: the sum of two throws of {-1, 0, 1}. So
    the density is a finite mixture, and `true_log_prob` is exact. The class of an example is its note.

    Args:
        levels: K, spaced evenly; the more, the larger the sine is against its noise.
        length: samples of an example, 8000 a second.
        melody: the note changes at random within an example, on average every 73 samples. It is then given with every
            sample, as 8 features of which one is 1, and there are no classes.
        data_seed: seed of all that is drawn.
    """

    def __init__(
        self,
        *,
        levels: Literal[64, 256, 16, 8] = 64,
        length: PositiveInt = 256,
        melody: bool = False,
        data_seed: NonNegativeInt = 0,
    ) -> None:
        self.levels = levels
        self.length = length
        self.melody = melody
        self.data_seed = data_seed

    @property
    def spec(self) -> DataSpec:
        classes, features = (0, len(FREQUENCIES)) if self.melody else (len(FREQUENCIES), 0)
        return DataSpec((1, self.length), self.levels, classes, features, Audio(RATE, "linear"))

    @property
    def regime(self) -> str:
        test = self._splits["test"]
        log_prob = self.true_log_prob(test.x, test.features)
        assert log_prob is not None
        what = "melodies given as features" if self.melody else f"{len(FREQUENCIES)} notes"
        sound = f"{self.length} samples at {RATE} Hz, {self.levels} levels, triangular noise of -2..2"
        entropy = f"true entropy of test {-log_prob.mean() / log(2) / self.length:.4f} bits/dim"
        sizes = "/".join(str(n) for n in SIZES.values())
        return f"tones: {what} x {len(PHASES)} phases, {sound}, {entropy}, seed {self.data_seed}, {sizes}"

    def load(self) -> Splits:
        return dict(self._splits)

    def true_log_prob(self, x: np.ndarray, features: np.ndarray | None = None) -> np.ndarray | None:
        """Return log p(x) `(N,)` in nats, over all notes and phases; -inf for levels that cannot come about.

        Of melodies it is log p(x | features) over all phases, or None where the features `(N, 8, T)` are missing.
        """
        if self.melody and features is None:
            return None
        with np.errstate(divide="ignore"):
            log_noise = np.log(NOISE)
        given = None if features is None or not self.melody else features.argmax(1)
        log_probs = [
            log_noise[np.minimum(np.abs(x[:, 0].astype(np.int64) - clean), REACH + 1)].sum(-1)
            for clean in self._candidates(given)
        ]
        return np.logaddexp.reduce(log_probs, axis=0) - log(len(log_probs))

    @cached_property
    def _splits(self) -> Splits:
        random = np.random.RandomState(self.data_seed % 2**32)  # its stream is frozen, Generator's is not
        n = sum(SIZES.values())
        notes = _melodies(random, n, self.length)
        if not self.melody:
            notes = np.repeat(notes[:, :1], self.length, axis=1)
        start = PHASES[random.randint(len(PHASES), size=(n, 1))]
        noise = random.randint(-1, 2, size=(2, n, self.length)).sum(0)
        x = (self._clean(notes, start) + noise).astype(np.uint8)[:, None]
        ends = np.cumsum([SIZES[name] for name in SPLITS])
        parts = {name: slice(end - SIZES[name], end) for name, end in zip(SPLITS, ends, strict=True)}
        if not self.melody:
            return {name: Split(x[part], notes[part, 0]) for name, part in parts.items()}
        given = np.eye(len(FREQUENCIES), dtype=np.float32)[notes].transpose(0, 2, 1)
        return {name: Split(x[part], None, given[part].copy()) for name, part in parts.items()}

    def _clean(self, notes: np.ndarray, start: np.ndarray | float) -> np.ndarray:
        """Return the levels without noise of notes `(..., T)` that start at phases `(..., 1)`."""
        advance = 2 * pi * FREQUENCIES[notes] / RATE
        advance[..., 0] = 0
        centre = (self.levels - 1) / 2
        return np.rint(centre + (centre - REACH) * np.sin(start + advance.cumsum(-1))).astype(np.int64)

    def _candidates(self, melody: np.ndarray | None) -> Iterator[np.ndarray]:
        """Yield every signal that may lie under the noise: `(N, T)` of melodies `(N, T)`, else `(T,)`."""
        for notes in np.arange(len(FREQUENCIES))[:, None].repeat(self.length, 1) if melody is None else [melody]:
            for start in PHASES:
                yield self._clean(notes, start)


def _melodies(random: np.random.RandomState, n: int, length: int) -> np.ndarray:
    """Draw notes `(n, length)`, each of which lasts until the next is drawn."""
    notes = random.randint(len(FREQUENCIES), size=(n, length))
    drawn = random.random_sample((n, length)) < CHANGE
    drawn_at = np.maximum.accumulate(np.where(drawn, np.arange(length), 0), axis=1)
    return np.take_along_axis(notes, drawn_at, 1)
