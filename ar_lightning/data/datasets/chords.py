"""Chords with a bass and a tune (generated, no download): piano rolls of different lengths, of a known density."""

from functools import cached_property
from math import log

import numpy as np

from ar_lightning.core.fields import NonNegativeInt
from ar_lightning.core.medium import Roll
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits
from ar_lightning.data.frames import with_ends

__all__ = ["Chords"]

SIZES = {"train": 600, "valid": 100, "test": 100}
RATE, LOWEST = 4.0, 36  # frames a second, and the MIDI number of the lowest key, a C
TONICS = (0, 7, 5)  # C, G and F major
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
CHORDS = (np.arange(7)[:, None] + [0, 2, 4]) % 7  # the root, third and fifth of each degree
LEAST, MOST = 16, 60  # frames
STAY = 0.5  # probability that a chord is held for a further frame
CLOSE = 0.2  # probability of an end after a frame on the first degree, from LEAST frames on
BASS = np.array([0.6, 0.25, 0.15])  # of the root, third and fifth in the bass
NEXT = np.array([  # of the next degree, given this one
    [0.05, 0.15, 0.05, 0.3, 0.25, 0.2, 0.0],
    [0.05, 0.05, 0.0, 0.1, 0.6, 0.0, 0.2],
    [0.0, 0.1, 0.0, 0.4, 0.0, 0.5, 0.0],
    [0.3, 0.2, 0.0, 0.05, 0.45, 0.0, 0.0],
    [0.6, 0.0, 0.0, 0.1, 0.1, 0.2, 0.0],
    [0.0, 0.35, 0.1, 0.35, 0.2, 0.0, 0.0],
    [0.8, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0],
])  # fmt: skip


