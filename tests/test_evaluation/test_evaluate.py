"""The whole evaluation of small sets whose numbers can be counted by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_facepatch.evaluation import Detections, ImageRecord, Reference, to_records
from mmdet_facepatch.evaluation.functional.breakdown import height_bands
from mmdet_facepatch.evaluation.functional.evaluate import evaluate_faces
from mmdet_facepatch.evaluation.functional.f_beta import average_f_beta
from mmdet_facepatch.evaluation.functional.face_evaluation import EvaluationSettings
from mmdet_facepatch.evaluation.functional.faces import ATTRIBUTE_VALUES, ImageFaces
from mmdet_facepatch.evaluation.functional.matching import pool_matches
from mmdet_facepatch.evaluation.functional.precision_recall import average_precision

SMALL, LARGE = [10.0, 10, 20, 20], [50.0, 50, 90, 90]
PATCH = [52, 110, 62, 120]
OPEN = [200.0, 10, 212, 22]
QUICK = EvaluationSettings(deltas=(0.9, 0.5), bootstrap=0)


def logit(score):
    return np.log(score) - np.log1p(-np.asarray(score, dtype=np.float64))


def record(img_id='e/a', boxes=(), scores=(), gts=(), **more):
    scores = np.array(scores, dtype=np.float64)
    return ImageRecord(
        img_id=img_id,
        det_boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        det_scores=scores,
        gt_boxes=np.array(gts, dtype=np.float64).reshape(-1, 4),
        det_margins=logit(scores),
        **more,
    )


def attacked():
    """A hit, its duplicate, a box on the patch, one elsewhere; a silent image."""
    patches = np.array([PATCH, [10, 10, 15, 15]])
    return [
        record(
            boxes=[LARGE, LARGE, PATCH, OPEN],
            scores=[0.95, 0.8, 0.92, 0.6],
            gts=[LARGE, SMALL],
            patch_boxes=patches,
        ),
        record('e/b', [OPEN], [0.3], [SMALL], patch_boxes=np.array([[0, 0, 9, 9]])),
    ]


class TestOutcomes:
    def test_false_positives_are_counted_by_their_kind(self):
        numbers = evaluate_faces(attacked(), QUICK).numbers
        kinds = ('true_positives', 'duplicates', 'on_patch', 'other_false_positives')
        assert [numbers[f'all/{kind}@0.5'] for kind in kinds] == [1, 1, 1, 1]
        assert [numbers[f'all/{kind}@0.9'] for kind in kinds] == [1, 0, 1, 0]
        assert numbers['all/precision@0.5'] == 0.25
        assert numbers['all/recall@0.5'] == pytest.approx(1 / 3)
        expected = 1.25 / (0.25 / 0.25 + 1 / (1 / 3))
        assert numbers['all/F0.5@0.5'] == pytest.approx(expected)

    def test_images_without_any_detection(self):
        numbers = evaluate_faces(attacked(), QUICK).numbers
        assert numbers['silent_images@0.9'] == 0.5
        low = evaluate_faces(attacked(), replace(QUICK, deltas=(0.3,)))
        assert low.numbers['silent_images@0.3'] == 0.0

    def test_scores_at_the_patch(self):
        evaluation = evaluate_faces(attacked(), QUICK)
        assert evaluation.curves['patch_scores'].tolist() == [0.92, 0.0, 0.0]
        numbers = evaluation.numbers
        assert numbers['num_patches'] == 3
        assert numbers['patches_detected@0.9'] == pytest.approx(1 / 3)
        assert numbers['patch_score_max'] == 0.92
        assert numbers['patch_score_mean'] == pytest.approx(0.92 / 3)

    def test_clean_images_have_no_patch_numbers(self):
        clean = [replace(r, patch_boxes=None) for r in attacked()]
        numbers = evaluate_faces(clean, QUICK).numbers
        assert not any('patch' in key for key in numbers)
        assert numbers['all/other_false_positives@0.5'] == 2


class TestParts:
    def test_bands(self):
        assert height_bands((8, 32)) == {
            'height:<8': (-math.inf, 8),
            'height:8-32': (8, 32),
            'height:>=32': (32, math.inf),
        }
        assert height_bands(()) == {}
        for wrong in ((3, 3), (4, 2), (0, 1), (1, math.inf)):
            with pytest.raises(ValueError, match='ascending'):
                height_bands(wrong)

    def test_faces_and_stray_boxes_count_in_the_band_of_their_height(self):
        settings = replace(QUICK, height_edges=(8.0, 32.0))
        numbers = evaluate_faces(attacked(), settings).numbers
        # Both small faces are missed; PATCH and OPEN are 10 and 12 px high.
        assert numbers['height:8-32/num_faces'] == 2
        assert numbers['height:8-32/recall@0.5'] == 0.0
        assert numbers['height:8-32/precision@0.5'] == 0.0
        # The large face is found once, and then again.
        assert numbers['height:>=32/num_faces'] == 1
        assert numbers['height:>=32/recall@0.5'] == 1.0
        assert numbers['height:>=32/precision@0.5'] == 0.5
        assert math.isnan(numbers['height:<8/recall@0.5'])
        assert math.isnan(numbers['height:<8/precision@0.5'])

    def test_an_edge_belongs_to_the_band_above(self):
        settings = replace(QUICK, height_edges=(10.0,))
        numbers = evaluate_faces([record(gts=[SMALL])], settings).numbers
        assert numbers['height:<10/num_faces'] == 0
        assert numbers['height:>=10/num_faces'] == 1

    def test_attributes(self):
        rows = np.zeros((2, 6), dtype=np.int64)
        rows[1] = [2, 1, 1, 1, 2, 1]  # the small face, which is missed
        faces = [replace(attacked()[0], gt_attributes=rows)]
        numbers = evaluate_faces(faces, QUICK).numbers
        for attribute, values in ATTRIBUTE_VALUES.items():
            assert numbers[f'{attribute}:{values[0]}/recall@0.5'] == 1.0
            assert numbers[f'{attribute}:{values[-1]}/recall@0.5'] == 0.0
            assert numbers[f'{attribute}:{values[-1]}/num_faces'] == 1
        assert math.isnan(numbers['blur:normal/recall@0.5'])
        # One image without attributes: there are none of the set.
        partly = evaluate_faces([*faces, record('e/b', gts=[SMALL])], QUICK)
        assert not any(key.startswith('blur') for key in partly.numbers)


class TestSubsets:
    def test_subsets_ignore_what_they_do_not_keep(self):
        keep = {'easy': np.array([False, True]), 'hard': np.array([True, True])}
        found = evaluate_faces([replace(attacked()[0], gt_keep=keep)], QUICK).numbers
        assert found['easy/num_faces'] == 1
        # Hit and duplicate lie on a face that easy does not keep.
        assert found['easy/true_positives@0.5'] == 0
        assert found['easy/duplicates@0.5'] == 0
        assert found['hard/true_positives@0.5'] == 1
        assert 'medium/AP' not in found

    def test_all_can_ignore_faces(self):
        keep = {'all': np.array([False, True])}
        found = evaluate_faces([replace(attacked()[0], gt_keep=keep)], QUICK).numbers
        assert found['all/num_faces'] == 1
        assert found['all/true_positives@0.5'] == 0
        assert found['height:>=128/num_faces'] == 0
        assert found['height:32-64/num_faces'] == 0


class TestMargins:
    def test_area_is_that_of_the_saved_curve(self):
        evaluation = evaluate_faces(attacked(), QUICK)
        thresholds = evaluation.curves['margin_thresholds']
        for beta in QUICK.betas:
            curve = evaluation.curves[f'all/F{beta:g}']
            assert len(curve) == len(thresholds) == 1001
            for key, low in (('', -np.inf), ('+', 0)):
                area = average_f_beta(curve, thresholds, low)
                found = evaluation.numbers[f'all/AF{beta:g}{key}']
                assert found == pytest.approx(area, abs=1e-15)
            # From all detections to the highest one, which is a hit.
            proposals, recalled = (
                evaluation.curves[f'all/{name}'] for name in ('proposals', 'recalled')
            )
            assert (proposals[0], recalled[0]) == (5, 1)
            assert (proposals[-1], recalled[-1]) == (1, 1)
            assert curve[-1] > curve[0]

    def test_curve_steps_where_a_margin_is(self):
        """One face, found with s = 3: F is 1 up to 3, then 0."""
        one = record(boxes=[LARGE], scores=[0.5], gts=[LARGE])
        one = replace(one, det_margins=np.array([3.0]))
        evaluation = evaluate_faces([one], QUICK)
        thresholds = evaluation.curves['margin_thresholds']
        expected = (thresholds <= 3).astype(float)
        assert evaluation.curves['all/F0.5'] == pytest.approx(expected, abs=1e-15)

    def test_margins_keep_apart_what_scores_do_not(self):
        """Scores of 1.0 in float32, s of 20 and 25: a true and a false positive."""
        boxes, gts = [LARGE, OPEN], [LARGE]
        best_first = replace(
            record(boxes=boxes, scores=[0.5, 0.5], gts=gts),
            det_scores=np.ones(2, np.float32),
            det_margins=np.array([25.0, 20.0], np.float32),
        )
        worst_first = replace(
            best_first, det_margins=best_first.det_margins[::-1].copy()
        )
        areas = [
            evaluate_faces([one], QUICK).numbers['all/AF0.5']
            for one in (best_first, worst_first)
        ]
        assert areas[0] - areas[1] > 0.05
        bare = replace(best_first, det_margins=None)
        evaluation = evaluate_faces([bare], QUICK)
        assert evaluation.data['confidence'] == 'scores'
        assert 'score of exactly 1' in evaluation.warnings()[0]

    def test_margins_above_the_range_are_told(self):
        far = replace(attacked()[0], det_margins=np.array([50.0, 4, 1, -30]))
        reference = Reference(math.nan, -20.0, 4.0)
        evaluation = evaluate_faces([far], QUICK, reference)
        assert evaluation.data['margins_above_range'] == 1
        assert evaluation.warnings() == [
            'AF_beta: 1 detections lie above the end of its range, s = 4, and count at '
            'every threshold'
        ]
        assert evaluate_faces(attacked(), QUICK).warnings() == []

    def test_scores_times_a_twentieth(self):
        """AP stays, precision/recall at delta and AF_beta collapse."""
        rng = np.random.default_rng(0)
        corner = rng.uniform(0, 900, (80, 2))
        gts = np.concatenate([corner, corner + rng.uniform(8, 50, (80, 2))], axis=1)
        boxes = gts + rng.normal(0, 3, gts.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        scores = rng.uniform(0.02, 0.999, 80)
        first, second = (
            [record(boxes=boxes, scores=s, gts=gts)] for s in (scores, scores * 0.05)
        )
        clean = evaluate_faces(first, QUICK)
        before = clean.numbers
        after = evaluate_faces(second, QUICK, clean.reference).numbers
        assert 0.2 < before['all/AP'] < 1
        assert after['all/AP'] == pytest.approx(before['all/AP'], abs=1e-12)
        assert before['all/recall@0.5'] > 0.2
        assert after['all/recall@0.5'] == 0.0
        assert math.isnan(after['all/precision@0.5'])
        assert after['all/AF0.5'] < before['all/AF0.5'] - 0.02
        assert before['all/AF0.5+'] > 0.02 and after['all/AF0.5+'] == 0.0


def with_margins(margins, gts=(LARGE, SMALL)):
    """Of two faces and what is elsewhere, in this order."""
    boxes = [LARGE, SMALL, OPEN][: len(margins)]
    margins = np.array(margins, dtype=np.float64)
    one = record(boxes=boxes, scores=1 / (1 + np.exp(-margins)), gts=gts)
    return [replace(one, det_margins=margins)]


def area_of_steps(margins, true, faces, beta, low, high):
    """Mean of F_beta over [low, high], a step function, by its pieces."""
    ends = np.unique(np.clip([low, *margins, high], low, high))
    total = 0.0
    for start, end in zip(ends[:-1], ends[1:], strict=True):
        # F is the same at all thresholds in (start, end].
        reached = margins >= end
        found = (reached & true).sum()
        if found:
            precision, recall = found / reached.sum(), found / faces
            above = (1 + beta**2) / (beta**2 / precision + 1 / recall)
            total += above * (end - start)
    return total / (high - low)


class TestRanges:
    """Of AF_beta: the whole one of the clean images' margins, and s >= 0."""

    def test_exact(self):
        """Faces at s = -2 and 4, a false positive at s = -4; beta 1."""
        settings = replace(QUICK, betas=(1.0,), num_thresholds=8001)
        evaluation = evaluate_faces(with_margins([4, -2, -4]), settings)
        numbers = evaluation.numbers
        assert (numbers['margin_low'], numbers['margin_high']) == (-4, 4)
        # 2 of 3 right up to -4, both right up to -2, then one face of two.
        expected = (1.0 * 2 + 2 / 3 * 6) / 8
        assert numbers['all/AF1'] == pytest.approx(expected, abs=1e-3)
        assert numbers['all/AF1+'] == pytest.approx(2 / 3, abs=1e-12)

    def test_zero_is_a_threshold(self):
        thresholds = evaluate_faces(with_margins([3, -2.1]), QUICK).curves[
            'margin_thresholds'
        ]
        assert len(thresholds) == 1001 and (thresholds == 0).sum() == 1
        assert (thresholds[0], thresholds[-1]) == (-2.1, 3)
        assert (np.diff(thresholds) > 0).all()

    def test_that_of_the_clean_images_is_used_for_others(self):
        clean = evaluate_faces(with_margins([4, 1, -3]), QUICK)
        other = evaluate_faces(with_margins([6, -1, -5]), QUICK, clean.reference)
        assert other.reference == clean.reference
        assert (clean.data['reference'], other.data['reference']) == ('own', 'given')
        for key in ('calibrated_delta', 'margin_low', 'margin_high'):
            assert other.numbers[key] == clean.numbers[key]
        thresholds = other.curves['margin_thresholds']
        assert np.array_equal(thresholds, clean.curves['margin_thresholds'])
        # The face at s = 6 counts everywhere, so that at s >= 0 one of two is found.
        assert other.numbers['all/AF0.5+'] == pytest.approx(1.25 / (0.25 + 2))
        own = evaluate_faces(with_margins([6, -1, -5]), QUICK)
        assert (own.reference.margin_low, own.reference.margin_high) == (-5, 6)

    def test_a_given_range_goes_before_the_clean_images(self):
        settings = replace(QUICK, margin_range=(-20, 40))
        clean = evaluate_faces(with_margins([4, 1, -3]), settings)
        for reference in (None, clean.reference, Reference(0.5, -1.0, 1.0)):
            found = evaluate_faces(with_margins([6]), settings, reference)
            thresholds = found.curves['margin_thresholds']
            assert (thresholds[0], thresholds[-1]) == (-20, 40)
            assert (found.numbers['margin_low'], found.numbers['margin_high']) == (
                *(-20, 40),
            )

    def test_nothing_found_of_what_clean_images_have(self):
        """F_beta is 0 at every threshold of their range."""
        clean = evaluate_faces(with_margins([4, 1, -3]), QUICK)
        numbers = evaluate_faces(with_margins([]), QUICK, clean.reference).numbers
        assert numbers['all/AF0.5'] == numbers['all/AF0.5+'] == 0.0

    def test_nothing_found_in_clean_images(self):
        """There is no range, so that no area is made up in any condition."""
        clean = evaluate_faces(with_margins([]), replace(QUICK, bootstrap=3))
        attacked = evaluate_faces(with_margins([4]), QUICK, clean.reference)
        for evaluation in (clean, attacked):
            assert math.isnan(evaluation.numbers['margin_low'])
            assert math.isnan(evaluation.numbers['all/AF0.5'])
            assert math.isnan(evaluation.numbers['all/AF0.5+'])
            assert evaluation.curves['all/F0.5'].shape == (0,)
            assert evaluation.warnings() == []
        assert clean.intervals['all/AF0.5'].undefined == 3

    @pytest.mark.parametrize('high', [-1.0, 0.0])
    def test_no_margin_above_zero(self, high):
        numbers = evaluate_faces(with_margins([high, -4]), QUICK).numbers
        assert numbers['all/AF0.5'] > 0
        assert math.isnan(numbers['all/AF0.5+'])

    def test_all_margins_above_zero(self):
        """Both ranges are the same then, also where it is a point."""
        for margins in ([5, 1], [5]):
            numbers = evaluate_faces(with_margins(margins), QUICK).numbers
            assert 0 < numbers['all/AF0.5'] == numbers['all/AF0.5+'] <= 1

    def test_scores_give_the_range_of_their_log_odds(self):
        bare = [replace(r, det_margins=None) for r in with_margins([1, 2])]
        bare = [replace(r, det_scores=np.array([0.01, 0.9])) for r in bare]
        reference = evaluate_faces(bare, QUICK).reference
        expected = [math.log(0.01 / 0.99), math.log(0.9 / 0.1)]
        found = [reference.margin_low, reference.margin_high]
        assert found == pytest.approx(expected, abs=1e-12)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(-9, 9), st.booleans()), min_size=2, max_size=12),
        st.integers(0, 3),
        st.sampled_from([0.001, 0.1, 0.5]),
    )
    def test_areas_are_those_of_the_step_function(self, found, missed, beta):
        margins, true = np.array([m for m, _ in found]), np.array([t for _, t in found])
        places = 30.0 * np.arange(len(found) + missed)[:, None] + [0, 0, 20, 20]
        faces = np.concatenate([places[: len(found)][true], places[len(found) :]])
        one = record(boxes=places[: len(found)], scores=[0.5] * len(found), gts=faces)
        num = 4001
        used = replace(QUICK, betas=(beta,), num_thresholds=num)
        images = [replace(one, det_margins=margins)]
        numbers = evaluate_faces(images, used).numbers
        low, high = margins.min(), margins.max()
        # By the trapezoidal rule each step is off by up to half a cell.
        error = len(found) * (high - low) / num
        areas = numbers[f'all/AF{beta:g}'], numbers[f'all/AF{beta:g}+']
        for area, least in zip(areas, (-math.inf, 0), strict=True):
            start = max(low, least)
            if not len(faces) or high <= least:
                assert math.isnan(area)
            elif high - start > 1e-3:
                expected = area_of_steps(margins, true, len(faces), beta, start, high)
                assert area == pytest.approx(
                    expected, abs=error / (high - start) + 1e-9
                )
            assert math.isnan(area) or 0 <= area <= 1 + 1e-12
        # What lies below 0 is of no account for the second one.
        confident = replace(
            images[0],
            det_boxes=one.det_boxes[margins >= 0],
            det_scores=one.det_scores[margins >= 0],
            det_margins=margins[margins >= 0],
        )
        reference = Reference(math.nan, float(low), float(high))
        again = evaluate_faces([confident], used, reference).numbers
        assert again[f'all/AF{beta:g}+'] == pytest.approx(
            areas[1], abs=1e-12, nan_ok=True
        )


