"""Tones: what is drawn follows the density that is said to be the true one."""

from itertools import product
from math import log
from typing import Any

import numpy as np
import pytest

from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS
from ar_lightning.data.datasets.tones import FREQUENCIES, NOISE, PHASES, RATE, Tones

ENTROPY = -(NOISE[0] * np.log(NOISE[0]) + 2 * (NOISE[1:3] * np.log(NOISE[1:3])).sum())  # of the noise, nats a sample


@pytest.mark.parametrize("melody", [False, True])
@pytest.mark.parametrize("levels", [8, 64, 256])
def test_examples_are_what_the_spec_says(levels: Any, melody: bool) -> None:
    data = Tones(levels=levels, length=50, melody=melody)
    splits = data.load()
    known = {"features": 8} if melody else {"classes": 8}
    assert data.spec == DataSpec((1, 50), levels, medium=Audio(8000, "linear"), **known)
    for name, n in zip(SPLITS, (2000, 200, 200), strict=True):
        x, labels, features = splits[name].x, splits[name].labels, splits[name].features
        assert x.shape == (n, 1, 50) and x.dtype == np.uint8 and x.min() >= 0 and x.max() <= levels - 1
        if melody:
            assert labels is None and features is not None and features.shape == (n, 8, 50)
            assert features.dtype == np.float32 and (features.sum(1) == 1).all()
        else:
            assert features is None and labels is not None and labels.dtype == np.int64
            assert set(labels) == set(range(8))
    assert splits["train"].x.min() <= 1 and splits["train"].x.max() >= levels - 2


def test_examples_depend_on_the_seed_only() -> None:
    first, again, other = Tones(length=20).load(), Tones(length=20).load(), Tones(length=20, data_seed=1).load()
    assert all((first[name].x == again[name].x).all() for name in SPLITS)
    assert (first["test"].x != other["test"].x).any()
    rows = [row.tobytes() for split in Tones().load().values() for row in split.x]
    assert len(set(rows)) == len(rows)  # no example of one split is in another


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_true_density_sums_to_one(length: int) -> None:
    every = np.array(list(product(range(8), repeat=length)))[:, None]
    log_prob = Tones(levels=8, length=length).true_log_prob(every)
    assert log_prob is not None and log_prob.dtype == np.float64
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-12)


def test_the_true_density_of_a_melody_sums_to_one_whatever_the_melody() -> None:
    every = np.array(list(product(range(8), repeat=3)))[:, None]
    data = Tones(levels=8, length=3, melody=True)
    for notes in ([0, 0, 0], [7, 0, 3], [5, 5, 6]):
        features = np.eye(8)[notes].T[None].repeat(len(every), 0)
        log_prob = data.true_log_prob(every, features)
        assert log_prob is not None and np.exp(log_prob).sum() == pytest.approx(1, abs=1e-12)
    assert data.true_log_prob(every) is None


def test_the_true_density_is_that_of_its_definition() -> None:
    data = Tones(levels=16, length=5)
    x = data.load()["valid"].x[:20]
    found = data.true_log_prob(x)
    for row, log_prob in zip(x[:, 0].astype(int), found, strict=True):  # type: ignore[arg-type]
        total = 0.0
        for f, phase in product(FREQUENCIES, PHASES):
            errors = [abs(v - round(7.5 + 5.5 * np.sin(phase + 2 * np.pi * f * t / RATE))) for t, v in enumerate(row)]
            total += float(np.prod([NOISE[min(error, 3)] for error in errors])) / 128
        assert log(total) == pytest.approx(log_prob)


def test_a_tone_is_the_note_of_its_label() -> None:
    data = Tones(length=2000)
    test = data.load()["test"]
    spectrum = np.abs(np.fft.rfft(test.x[:10, 0] - 31.5, axis=-1))
    np.testing.assert_allclose(4 * spectrum.argmax(-1), FREQUENCIES[test.labels[:10]], atol=2.1)  # type: ignore[index]
    assert FREQUENCIES[5] == 440


def test_the_entropy_is_that_of_the_noise_and_of_what_is_chosen() -> None:
    data = Tones()
    log_prob = data.true_log_prob(data.load()["train"].x)
    assert log_prob is not None and np.isfinite(log_prob).all()
    # 256 samples tell note and phase: log 128 nats more than the noise. The mean of 2000 is off by about 0.2 nats.
    assert -log_prob.mean() == pytest.approx(256 * ENTROPY + log(128), abs=0.8)
    entropy = -data.true_log_prob(data.load()["test"].x).mean() / log(2) / 256  # type: ignore[union-attr]
    assert f"true entropy of test {entropy:.4f} bits/dim" in data.regime and data.regime.endswith("2000/200/200")


def test_features_tell_the_note_of_every_sample() -> None:
    data = Tones(melody=True)
    train = data.load()["train"]
    features = train.features
    assert features is not None
    told = data.true_log_prob(train.x, features)
    assert told is not None and -told.mean() == pytest.approx(256 * ENTROPY + log(16), abs=0.8)
    late = data.true_log_prob(train.x, np.roll(features, 3, axis=-1))  # the same notes, three samples later
    assert late is not None and late.mean() < told.mean() - 1
    notes = features.argmax(1)
    assert np.diff(notes).astype(bool).mean() == pytest.approx(1 / 64 * 7 / 8, rel=0.05)
    assert "melodies given as features" in data.regime


def test_what_cannot_come_about_has_no_probability() -> None:
    assert Tones(length=4).true_log_prob(np.array([[[0, 63, 0, 63]]])).tolist() == [-np.inf]  # type: ignore[union-attr]
