"""The protocol against a literal, slow transcription of it, and exact cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_facepatch.evaluation import (
    EvaluationSettings,
    ImageRecord,
    evaluate_faces,
    load_ground_truth,
)
from mmdet_facepatch.evaluation.functional import overlaps
from mmdet_facepatch.evaluation.functional.matching import (
    match_detections,
    pool_matches,
)
from mmdet_facepatch.evaluation.functional.overlaps import (
    pairwise_iou,
    pairwise_iou_plus_one,
)
from mmdet_facepatch.evaluation.functional.patch_detections import on_patch
from mmdet_facepatch.evaluation.functional.precision_recall import (
    ThresholdBins,
    average_precision,
    calibrated_delta,
    counts_at,
    delta_at_recall,
    normalise_scores,
    precision_recall_at,
)

# --------------------------------------------------------------------------
# The oracle: the protocol's text, one sentence a line of code, in pure Python.


def oracle_iou(det, gt):
    width = min(det[2], gt[2]) - max(det[0], gt[0]) + 1
    height = min(det[3], gt[3]) - max(det[1], gt[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    area_det = (det[2] - det[0] + 1) * (det[3] - det[1] + 1)
    area_gt = (gt[2] - gt[0] + 1) * (gt[3] - gt[1] + 1)
    return inter / (area_det + area_gt - inter)


def oracle_best(dets, gts):
    """Of each detection: highest overlap, and the first face that has it."""
    found = []
    for det in dets:
        best, best_face = -1.0, None
        for g, gt in enumerate(gts):
            overlap = oracle_iou(det, gt)
            if overlap > best:
                best, best_face = overlap, g
        found.append((best, best_face))
    return found


def oracle_image(best, keep):
    """Of detections in score order: in the count? recalled faces so far?"""
    recalled = [0] * len(keep)  # 1 found, -1 used up as ignored
    proposal = [1] * len(best)
    recall_so_far = [0] * len(best)
    for d, (overlap, face) in enumerate(best):
        if overlap >= 0.5:
            if not keep[face]:
                recalled[face] = -1
                proposal[d] = -1
            elif recalled[face] == 0:
                recalled[face] = 1
        recall_so_far[d] = recalled.count(1)
    return proposal, recall_so_far


def oracle_sorted(images):
    """Per image the scores, highest first, and the best face of each."""
    prepared = []
    for boxes, scores, gts in images:
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        best = oracle_best([boxes[i] for i in order], gts)
        prepared.append(([scores[i] for i in order], best, len(gts)))
    return prepared


def oracle_curve(prepared, keeps, thresholds):
    """Proposals and recalled faces at each threshold, and the face count.

    Scores are already as the thresholds want them.
    """
    proposals = [0] * len(thresholds)
    found = [0] * len(thresholds)
    count_face = 0
    for (scores, best, num_faces), keep in zip(prepared, keeps, strict=True):
        count_face += sum(keep)
        if num_faces == 0 or len(scores) == 0:
            continue
        proposal, recall = oracle_image(best, keep)
        so_far = [proposal[: d + 1].count(1) for d in range(len(proposal))]
        for t, threshold in enumerate(thresholds):
            above = [i for i in range(len(scores)) if scores[i] >= threshold]
            if above:
                proposals[t] += so_far[above[-1]]
                found[t] += recall[above[-1]]
    return proposals, found, count_face


def oracle_normalised(prepared):
    everything = [score for scores, *_ in prepared for score in scores]
    low, high = min(everything), max(everything)
    return [
        ([(score - low) / (high - low) for score in scores], best, num_faces)
        for scores, best, num_faces in prepared
    ]


AP_THRESHOLDS = [1 - t / 1000 for t in range(1, 1001)]


def oracle_ap(images, keeps):
    prepared = oracle_normalised(oracle_sorted(images))
    return oracle_voc_ap(*oracle_curve(prepared, keeps, AP_THRESHOLDS))


def oracle_voc_ap(proposals, found, count_face):
    precision = [
        f / p if p else math.nan for f, p in zip(found, proposals, strict=True)
    ]
    recall = [f / count_face for f in found]
    recall = [0.0, *recall, 1.0]
    precision = [0.0, *precision, 0.0]
    for i in range(len(precision) - 2, -1, -1):
        both = [p for p in (precision[i], precision[i + 1]) if not math.isnan(p)]
        precision[i] = max(both)
    return math.fsum(
        (recall[i] - recall[i - 1]) * precision[i]
        for i in range(1, len(recall))
        if recall[i] != recall[i - 1]
    )


def to_records(images):
    return [
        ImageRecord(
            img_id=f'event/{i}',
            det_boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
            det_scores=np.array(scores, dtype=np.float64),
            gt_boxes=np.array(gts, dtype=np.float64).reshape(-1, 4),
        )
        for i, (boxes, scores, gts) in enumerate(images)
    ]


def flat(keeps):
    return np.array([flag for keep in keeps for flag in keep], dtype=bool)


# --------------------------------------------------------------------------
# Random cases: small integer boxes, so that IoUs and scores often tie, boxes
# repeat, have no or negative extent, and images lack faces or detections.

coordinate = st.integers(0, 6)


@st.composite
def box(draw, least_size):
    x, y = draw(coordinate), draw(coordinate)
    w, h = (draw(st.integers(least_size, 6)) for _ in range(2))
    return [x, y, x + w, y + h]


@st.composite
def image(draw):
    gts = draw(st.lists(box(-2), max_size=5))
    # Boxes of faces are drawn often, else most detections hit nothing.
    near = st.sampled_from(gts) if gts else box(0)
    boxes = draw(st.lists(st.one_of(box(0), near), max_size=7))
    scores = [draw(st.integers(0, 16)) / 16 for _ in boxes]
    keep = [draw(st.booleans()) for _ in gts]
    return (boxes, scores, gts), keep


several_images = st.lists(image(), min_size=1, max_size=4)


@settings(deadline=None)
@given(image())
def test_matching_equals_oracle(case):
    (boxes, _, gts), keep = case
    matches = match_detections(boxes, gts, keep)
    proposal, recall = oracle_image(oracle_best(boxes, gts), keep)
    assert np.cumsum(matches.status == 1).tolist() == recall
    assert [1 if s >= 0 else -1 for s in matches.status] == proposal
    assert matches.gt_found.sum() == (recall[-1] if recall else 0)
    assert not (matches.gt_found & ~np.array(keep, dtype=bool)).any()
    for d, g in enumerate(matches.gt_index):
        overlaps = [oracle_iou(boxes[d], gt) for gt in gts]
        assert matches.overlap[d] == max(overlaps, default=0.0)
        assert g == (overlaps.index(max(overlaps)) if g >= 0 else -1)
        assert (g >= 0) == (max(overlaps, default=0.0) >= 0.5)


@settings(deadline=None)
@given(several_images)
def test_counts_equal_oracle_at_raw_scores(cases):
    images, keeps = [c[0] for c in cases], [c[1] for c in cases]
    pool = pool_matches(to_records(images))
    status = pool.status(flat(keeps))
    thresholds = [0.0, 0.25, 0.5, 0.51, 0.9375, 1.0, 1.5]
    prepared = oracle_sorted(images)
    proposals, found, count_face = oracle_curve(prepared, keeps, thresholds)
    counted = counts_at(pool.scores, status, thresholds)
    assert counted[0].tolist() == proposals
    assert counted[1].tolist() == found
    precision, recall = precision_recall_at(pool.scores, status, count_face, thresholds)
    for t in range(len(thresholds)):
        expected = found[t] / proposals[t] if proposals[t] else math.nan
        assert precision[t] == pytest.approx(expected, abs=0, nan_ok=True)
        expected = found[t] / count_face if count_face else math.nan
        assert recall[t] == pytest.approx(expected, abs=0, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(several_images)
def test_ap_equals_oracle(cases):
    images, keeps = [c[0] for c in cases], [c[1] for c in cases]
    pool = pool_matches(to_records(images))
    count_face = int(flat(keeps).sum())
    ap = average_precision(pool.scores, pool.status(flat(keeps)), count_face)
    scores = {score for _, scores, _ in images for score in scores}
    if count_face == 0:
        assert math.isnan(ap)
    elif len(scores) > 1:
        assert ap == pytest.approx(oracle_ap(images, keeps), abs=1e-12)
    else:
        # The official normalisation is 0/0 here; documented: one point.
        proposals, found, _ = oracle_curve(oracle_sorted(images), keeps, [-math.inf])
        precision = found[0] / proposals[0] if proposals[0] else 0.0
        expected = precision * found[0] / count_face
        assert ap == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(several_images, st.integers(1, 12))
def test_ap_ignores_a_common_factor(cases, exponent):
    """Powers of two scale floats exactly, so AP is equal to the last bit."""
    images, keeps = [c[0] for c in cases], [c[1] for c in cases]
    pool = pool_matches(to_records(images))
    status, count = pool.status(flat(keeps)), int(flat(keeps).sum())
    scaled = pool.scores * 2.0**-exponent
    assert np.array_equal(
        average_precision(pool.scores, status, count),
        average_precision(scaled, status, count),
        equal_nan=True,
    )


@settings(deadline=None)
@given(several_images, st.sampled_from([0.3, 0.5, 0.99, 1.0]))
def test_calibrated_delta_is_the_lowest(cases, least):
    images, keeps = [c[0] for c in cases], [c[1] for c in cases]
    pool = pool_matches(to_records(images))
    status = pool.status(flat(keeps))
    observed = sorted({score for _, scores, _ in images for score in scores})
    proposals, found, _ = oracle_curve(oracle_sorted(images), keeps, observed)
    good = [
        (p, f) for p, f in zip(proposals, found, strict=True) if p and f / p >= least
    ]
    delta = calibrated_delta(pool.scores, status, least)
    if delta is None:
        assert not good
    else:
        # Scores of ignored detections are no candidates, though between two
        # counted ones they cut the same detections off.
        counted = counts_at(pool.scores, status, [delta])
        assert (counted[0][0], counted[1][0]) == good[0]
        assert delta in pool.scores[status >= 0]


# --------------------------------------------------------------------------
# Exact cases.


def test_iou_with_and_without_plus_one():
    boxes = [[0, 0, 9, 9], [5, 0, 14, 9], [10, 0, 19, 9], [0, 0, 0, 0]]
    with_one = pairwise_iou_plus_one(boxes[:1], boxes)
    assert with_one.tolist() == [[1.0, 50 / 150, 0.0, 1 / 100]]
    without = pairwise_iou(boxes[:1], boxes)
    assert without.tolist() == [[1.0, 36 / 126, 0.0, 0.0]]


def test_iou_of_degenerate_boxes():
    line, negative = [3, 3, 3, 8], [5, 5, 3, 3]
    assert pairwise_iou_plus_one([line], [line]).item() == 1.0
    assert pairwise_iou_plus_one([negative], [negative]).item() == 0.0
    assert pairwise_iou_plus_one([negative], [[0, 0, 9, 9]]).item() == 0.0
    assert pairwise_iou_plus_one(np.zeros((0, 4)), [line]).shape == (0, 1)


def test_plus_one_decides_a_match():
    """IoU 2/4 with +1, 1/3 without."""
    matches = match_detections([[0, 0, 1, 0]], [[0, 0, 3, 0]], [True])
    assert matches.overlap.tolist() == [0.5]
    assert matches.status.tolist() == [1]


def test_first_face_on_ties_and_no_second_choice():
    """The tied second detection does not get the free twin of its face."""
    face = [0, 0, 9, 9]
    matches = match_detections([face, face], [face, face], [True, True])
    assert matches.gt_index.tolist() == [0, 0]
    assert matches.status.tolist() == [1, 0]
    assert matches.gt_found.tolist() == [True, False]


def test_ignored_face_swallows_every_detection():
    kept, ignored = [0, 0, 9, 9], [30, 30, 39, 39]
    dets = [ignored, kept, ignored, kept, [60, 60, 69, 69]]
    matches = match_detections(dets, [kept, ignored], [True, False])
    assert matches.status.tolist() == [-1, 1, -1, 0, 0]
    assert matches.gt_index.tolist() == [1, 0, 1, 0, -1]
    assert matches.status.dtype == np.int8


def test_images_without_faces_or_detections():
    empty = np.zeros((0, 4))
    assert match_detections([[0, 0, 9, 9]], empty, []).status.tolist() == [0]
    none = match_detections(empty, [[0, 0, 9, 9]], [True])
    assert none.status.shape == (0,)
    assert none.gt_found.tolist() == [False]


def test_matching_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 40, (60, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, 20, (60, 2))], 1)
    whole = match_detections(boxes, boxes[:23], np.ones(23))
    patches = on_patch(boxes, boxes[:23])
    monkeypatch.setattr(overlaps, '_MAX_PAIRS', 50)
    parts = match_detections(boxes, boxes[:23], np.ones(23))
    assert np.array_equal(whole.status, parts.status)
    assert np.array_equal(whole.gt_index, parts.gt_index)
    assert np.array_equal(patches, on_patch(boxes, boxes[:23]))
    assert patches[:23].sum() > 0


def test_detections_in_images_without_faces_leave_the_count():
    images = [([[0, 0, 9, 9]], [0.9], [[0, 0, 9, 9]]), ([[0, 0, 9, 9]], [0.8], [])]
    records = to_records(images)
    assert pool_matches(records).status([True]).tolist() == [1, -1]
    counted = pool_matches(records, count_empty_images=True)
    assert counted.status([True]).tolist() == [1, 0]


def test_unsorted_predictions_are_sorted():
    """The weaker duplicate, given first, must not take the face."""
    face = [0, 0, 9, 9]
    pool = pool_matches(to_records([([face, face], [0.2, 0.7], [face])]))
    assert pool.scores.tolist() == [0.7, 0.2]
    assert pool.status([True]).tolist() == [1, 0]


def test_ties_in_score_keep_their_order():
    """Detection k lies on face k, so the faces show the order."""
    corner = np.stack([20 * np.arange(200), np.zeros(200)], axis=1)
    boxes = np.concatenate([corner, corner + 9], axis=1).tolist()
    scores = [0.5 + 0.25 * (k % 3 == 0) for k in range(200)]
    pool = pool_matches(to_records([(boxes, scores, boxes)]))
    expected = [k for k in range(200) if k % 3 == 0]
    expected += [k for k in range(200) if k % 3]
    assert pool.face.tolist() == expected


def test_precision_recall_exact():
    scores = [0.99, 0.9, 0.9, 0.5, 0.3]
    status = [1, 1, 0, -1, 0]
    precision, recall = precision_recall_at(scores, status, 8, [0.99, 0.9, 0.5, 0])
    assert precision.tolist() == [1.0, 2 / 3, 2 / 3, 0.5]
    assert recall.tolist() == [1 / 8, 0.25, 0.25, 0.25]
    precision, recall = precision_recall_at(scores, status, 8, [1.0])
    assert math.isnan(precision[0])
    assert recall.tolist() == [0.0]
    assert math.isnan(precision_recall_at([], [], 0, [0.5])[1][0])


def test_delta_meets_float32_scores():
    """float32(0.9) lies below 0.9 in float64, yet the score is at 0.9."""
    scores = np.array([0.9], dtype=np.float32)
    assert scores.astype(np.float64)[0] < 0.9
    _, recall = precision_recall_at(scores, [1], 1, [0.9])
    assert recall.tolist() == [1.0]


def test_ap_exact():
    # Normalised scores 1, .5, 0: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2.
    ap = average_precision([0.9, 0.5, 0.1], [1, 0, 1], 4)
    assert ap == pytest.approx(1 / 4 + 1 / 4 * 2 / 3, abs=1e-15)
    assert average_precision([], [], 3) == 0.0
    assert math.isnan(average_precision([0.9], [0], 0))


def test_ap_normalises_over_ignored_detections_too():
    """An ignored outlier presses all others below the first thresholds."""
    scores, status = [100.0, 0.85, 0.8], [-1, 1, 0]
    alone = average_precision(scores[1:], status[1:], 1)
    with_outlier = average_precision(scores, status, 1)
    assert alone == 1.0
    # 0.85 and 0.8 fall between the same two of the 1000 thresholds.
    assert with_outlier == 0.5


def test_equal_scores_are_normalised_to_one():
    assert normalise_scores([0.3, 0.3]).tolist() == [1.0, 1.0]
    assert normalise_scores([0.25, 0.5, 0.75]).tolist() == [0.0, 0.5, 1.0]


def _many_images(num_images=30, seed=0):
    rng = np.random.default_rng(seed)
    images, keeps = [], []
    for _ in range(num_images):
        corner = rng.uniform(0, 200, (rng.integers(0, 12), 2))
        size = rng.uniform(0, 40, corner.shape)
        gts = np.concatenate([corner, corner + size], axis=1)
        near = np.repeat(gts, 2, axis=0) + rng.normal(0, 3, (2 * len(gts), 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        scores = rng.uniform(0, 1, len(near))
        images.append((near.tolist(), scores.tolist(), gts.tolist()))
        keeps.append((rng.uniform(size=len(gts)) < 0.7).tolist())
    return images, keeps


def test_many_images_equal_oracle():
    images, keeps = _many_images()
    pool = pool_matches(to_records(images))
    status = pool.status(flat(keeps))
    ap = average_precision(pool.scores, status, int(flat(keeps).sum()))
    assert ap == pytest.approx(oracle_ap(images, keeps), abs=1e-12)
    assert 0.1 < ap < 0.9
    assert set(status.tolist()) == {-1, 0, 1}


def _synthetic_detections(rng, gts):
    """Hits, near misses, duplicates, noise, ties, boxes outside, without extent."""
    size = np.maximum(gts[:, 2:] - gts[:, :2], 1)
    jitter = rng.normal(0, 0.12, (len(gts), 4)) * np.tile(size, 2)
    jitter[rng.random(len(gts)) < 0.2] = 0
    near = (gts + jitter)[rng.random(len(gts)) < 0.8]
    twins = near[rng.random(len(near)) < 0.2]
    between = (gts[:-1] + gts[1:]) / 2
    between = between[rng.random(len(between)) < 0.05]
    corner = rng.uniform(-300, 1300, (rng.integers(0, 6), 2))
    noise = np.concatenate([corner, corner + rng.uniform(0, 150, corner.shape)], 1)
    points = np.repeat(rng.uniform(0, 900, (rng.integers(0, 2), 2)), 2, axis=0)
    boxes = np.concatenate([near, twins, between, noise, points.reshape(-1, 4)])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    if rng.random() < 0.5:
        boxes = boxes.round()  # ties in IoU
    scores = rng.random(len(boxes))
    tied = rng.random(len(boxes)) < 0.5
    scores[tied] = scores[tied].round(2)
    return (boxes, scores) if rng.random() > 0.03 else (boxes[:0], scores[:0])


@pytest.mark.slow
def test_whole_annotation_equals_oracle(widerface_root):
    """All 3,226 images, four subsets: equal counts at each threshold, equal AP."""
    faces = load_ground_truth(widerface_root / 'eval_tools' / 'ground_truth')
    rng = np.random.default_rng(0)
    images = [
        (*(x.tolist() for x in _synthetic_detections(rng, f.boxes)), f.boxes.tolist())
        for f in faces.values()
    ]
    pool = pool_matches(to_records(images))
    prepared = oracle_normalised(oracle_sorted(images))
    for subset in ('easy', 'medium', 'hard', 'all'):
        keeps = [
            f.keep.get(subset, np.ones(len(f.boxes), bool)) for f in faces.values()
        ]
        keep = np.concatenate(keeps)
        expected = oracle_curve(prepared, [k.tolist() for k in keeps], AP_THRESHOLDS)
        counted = counts_at(
            normalise_scores(pool.scores), pool.status(keep), AP_THRESHOLDS
        )
        assert counted[0].tolist() == expected[0]
        assert counted[1].tolist() == expected[1]
        ap = average_precision(pool.scores, pool.status(keep), int(keep.sum()))
        assert ap == pytest.approx(oracle_voc_ap(*expected), abs=1e-9)
        assert 0.1 < ap < 0.9


def test_scores_times_a_twentieth():
    """AP does not see it; precision and recall at delta do."""
    images, keeps = _many_images()
    pool = pool_matches(to_records(images))
    status, count = pool.status(flat(keeps)), int(flat(keeps).sum())
    before = average_precision(pool.scores, status, count)
    after = average_precision(pool.scores * 0.05, status, count)
    assert after == pytest.approx(before, abs=1e-12)
    _, recall = precision_recall_at(pool.scores, status, count, [0.5, 0.9])
    assert (recall > 0.05).all()
    precision, recall = precision_recall_at(
        pool.scores * 0.05, status, count, [0.5, 0.9]
    )
    assert recall.tolist() == [0.0, 0.0]
    assert np.isnan(precision).all()


def test_calibrated_delta_exact():
    # Precision from the top: 1, 1/2, 2/3, 3/4, 3/5.
    scores, status = [0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 1, 0]
    assert calibrated_delta(scores, status, 0.75) == 0.6
    assert calibrated_delta(scores, status, 0.99) == 0.9
    assert calibrated_delta(scores[1:], [0, 1, 1, 0], 0.99) is None
    assert calibrated_delta([], [], 0.99) is None


def test_calibrated_delta_takes_ties_together():
    """At 0.9 both detections count, whatever their order."""
    assert calibrated_delta([0.9, 0.9], [1, 0], 0.99) is None
    assert calibrated_delta([0.9, 0.9], [0, 1], 0.5) == 0.9


def test_calibrated_delta_of_float32_cuts_where_it_was_found():
    scores = np.array([0.9, 0.7, 0.1], dtype=np.float32)
    status = np.array([1, 1, 0])
    delta = calibrated_delta(scores, status)
    precision, recall = precision_recall_at(scores, status, 2, [delta])
    assert (precision[0], recall[0]) == (1.0, 1.0)


class TestDeltaAtRecall:
    def test_exact(self):
        # An ignored and a false detection recall nothing.
        scores, status = [0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, -1, 1]
        assert delta_at_recall(scores, status, 4, 0.25) == 0.9
        assert delta_at_recall(scores, status, 4, 0.26) == 0.7
        assert delta_at_recall(scores, status, 4, 0.75) == 0.5
        assert delta_at_recall(scores, status, 4, 0.76) is None
        assert delta_at_recall([], [], 0, 0.9) is None

    def test_not_above_the_highest(self):
        assert delta_at_recall([0.999, 0.998], [1, 1], 2, 0.9) == 0.99
        assert delta_at_recall([0.999, 0.998], [1, 1], 2, 0.9, highest=1) == 0.998

    def test_share_that_is_no_binary_fraction(self):
        """0.55 of 20 faces are 11, though 0.55 * 20 is 11.000000000000002."""
        scores = np.linspace(0.9, 0.5, 20)
        assert delta_at_recall(scores, np.ones(20), 20, 0.55) == scores[10]

    @pytest.mark.parametrize('recall', [0, 1.01])
    def test_recall_out_of_range(self, recall):
        with pytest.raises(ValueError, match='min_recall must lie in'):
            delta_at_recall([0.5], [1], 1, recall)

    def test_is_the_calibrated_delta_of_an_evaluation(self):
        record = ImageRecord(
            img_id='a',
            det_boxes=np.array([[0.0, 0, 9, 9], [20, 20, 29, 29], [50, 50, 59, 59]]),
            det_scores=np.array([0.8, 0.6, 0.7]),
            gt_boxes=np.array([[0.0, 0, 9, 9], [20, 20, 29, 29]]),
        )
        options = EvaluationSettings(bootstrap=0, min_recall=0.9)
        numbers = evaluate_faces([record], options).numbers
        assert numbers['calibrated_delta'] == 0.6
        assert numbers['all/precision@calibrated'] == pytest.approx(2 / 3)


def test_pool_keeps_margins_with_their_scores():
    def record(img_id, margins):
        return ImageRecord(
            img_id=img_id,
            det_boxes=np.zeros((2, 4)),
            det_scores=np.array([0.25, 0.75]),
            gt_boxes=np.zeros((0, 4)),
            det_margins=margins,
        )

    with_margins = record('e/a', np.array([-1.0, 1.0]))
    nothing = ImageRecord('e/c', np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4)))
    pool = pool_matches([with_margins, nothing])
    assert pool.margins.tolist() == [1.0, -1.0]
    assert pool_matches([record('e/b', None)]).margins is None
    with pytest.raises(ValueError, match='e/a have margins, those of e/b have none'):
        pool_matches([with_margins, record('e/b', None)])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), max_size=30),
    st.lists(st.integers(-1, 9), max_size=6).map(sorted),
)
def test_bins_count_what_reaches_each_threshold(scored, thresholds):
    scores = np.array([score for score, _ in scored], dtype=np.float64)
    image = np.array([i for _, i in scored], dtype=np.int64)
    bins = ThresholdBins.of(scores, thresholds)
    mask = scores % 3 != 0
    expected = [
        [int((scores[mask & (image == i)] >= t).sum()) for t in thresholds]
        for i in range(3)
    ]
    by_image = bins.counts_by_image(mask, image, 3)
    assert by_image.tolist() == expected
    assert bins.counts(mask).tolist() == by_image.sum(axis=0).tolist()


def test_bins_need_ascending_thresholds():
    with pytest.raises(ValueError, match='ascend'):
        ThresholdBins.of([0.5], [0.9, 0.5])


def test_pool_of_nothing():
    pool = pool_matches([])
    assert pool.num_faces == 0
    assert pool.status([]).shape == (0,)


def test_wrong_arguments():
    face = [[0, 0, 9, 9]]
    with pytest.raises(ValueError, match='2 entries for 1 faces'):
        match_detections(face, face, [True, False])
    with pytest.raises(ValueError, match='face_iou_thr'):
        match_detections(face, face, [True], face_iou_thr=0)
    with pytest.raises(ValueError, match='min_precision'):
        calibrated_delta([0.5], [1], 0)
    with pytest.raises(ValueError, match='3 entries for 1 faces'):
        pool_matches(to_records([(face, [0.5], face)])).status([True] * 3)
