"""F_beta and its area: exact values, an integral, and the other convention."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_facepatch.evaluation.functional.f_beta import (
    average_f_beta,
    confident_share,
    f_beta,
    f_beta_from_counts,
    margin_thresholds,
    margins_from_scores,
)

share = st.integers(1, 40).map(lambda n: n / 40)
betas = st.sampled_from([0.001, 0.01, 0.1, 0.5, 1.0, 2.0])


def textbook(precision, recall, beta):
    """van Rijsbergen's F, as scikit-learn has it."""
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def test_exact():
    # 2 * 1 / (1/0.5 + 1/0.25) = 1/3 at beta 1.
    assert f_beta([0.5], [0.25], 1.0) == pytest.approx(1 / 3, abs=1e-15)
    # 1.25 / (0.25/0.5 + 1/0.25)
    assert f_beta([0.5], [0.25], 0.5) == pytest.approx(1.25 / 4.5, abs=1e-15)


def test_small_beta_is_recall():
    """The paper's convention: beta below 1 weighs recall."""
    assert f_beta([0.01], [0.8], 0.001) == pytest.approx(0.8, abs=1e-4)
    assert f_beta([0.8], [0.01], 1000.0) == pytest.approx(0.8, abs=1e-4)


@given(share, share, betas)
def test_is_the_textbook_at_the_inverse(precision, recall, beta):
    value = float(f_beta(precision, recall, beta))
    assert value == pytest.approx(textbook(precision, recall, 1 / beta), rel=1e-12)
    assert 0 <= value <= 1


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), betas)
def test_counts_and_quotients_agree(recalled, false, missed, beta):
    faces, proposals = recalled + missed, recalled + false
    value = float(f_beta_from_counts(proposals, recalled, faces, beta))
    precision = recalled / proposals if proposals else math.nan
    recall = recalled / faces if faces else math.nan
    expected = float(f_beta(precision, recall, beta))
    assert value == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_nothing_detected_and_no_faces():
    assert f_beta([math.nan, 0.5], [0.0, math.nan], 0.5).tolist()[0] == 0.0
    assert math.isnan(f_beta([0.5], [math.nan], 0.5)[0])
    assert f_beta_from_counts(0, 0, 5, 0.5) == 0.0
    assert math.isnan(f_beta_from_counts(3, 0, 0, 0.5))


def test_area_of_a_step():
    """1 up to s = 0, 0 above: half of a symmetric range."""
    thresholds = margin_thresholds(-10, 10, 2001)
    curve = (thresholds <= 0).astype(float)
    assert average_f_beta(curve, thresholds) == pytest.approx(0.5, abs=1e-3)
    both = average_f_beta(np.stack([curve, np.ones_like(curve)]), thresholds)
    assert both[1] == pytest.approx(1.0, abs=1e-12)
    assert both.shape == (2,)


def test_area_of_a_line_is_exact():
    thresholds = margin_thresholds(0, 4, 5)
    assert average_f_beta(thresholds / 4, thresholds) == pytest.approx(0.5, abs=1e-15)


def test_area_over_confident_thresholds():
    """0.25 from s = -3 to 0, then a line from 0.25 down to 0 at s = 1."""
    thresholds = margin_thresholds(-3, 1, 4)
    assert thresholds == pytest.approx([-3, -5 / 3, -1 / 3, 0, 1])
    curve = np.array([0.25, 0.25, 0.25, 0.25, 0.0])
    whole, confident = (average_f_beta(curve, thresholds, low) for low in (-np.inf, 0))
    assert whole == pytest.approx((3 * 0.25 + 0.125) / 4, abs=1e-15)
    assert confident == pytest.approx(0.125, abs=1e-15)
    assert confident_share(whole, confident, -3, 1) == pytest.approx(1 / 7, abs=1e-15)


def test_area_over_a_point_is_its_height():
    thresholds = margin_thresholds(2, 2, 3)
    assert thresholds.tolist() == [2, 2, 2]
    for low in (-np.inf, 0):
        assert average_f_beta([[0.5] * 3, [1] * 3], thresholds, low).tolist() == [
            0.5,
            1,
        ]


def test_no_area_without_thresholds():
    for thresholds in ([], [-2.0, -1.0], [-1.0, 0.0]):
        curves = np.ones((2, len(thresholds)))
        assert (
            np.isnan(average_f_beta(curves, thresholds, low=0)).tolist() == [True] * 2
        )
    assert math.isnan(average_f_beta([], []))
    assert average_f_beta([1.0, 0.0], [-1.0, 0.0]) == 0.5


def test_share_of_an_area():
    assert confident_share(0.5, math.nan, -3, -1) == 0.0
    assert confident_share(0.5, 0.5, 0, 4) == confident_share(0.5, 0.5, 2, 2) == 1.0
    for nothing in ((0.0, 0.0, -1, 1), (math.nan, 0.5, -1, 1), (0.5, 0.5, math.nan, 1)):
        assert math.isnan(confident_share(*nothing))


def test_thresholds():
    assert margin_thresholds(-1, 1, 3).tolist() == [-1.0, 0.0, 1.0]
    # 0 is put in where it is missing between the ends, and only there.
    assert margin_thresholds(-1, 3, 4).tolist() == pytest.approx(
        [-1, 0, 1 / 3, 5 / 3, 3]
    )
    assert margin_thresholds(-1, 3, 4)[1] == 0
    assert margin_thresholds(1, 3, 3).tolist() == [1.0, 2.0, 3.0]
    assert margin_thresholds(-1, 0, 3).tolist() == [-1.0, -0.5, 0.0]
    assert len(margin_thresholds(-4.6, 12)) == 1001
    for wrong in ((1, 0, 3), (0, math.inf, 3), (0, 1, 1), (math.nan, 1, 3)):
        with pytest.raises(ValueError, match='low <= high'):
            margin_thresholds(*wrong)


@given(st.floats(-12, 12))
def test_margins_from_scores_invert_the_sigmoid(margin):
    score = 1 / (1 + math.exp(-margin))
    assert margins_from_scores([score])[0] == pytest.approx(margin, abs=1e-7)


def test_margins_of_rounded_scores_are_finite():
    for dtype, highest in ((np.float32, 16.6355), (np.float64, 36.7368)):
        ones = margins_from_scores(np.ones(1, dtype))
        assert ones[0] == pytest.approx(highest, abs=1e-3)
        below = np.nextafter(np.ones(1, dtype), dtype(0))
        assert ones[0] == margins_from_scores(below)[0]
        assert np.isfinite(margins_from_scores(np.zeros(1, dtype))).all()
    # What is lost: two float32 scores that margins of 18 and 25 would give.
    lost = margins_from_scores(1 / (1 + np.exp(-np.float32([18, 25]))))
    assert lost[0] == lost[1]


@pytest.mark.parametrize('beta', [0, -1, math.nan])
def test_wrong_beta(beta):
    with pytest.raises(ValueError, match='beta must be positive'):
        f_beta([0.5], [0.5], beta)
    with pytest.raises(ValueError, match='beta must be positive'):
        f_beta_from_counts(1, 1, 1, beta)
