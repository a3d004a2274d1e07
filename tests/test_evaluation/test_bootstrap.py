"""Intervals against a bootstrap that draws and recounts one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mmdet_facepatch.evaluation.functional.bootstrap import (
    bootstrap_weights,
    paired_differences,
    percentile_interval,
)
from mmdet_facepatch.evaluation.functional.evaluate import evaluate_faces
from mmdet_facepatch.evaluation.functional.face_evaluation import (
    EvaluationSettings,
    compare_evaluations,
)
from mmdet_facepatch.evaluation.functional.faces import ImageRecord


def random_records(num_images=25, seed=0, quality=0.15, attacked=False):
    rng = np.random.default_rng(seed)
    records = []
    for i in range(num_images):
        corner = rng.uniform(0, 300, (rng.integers(0, 7), 2))
        gts = np.concatenate([corner, corner + rng.uniform(5, 60, corner.shape)], 1)
        size = np.tile(gts[:, 2:] - gts[:, :2], 2)
        near = np.repeat(gts + rng.normal(0, quality, gts.shape) * size, 2, axis=0)
        noise = rng.uniform(0, 300, (3, 2))
        boxes = np.concatenate([near, np.concatenate([noise, noise + 20], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        margins = rng.normal(1, 3, len(boxes))
        records.append(
            ImageRecord(
                img_id=f'e/{i}',
                det_boxes=boxes,
                det_scores=1 / (1 + np.exp(-margins)),
                gt_boxes=gts,
                det_margins=margins,
                gt_keep={'hard': rng.random(len(gts)) < 0.6},
                # On the detections that are on no face.
                patch_boxes=boxes[-3:].astype(np.int64) if attacked else None,
            )
        )
    return records


def test_weights():
    weights = bootstrap_weights(7, 50, seed=3)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.min() == 0 and weights.max() > 1
    assert np.array_equal(weights, bootstrap_weights(7, 50, seed=3))
    assert not np.array_equal(weights, bootstrap_weights(7, 50, seed=4))


def test_replicates_equal_an_evaluation_of_the_drawn_images():
    """Each replicate is what evaluating its images would give.

    AP is normalised over the whole set, so here the whole set's lowest and
    highest score are put into an image of every replicate.
    """
    records = random_records(12, attacked=True)
    settings = EvaluationSettings(bootstrap=8, seed=1, num_thresholds=200)
    everything = evaluate_faces(records, settings)
    assert everything.replicates['all/on_patch@0.5'].max() > 1
    weights = bootstrap_weights(len(records), 8, seed=1)
    scores = np.concatenate([record.det_scores for record in records])
    margins = np.concatenate([record.det_margins for record in records])
    ends = ImageRecord(
        img_id='ends',
        det_boxes=np.zeros((2, 4)),
        det_scores=np.array([scores.max(), scores.min()]),
        gt_boxes=np.zeros((0, 4)),  # without faces it counts for nothing else
        det_margins=np.array([margins.max(), margins.min()]),
        patch_boxes=np.zeros((0, 4), np.int64),
    )
    for replicate, row in enumerate(weights):
        drawn = [
            replace(record, img_id=f'{record.img_id}#{k}')
            for record, times in zip(records, row, strict=True)
            for k in range(times)
        ]
        single = evaluate_faces(
            [*drawn, ends],
            EvaluationSettings(bootstrap=0, num_thresholds=200),
            everything.reference,
        )
        for key, values in everything.replicates.items():
            assert values[replicate] == pytest.approx(
                single.numbers[key], abs=1e-12, nan_ok=True
            ), key


def test_every_headline_number_has_an_interval_around_it():
    settings = EvaluationSettings(min_precision=0.35)
    evaluation = evaluate_faces(random_records(60), settings)
    for subset in ('hard', 'all'):
        for name in (
            *('AP', 'AF0.001', 'AF0.5', 'AF0.5+', 'precision@0.9', 'recall@calibrated'),
        ):
            interval = evaluation.intervals[f'{subset}/{name}']
            value = evaluation.numbers[f'{subset}/{name}']
            assert interval.low < value < interval.high
            assert interval.undefined == 0


def test_interval_covers_the_truth():
    """Of 200 samples with recall 0.6, about 95 in 100 intervals hold 0.6."""
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        found = rng.random(80) < 0.6
        weights = bootstrap_weights(80, 300, seed)
        interval = percentile_interval(weights @ found / 80)
        hits += interval.low <= 0.6 <= interval.high
    assert 176 <= hits <= 199


def test_percentiles():
    interval = percentile_interval(np.arange(101.0), 0.9)
    assert (interval.low, interval.high) == pytest.approx((5.0, 95.0), abs=1e-12)
    assert interval.undefined == 0
    with_nan = percentile_interval([math.nan, 1.0, 1.0, math.nan])
    assert (with_nan.low, with_nan.high, with_nan.undefined) == (1.0, 1.0, 2)
    nothing = percentile_interval([math.nan] * 3)
    assert math.isnan(nothing.low) and nothing.undefined == 3


def test_pairing_is_narrower_than_two_intervals():
    """The same images, a little worse: far less uncertain than each alone."""
    clean = evaluate_faces(random_records(60))
    worse = evaluate_faces(
        [
            replace(
                record,
                det_margins=record.det_margins - 0.5,
                det_scores=1 / (1 + np.exp(0.5 - record.det_margins)),
            )
            for record in random_records(60)
        ],
        reference=clean.reference,
    )
    differences = compare_evaluations(clean, worse)
    found = differences['all/recall@0.9']
    expected = worse.numbers['all/recall@0.9'] - clean.numbers['all/recall@0.9']
    assert found.value == pytest.approx(expected, abs=1e-15)
    assert found.interval.low <= found.value <= found.interval.high < 0
    alone = clean.intervals['all/recall@0.9']
    assert found.interval.high - found.interval.low < alone.high - alone.low
    same = compare_evaluations(clean, clean)['all/AF0.5']
    assert (same.value, same.interval.low, same.interval.high) == (0.0, 0.0, 0.0)


def test_only_numbers_of_both_runs_are_compared():
    both = paired_differences(
        {'a': 1.0, 'b': 2.0},
        {'a': np.ones(3), 'b': np.ones(3)},
        {'a': 4.0},
        {'a': np.full(3, 3.0)},
    )
    assert list(both) == ['a']
    assert (both['a'].value, both['a'].interval.low) == (3.0, 2.0)


def test_runs_that_are_no_pair():
    records = random_records(5)
    settings = EvaluationSettings(bootstrap=10)
    first = evaluate_faces(records, settings)
    with pytest.raises(ValueError, match='same images'):
        compare_evaluations(first, evaluate_faces(records[1:], settings))
    other = evaluate_faces(records, EvaluationSettings(bootstrap=10, seed=1))
    with pytest.raises(ValueError, match='equal replicates, seed and confidence'):
        compare_evaluations(first, other)
