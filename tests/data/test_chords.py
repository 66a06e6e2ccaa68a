"""Generated chords: pieces of different lengths, whose true density is one."""

from itertools import product

import numpy as np
import pytest

from ar_lightning.data.datasets import chords
from ar_lightning.data.datasets.chords import Chords


def test_pieces_end_where_they_end_and_are_the_same_every_time() -> None:
    data = Chords()
    splits = data.load()
    assert {name: len(split.x) for name, split in splits.items()} == chords.SIZES
    for split in splits.values():
        sizes = (split.x[:, 0] == 0).sum(1)
        assert sizes.min() >= chords.LEAST and sizes.max() <= chords.MOST and len(set(sizes)) > 20
        assert (split.x[:, 1:].sum((1, 2)) == 5 * sizes).all()  # a bass, a chord of three and a tune
        assert np.isfinite(data.true_log_prob(split.x)).all()
    assert all((splits[name].x == Chords().load()[name].x).all() for name in splits)
    assert not np.array_equal(splits["train"].x, Chords(data_seed=1).load()["train"].x)


def test_the_true_density_adds_up_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all pieces of one and of two frames, where there are no longer ones."""
    monkeypatch.setattr(chords, "MOST", 2)
    monkeypatch.setattr(chords, "LEAST", 1)
    frames = {
        frame.tobytes(): frame
        for tonic, degree, low, high in product(chords.TONICS, range(7), range(3), range(7))
        for frame in [_frame(tonic, degree, low, high)]
    }
    every = np.stack(list(frames.values()))  # (F, 37)
    over = np.eye(1, 37, dtype=np.uint8)[0]
    one = np.stack([every, np.broadcast_to(over, every.shape), np.broadcast_to(over, every.shape)], 2)
    pairs = np.stack(
        [every.repeat(len(every), 0), np.tile(every, (len(every), 1)), np.tile(over, (len(every) ** 2, 1))], 2
    )
    total = sum(np.exp(Chords().true_log_prob(x)).sum() for x in (one, pairs))
    assert total == pytest.approx(1, abs=1e-9)


def test_what_cannot_come_about_has_no_density() -> None:
    x = Chords().load()["test"].x[:4].copy()
    x[0, 1:, 3] = 0
    x[1, 5, 3] ^= 1
    x[2, :, 5:] = np.eye(1, 37, dtype=np.uint8).T  # before it may end
    log_p = Chords().true_log_prob(x)
    assert (log_p[:3] == -np.inf).all() and np.isfinite(log_p[3])


def _frame(tonic: int, degree: int, low: int, high: int) -> np.ndarray:
    frame = np.zeros(37, np.uint8)
    chord = chords.CHORDS[degree]
    for octave, tones in enumerate(([chord[low]], chord, [high])):
        frame[1 + 12 * octave + (chords.SCALE[tones] + tonic) % 12] = 1
    return frame