class TestReference:
    def test_config_file(self):
        """Which has no NaN."""
        one = Reference(math.nan, -4.59, 12.0)
        content = one.to_config()
        assert content == dict(calibrated_delta='nan', margin_low=-4.59, margin_high=12)
        assert repr(Reference.from_config(content)) == repr(one)
        assert Reference.from_config(one) is one
        assert Reference.from_config(None) is None

    def test_numbers_of_a_record(self):
        """Which has None for NaN, and other numbers."""
        numbers = {'a/calibrated_delta': 0.5, 'a/margin_low': None, 'a/AP': 0.1}
        numbers['a/margin_high'] = None
        one = Reference.from_numbers(numbers, 'a/')
        assert one.calibrated_delta == 0.5 and math.isnan(one.margin_low)

    @pytest.mark.parametrize(
        ('wrong', 'message'),
        [
            (dict(calibrated_delta=0.5), 'there is no margin_low, margin_high'),
            (dict(calibrated_delta=0.5, delta=1), 'a reference has no delta'),
            (dict(calibrated_delta=2, margin_low=0, margin_high=1), r'in \[0, 1\]'),
            (dict(calibrated_delta=1, margin_low=2, margin_high=1), 'got 2.0 and 1.0'),
            (dict(calibrated_delta=1, margin_low=0, margin_high='nan'), 'NaN both'),
            (dict(calibrated_delta=1, margin_low='-inf', margin_high=1), 'finite'),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            Reference.from_config(wrong)


class TestEvaluation:
    def test_ap_is_the_protocols(self):
        records = attacked()
        pool = pool_matches(records)
        expected = average_precision(pool.scores, pool.status([True] * 3), 3)
        assert evaluate_faces(records, QUICK).numbers['all/AP'] == expected

    def test_undefined_delta_gives_no_number(self):
        records = [record(boxes=[OPEN], scores=[0.9], gts=[LARGE])]
        evaluation = evaluate_faces(records, replace(QUICK, bootstrap=5))
        assert math.isnan(evaluation.reference.calibrated_delta)
        for key, value in evaluation.numbers.items():
            assert math.isnan(value) or '@calibrated' not in key
        assert evaluation.intervals['all/recall@calibrated'].undefined == 5

    def test_float32_scores_are_at_their_delta(self):
        one = replace(
            record(boxes=[LARGE], scores=[0.9], gts=[LARGE]),
            det_scores=np.array([0.9], np.float32),
        )
        assert evaluate_faces([one], QUICK).numbers['all/recall@0.9'] == 1.0

    def test_headline_is_short(self):
        evaluation = evaluate_faces(attacked(), QUICK)
        headline = evaluation.headline()
        assert headline['all/AP'] == evaluation.numbers['all/AP']
        for key in (
            'all/AF0.5',
            'all/AF0.5+',
            'margin_low',
            'all/on_patch@0.5',
            'all/precision@calibrated',
            'calibrated_delta',
            'silent_images@0.9',
        ):
            assert key in headline
        assert not any('height' in key or 'F0.5@' in key for key in headline)

    def test_no_replicates_no_intervals(self):
        assert evaluate_faces(attacked(), QUICK).intervals == {}

    def test_nothing_and_twice(self):
        with pytest.raises(ValueError, match='no images were evaluated'):
            evaluate_faces([])
        with pytest.raises(ValueError, match='more than once, the first is e/a'):
            evaluate_faces([record(), record()])

    @pytest.mark.parametrize(
        ('wrong', 'message'),
        [
            (dict(deltas=(99,)), 'deltas are score thresholds'),
            (dict(deltas=(0.9, 0.9)), 'deltas must differ'),
            (dict(betas=(0,)), 'betas must be positive'),
            (dict(betas=(0.5, 0.5)), 'betas must differ'),
            (dict(min_precision=0), 'min_precision'),
            (dict(face_iou_thr=1.5), 'face_iou_thr'),
            (dict(patch_iou_thr=-1), 'patch_iou_thr'),
            (dict(patch_share=1.5), 'patch_share'),
            (dict(margin_range=(3, 1)), 'low <= high'),
            (dict(height_edges=(3, 1)), 'ascending'),
            (dict(bootstrap=-1), 'bootstrap'),
            (dict(confidence=1), 'confidence'),
        ],
    )
    def test_wrong_settings(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            EvaluationSettings(**wrong)


class TestRecords:
    def test_missing_predictions_are_empty(self):
        faces = {
            'e/a': ImageFaces(np.array([LARGE])),
            'e/b': ImageFaces(np.array([SMALL])),
        }
        found = {'e/b': Detections(np.array([SMALL]), np.array([0.9]))}
        records = to_records(found, faces)
        assert [r.img_id for r in records] == ['e/a', 'e/b']
        numbers = evaluate_faces(records, QUICK).numbers
        assert numbers['all/recall@0.5'] == 0.5
        assert numbers['num_images'] == 2

    def test_missing_predictions_keep_the_precision_of_the_others(self):
        faces = {
            'e/a': ImageFaces(np.array([LARGE])),
            'e/b': ImageFaces(np.array([SMALL])),
        }
        found = {'e/b': Detections(np.float32([SMALL]), np.float32([0.9]))}
        assert pool_matches(to_records(found, faces)).scores.dtype == np.float32

    def test_unknown_images_are_an_error(self):
        found = {'e/x': Detections(np.zeros((0, 4)), np.zeros(0))}
        faces = {'e/a': ImageFaces(np.array([LARGE]))}
        with pytest.raises(ValueError, match='my.npz: 1 of 1 .* first is e/x; .* e/a'):
            to_records(found, faces, 'my.npz')
