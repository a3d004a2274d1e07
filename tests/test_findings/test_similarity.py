"""Correlation of patches."""

from __future__ import annotations

import numpy as np
import pytest
from findings.similarity import patch_similarity

RNG = np.random.default_rng(0)


def blob() -> np.ndarray:
    """A light spot off the middle, (3, 32, 32)."""
    y, x = np.mgrid[:32, :32]
    return np.stack([np.exp(-((x - 12) ** 2 + (y - 20) ** 2) / 30)] * 3)


def test_equal_and_opposite():
    one = blob()
    same = patch_similarity(one, one, blocks=8)
    assert same.pixels == pytest.approx(1) and same.coarse == pytest.approx(1)
    assert same.chance < 1
    assert patch_similarity(one, 1 - one, blocks=8).coarse == pytest.approx(-1)


def test_brightness_and_contrast_do_not_count():
    one = blob()
    assert patch_similarity(one, 0.2 + 0.5 * one, blocks=8).pixels == pytest.approx(1)


def test_pixels_are_numpys_correlation():
    one, two = RNG.random((2, 3, 16, 24))
    expected = np.corrcoef(one.ravel(), two.ravel())[0, 1]
    assert patch_similarity(one, two, blocks=8).pixels == pytest.approx(expected)


def test_noise_averages_out_of_the_blocks():
    one, two = (blob() + 0.5 * RNG.normal(size=(3, 32, 32)) for _ in range(2))
    found = patch_similarity(one, two, blocks=8)
    assert found.coarse > 2 * found.pixels and found.coarse > found.chance


def test_a_moved_copy_is_no_more_than_chance():
    moved = np.roll(blob(), (12, 8), (1, 2))
    found = patch_similarity(blob(), moved, blocks=8)
    assert found.coarse < found.chance


def test_constant_has_none():
    assert np.isnan(
        patch_similarity(np.full((3, 8, 8), 0.5), np.zeros((3, 8, 8)), blocks=8).pixels
    )


@pytest.mark.parametrize(
    ('one', 'two', 'blocks'),
    [((3, 8, 8), (3, 8, 16), 8), ((3, 12, 12), (3, 12, 12), 8), ((8, 8), (8, 8), 8)],
)
def test_unfit_shapes(one, two, blocks):
    with pytest.raises(ValueError, match='patch'):
        patch_similarity(np.zeros(one), np.zeros(two), blocks)