class Chords(Dataset):
    """Chords with a bass and a tune in three keys, generated: piano rolls whose true density is known.

    Frames of 36 keys, at most 60 of them, four a second: one key of the lowest octave is the bass, three of the middle
    one are the chord, and one of the highest is the tune. A chord is held, or the next degree of the scale is drawn
    given this one, and which of its tones is in the bass. The tune goes on to a near tone of the scale, which is more
    likely one of the chord. A piece may end on the first degree. All tones are told from a frame, but for the key
    (C, G or F major), so that `true_log_prob`, a mixture over the keys, is exact.

    Args:
        data_seed: seed of all that is drawn.
    """

    def __init__(self, *, data_seed: NonNegativeInt = 0) -> None:
        self.data_seed = data_seed

    @property
    def spec(self) -> DataSpec:
        return DataSpec((37, MOST + 1), 2, medium=Roll(RATE, LOWEST), ends=True)

    @property
    def regime(self) -> str:
        test = self._splits["test"].x
        nats, frames = -self.true_log_prob(test).sum(), (test[:, 0] == 0).sum()
        entropy = f"true entropy of test {nats / frames:.4f} nats a frame"
        sizes = "/".join(str(n) for n in SIZES.values())
        return f"chords: 36 keys, {LEAST} to {MOST} frames and an end, {entropy}, seed {self.data_seed}, {sizes}"

    def load(self) -> Splits:
        return dict(self._splits)

    def true_log_prob(self, x: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """Return log p(x) `(N,)` in nats, a mixture over the keys; -inf for frames that cannot come about."""
        parts = [self._given_key(x, tonic) for tonic in TONICS]
        return np.logaddexp.reduce(parts, axis=0) - log(len(TONICS))

    @cached_property
    def _splits(self) -> Splits:
        random = np.random.RandomState(self.data_seed % 2**32)  # its stream is frozen, Generator's is not
        n = sum(SIZES.values())
        degree, low, high = _played(random, n)
        over = random.random_sample((n, MOST)) < _end(degree)
        sizes = over.argmax(1) + 1
        tonic = np.array(TONICS)[random.randint(len(TONICS), size=(n, 1))]
        frames = np.zeros((n, MOST, 36), np.uint8)
        for octave, tones in enumerate((low[..., None], CHORDS[degree], high[..., None])):
            np.put_along_axis(frames, 12 * octave + (SCALE[tones] + tonic[..., None]) % 12, 1, 2)
        x = with_ends(frames[np.arange(MOST) < sizes[:, None]], sizes, MOST + 1)
        parts = np.split(x, np.cumsum([SIZES[name] for name in SPLITS])[:-1])
        return {name: Split(part) for name, part in zip(SPLITS, parts, strict=True)}

    def _given_key(self, x: np.ndarray, tonic: int) -> np.ndarray:
        """Return log p `(N,)` of pieces `(N, 37, 61)` in one key."""
        octaves = x[:, 1:, :MOST].reshape(len(x), 3, 12, MOST).transpose(1, 0, 3, 2)  # (3, N, T, 12)
        bass, chord, tune = np.roll(octaves, -tonic, 3)[..., SCALE]  # (N, T, 7) each
        fits = (chord[:, :, None] == _MEMBERS).all(3)  # (N, T, 7): of which degree a chord is
        degree, low, high = fits.argmax(2), bass.argmax(2), tune.argmax(2)  # (N, T)
        legal = fits.any(2) & bass.any(2) & tune.any(2) & (octaves.sum(3) == np.array([1, 3, 1])[:, None, None]).all(0)
        before = [np.pad(part[:, :-1], ((0, 0), (1, 0))) for part in (degree, low, high)]
        moved = NEXT[before[0], degree] * (BASS * (CHORDS[degree] == low[..., None])).sum(2)
        step = STAY * ((degree == before[0]) & (low == before[1])) + (1 - STAY) * moved
        step[:, 0] = (degree[:, 0] == 0) * (BASS * (CHORDS[0] == low[:, :1])).sum(1)
        step *= np.take_along_axis(_tune(before[2], degree), high[..., None], 2)[..., 0] * legal
        t, size = np.arange(MOST), (x[:, :1] == 0).sum(2)  # (N, 1)
        end = _end(degree)
        with np.errstate(divide="ignore"):
            terms = np.where(t < size, np.log(step), 0) + np.log(np.where(t < size - 1, 1 - end, 1))
            terms += np.where(t == size - 1, np.log(end), 0)
        log_p: np.ndarray = np.where((size[:, 0] > 0) & (size[:, 0] <= MOST), terms.sum(1), -np.inf)
        return log_p


_MEMBERS = (CHORDS[:, :, None] == np.arange(7)).any(1)  # (7, 7): which tones of the scale a chord has


def _played(random: np.random.RandomState, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the chord, the bass and the tune of each frame of n pieces, as degrees of the scale `(n, MOST)`."""
    degree = low = high = np.zeros(n, int)
    frames = []
    for t in range(MOST):
        held = (random.random_sample(n) < STAY) & (t > 0)
        drawn = _pick(random, NEXT[degree]) if t else degree
        third = CHORDS[drawn, _pick(random, np.tile(BASS, (n, 1)))]
        degree, low = np.where(held, degree, drawn), np.where(held, low, third)
        high = _pick(random, _tune(high, degree))
        frames.append((degree, low, high))
    degrees, lows, highs = (np.stack(part, 1) for part in zip(*frames, strict=True))
    return degrees, lows, highs


def _pick(random: np.random.RandomState, p: np.ndarray) -> np.ndarray:
    """Draw from distributions `(n, K)`: `(n,)`."""
    drawn: np.ndarray = (random.random_sample((len(p), 1)) >= p.cumsum(1)).sum(1).clip(max=p.shape[1] - 1)
    return drawn


def _end(degree: np.ndarray) -> np.ndarray:
    """Return the probability `(..., MOST)` that a piece is over after each of its frames."""
    played = np.arange(1, MOST + 1)
    return np.where(played == MOST, 1.0, np.where((degree == 0) & (played >= LEAST), CLOSE, 0.0))


def _tune(tone: np.ndarray, degree: np.ndarray) -> np.ndarray:
    """Return the probabilities `(..., 7)` of the next tone of the tune, given this one and the chord."""
    weights = 2.0 ** -np.abs(np.arange(7) - tone[..., None]) * np.where(_MEMBERS[degree], 3, 1)
    probs: np.ndarray = weights / weights.sum(-1, keepdims=True)
    return probs
