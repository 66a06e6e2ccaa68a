"""Levels of sound: every level comes back, and every amplitude to within half a level."""

from typing import Any

import numpy as np
import pytest

from ar_lightning.media.mu_law import inverse_mu_law, mu_law, to_amplitudes, to_levels


@pytest.mark.parametrize("encoding", ["mu_law", "linear"])
@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8, 17, 64, 255, 256, 257, 1000, 4096, 65535, 65536])
def test_round_trips(levels: int, encoding: Any) -> None:
    every = np.arange(levels)
    amplitude = to_amplitudes(every, levels, encoding)
    assert (np.diff(amplitude) > 0).all() and amplitude[0] >= -1 and amplitude[-1] <= 1
    np.testing.assert_allclose(amplitude[[0, -1]], [-1, 1], atol=1e-12)
    np.testing.assert_allclose(amplitude, -amplitude[::-1], atol=1e-12)
    back = to_levels(amplitude, levels, encoding)
    np.testing.assert_array_equal(back, every)
    assert back.dtype == (np.uint8 if levels <= 256 else np.int32)
    a = np.random.default_rng(levels).uniform(-1, 1, 5000) ** 3
    b = to_amplitudes(to_levels(a, levels, encoding), levels, encoding)
    if encoding == "mu_law":
        a, b = mu_law(a, levels - 1), mu_law(b, levels - 1)
    assert np.abs(a - b).max() <= (1 + 1e-9) / (levels - 1)  # levels lie 2 / (K-1) apart


def test_the_mu_law_is_that_of_wavenet() -> None:
    a = np.linspace(-1, 1, 2001)
    f = np.sign(a) * np.log(1 + 255 * np.abs(a)) / np.log(256)
    np.testing.assert_allclose(mu_law(a, 255), f, atol=1e-12)
    np.testing.assert_allclose(inverse_mu_law(f, 255), a, atol=1e-12)
    assert to_levels(np.array([-1, 0, 1]), 256, "mu_law").tolist() == [0, 128, 255]
    steps = np.diff(to_amplitudes(np.arange(256), 256, "mu_law"))
    assert steps[127] < 1e-3 / 5 and steps[0] > 0.02  # fine where it is quiet, coarse where it is loud


def test_loud_amplitudes_are_clipped() -> None:
    for encoding in ("mu_law", "linear"):
        assert to_levels(np.array([-3.0, 1.01]), 16, encoding).tolist() == [0, 15]  # type: ignore[arg-type]
