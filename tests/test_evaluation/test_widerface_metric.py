"""The metric through mmengine's evaluator, on mmdet's data samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from mmdet_facepatch.evaluation import WiderFaceMetric
from mmdet_facepatch.evaluation.protocol import (
    average_precision,
    load_subsets,
    match_detections,
)

FACE_A, FACE_B = [10.0, 10.0, 29.0, 29.0], [50.0, 50.0, 69.0, 69.0]
ELSEWHERE = [100.0, 10.0, 119.0, 29.0]
PATCH = [100, 12, 118, 30]


def sample(img_id, boxes=(), scores=(), faces=(), patches=None, labels=None):
    """A data sample as the detector hands it to the evaluator."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    scores = torch.as_tensor(scores, dtype=torch.float32)
    if labels is None:
        labels = [0] * len(scores)
    result = DetDataSample(
        metainfo=dict(
            img_id=img_id,
            ori_shape=(100, 150),
            instances=[
                dict(bbox=list(box), bbox_label=0, ignore_flag=int(box[2] <= box[0]))
                for box in faces
            ],
        )
    )
    if patches is not None:
        result.set_metainfo(dict(patch_boxes=np.array(patches, dtype=np.int64)))
    result.pred_instances = InstanceData(
        bboxes=boxes, scores=scores, labels=torch.tensor(labels, dtype=torch.long)
    )
    return result


def evaluate(samples, batch_size=2, metric=None, **kwargs):
    """Metrics as a test loop would get them."""
    if metric is None:
        metric = METRICS.build(dict(type='WiderFaceMetric', **kwargs))
    evaluator = Evaluator(metric)
    for start in range(0, len(samples), batch_size):
        evaluator.process(samples[start : start + batch_size])
    return evaluator.evaluate(len(samples))


def three_images(**extra):
    return [
        sample('e/a', [ELSEWHERE, FACE_A], [0.95, 0.995], [FACE_A, FACE_B], **extra),
        sample('e/b', [FACE_B, FACE_B], [0.6, 0.9], [FACE_B], **extra),
        sample('e/c', (), (), [FACE_A], **extra),
    ]


def test_numbers():
    metrics = evaluate(three_images())
    assert metrics == pytest.approx(
        {
            'face/all/AP': metrics['face/all/AP'],
            'face/all/precision@0.99': 1.0,
            'face/all/recall@0.99': 0.25,
            'face/all/precision@0.9': 2 / 3,
            'face/all/recall@0.9': 0.5,
            'face/all/precision@0.5': 0.5,
            'face/all/recall@0.5': 0.5,
            'face/all/precision@calibrated': 1.0,
            'face/all/recall@calibrated': 0.25,
            'face/all/num_faces': 4.0,
            'face/calibrated_delta': float(np.float32(0.995)),
            'face/num_images': 3.0,
            'face/num_images_without_faces': 0.0,
        },
        abs=1e-12,
    )
    assert all(type(value) is float for value in metrics.values())
    # Precision 1 at recall 1/4, then 2/3 at 1/2 (0.6 is a duplicate).
    assert metrics['face/all/AP'] == pytest.approx(0.25 + 0.25 * 2 / 3, abs=1e-12)


def test_detections_on_a_patch_are_counted_apart():
    samples = three_images(patches=[PATCH])
    metrics = evaluate(samples, deltas=(0.99, 0.95), min_precision=0.5)
    assert metrics['face/all/on_patch@0.99'] == 0.0
    assert metrics['face/all/on_patch@0.95'] == 1.0
    assert metrics['face/all/on_patch@calibrated'] == 1.0
    assert not any('on_patch' in key for key in evaluate(three_images()))


def test_reference_delta():
    metric = WiderFaceMetric()
    clean = evaluate(three_images(), metric=metric)
    metric.reference_delta = clean['face/calibrated_delta']
    weaker = [sample('e/a', [FACE_A, ELSEWHERE], [0.99, 0.2], [FACE_A])]
    attacked = evaluate(weaker, metric=metric)
    assert attacked['face/calibrated_delta'] == clean['face/calibrated_delta']
    assert attacked['face/all/recall@calibrated'] == 0.0
    assert math.isnan(attacked['face/all/precision@calibrated'])
    metric.reference_delta = None
    own = evaluate(weaker, metric=metric)
    assert own['face/calibrated_delta'] == float(np.float32(0.99))
    assert own['face/all/recall@calibrated'] == 1.0


def test_precision_never_reached():
    """No number is made up, neither in this run nor in one that refers to it."""
    samples = [sample('e/a', [ELSEWHERE], [0.9], [FACE_A], [PATCH])]
    metrics = evaluate(samples)
    assert math.isnan(metrics['face/calibrated_delta'])
    later = evaluate(three_images(), reference_delta=metrics['face/calibrated_delta'])
    for result in (metrics, later):
        assert math.isnan(result['face/all/precision@calibrated'])
        assert math.isnan(result['face/all/recall@calibrated'])
    assert math.isnan(metrics['face/all/on_patch@calibrated'])


def test_nothing_detected():
    metrics = evaluate([sample('e/a', faces=[FACE_A])])
    assert metrics['face/all/AP'] == 0.0
    assert metrics['face/all/recall@0.99'] == 0.0
    assert math.isnan(metrics['face/all/precision@0.99'])


def test_images_without_faces():
    samples = [sample('e/a', [ELSEWHERE], [0.9]), *three_images()[1:]]
    metrics = evaluate(samples, deltas=(0.9,))
    assert metrics['face/num_images_without_faces'] == 1.0
    assert metrics['face/all/precision@0.9'] == 1.0
    counted = evaluate(samples, deltas=(0.9,), count_empty_images=True)
    assert counted['face/all/precision@0.9'] == 0.5


def test_only_images_without_faces():
    metrics = evaluate([sample('e/a', [ELSEWHERE], [0.9])])
    assert metrics['face/all/num_faces'] == 0.0
    assert math.isnan(metrics['face/all/AP'])
    assert math.isnan(metrics['face/all/recall@0.5'])


def test_degenerate_faces_count():
    """A face without extent is in the denominator."""
    samples = [sample('e/a', [FACE_A], [0.9], [FACE_A, [80.0, 80.0, 80.0, 78.0]])]
    metrics = evaluate(samples, deltas=(0.5,))
    assert metrics['face/all/num_faces'] == 2.0
    assert metrics['face/all/recall@0.5'] == 0.5


def test_batches_do_not_matter():
    whole, single = (evaluate(three_images(), batch_size=n) for n in (3, 1))
    assert whole == single


def test_scores_times_a_twentieth():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 400, (40, 2))
    faces = np.concatenate([corner, corner + rng.uniform(5, 60, (40, 2))], axis=1)
    boxes = faces + rng.normal(0, 3, faces.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    scores = torch.tensor(rng.uniform(0, 1, 40), dtype=torch.float32)
    results = [
        evaluate([sample('e/a', boxes.tolist(), s, faces.tolist())], deltas=(0.5,))
        for s in (scores, scores * 0.05)
    ]
    before, after = (result['face/all/AP'] for result in results)
    assert 0.2 < before < 1
    assert after == pytest.approx(before, abs=1e-12)
    assert results[0]['face/all/recall@0.5'] > 0.2
    assert results[1]['face/all/recall@0.5'] == 0.0
    assert math.isnan(results[1]['face/all/precision@0.5'])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_score_types(dtype):
    one = sample('e/a', [FACE_A], [0.5], [FACE_A])
    one.pred_instances.scores = one.pred_instances.scores.to(dtype)
    one.pred_instances.bboxes = one.pred_instances.bboxes.to(dtype)
    assert evaluate([one])['face/all/recall@0.5'] == 1.0


def test_other_classes_are_left_out():
    one = sample('e/a', [ELSEWHERE, FACE_A], [0.9, 0.8], [FACE_A], labels=[3, 0])
    one.instances[:0] = [dict(bbox=ELSEWHERE, bbox_label=3, ignore_flag=0)]
    metrics = evaluate([one], deltas=(0.5,))
    assert metrics['face/all/precision@0.5'] == 1.0
    assert metrics['face/all/num_faces'] == 1.0
    other = evaluate([one], deltas=(0.5,), face_label=3)
    assert other['face/all/recall@0.5'] == 1.0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(scores=torch.tensor([math.nan])), 'e/a: a score is NaN or infinite'),
        (dict(scores=torch.tensor([math.inf])), 'e/a: a score is NaN or infinite'),
        (dict(scores=torch.tensor([1.5])), r'e/a: scores .* in \[0, 1\]'),
        (dict(scores=torch.tensor([-0.5])), r'e/a: scores .* in \[0, 1\]'),
        (dict(bboxes=torch.tensor([[0, 0, math.nan, 9]])), 'e/a: one of the detected'),
        (dict(bboxes=torch.tensor([[0, 0, math.inf, 9]])), 'e/a: one of the detected'),
        (dict(bboxes=torch.tensor([[9.0, 0, 0, 9]])), 'e/a: .* negative size'),
        (dict(bboxes=torch.zeros(1, 5)), r'e/a: .* shape \(1, 5\)'),
    ],
)
def test_bad_predictions_name_the_image(change, message):
    one = sample('e/a', [FACE_A], [0.9], [FACE_A])
    for key, value in change.items():
        one.pred_instances.set_field(value, key)
    with pytest.raises(ValueError, match=message):
        evaluate([one])


def test_number_of_scores():
    one = sample('e/a', [FACE_A], [0.9], [FACE_A]).to_dict()
    one['pred_instances'] = dict(bboxes=torch.zeros(2, 4), scores=torch.zeros(1))
    with pytest.raises(ValueError, match='e/a: 1 scores for 2 detected boxes'):
        WiderFaceMetric().process(None, [one])


def test_bad_annotations_name_the_image():
    with pytest.raises(ValueError, match='e/a: one of the annotated boxes is NaN'):
        evaluate([sample('e/a', faces=[[0, 0, math.nan, 5]])])


@pytest.mark.parametrize('key', ['img_id', 'instances'])
def test_missing_meta_keys(key):
    one = sample('e/a', faces=[FACE_A])
    one.pop(key)
    with pytest.raises(KeyError, match=f"'{key}'.*meta_keys of PackDetInputs"):
        evaluate([one])


def test_an_image_twice():
    with pytest.raises(ValueError, match='more than once, the first is e/b'):
        evaluate([*three_images(), three_images()[1]])


def test_no_images():
    with pytest.raises(ValueError, match='no images were evaluated'):
        WiderFaceMetric().evaluate(0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(deltas=(99,)), 'deltas are score thresholds'),
        (dict(deltas=(0.9, 0.9)), 'deltas must differ'),
        (dict(min_precision=0), 'min_precision'),
        (dict(iou_thr=1.5), 'iou_thr'),
        (dict(patch_thr=-1), 'patch_thr'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        WiderFaceMetric(**arguments)


def test_missing_subset_lists(tmp_path):
    with pytest.raises(FileNotFoundError, match='wider_easy_val.mat'):
        WiderFaceMetric(subset_dir=str(tmp_path))


def official_samples(subsets, ids, seed=0):
    """Samples with as many faces as the official lists say, and detections."""
    rng = np.random.default_rng(seed)
    for img_id in ids:
        count = len(subsets['hard'][img_id])
        corner = rng.uniform(0, 800, (count, 2))
        faces = np.concatenate([corner, corner + rng.uniform(4, 80, (count, 2))], 1)
        boxes = faces + rng.normal(0, 2, faces.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        scores = np.sort(rng.uniform(0, 1, count))[::-1].copy()
        yield sample(img_id, boxes.tolist(), scores.tolist(), faces.tolist())


def test_official_subsets(widerface_root):
    gt_dir = widerface_root / 'eval_tools' / 'ground_truth'
    subsets = load_subsets(gt_dir)
    samples = list(official_samples(subsets, list(subsets['hard'])[:40]))
    metrics = evaluate(samples, subset_dir=str(gt_dir), deltas=(0.5,))
    for name in ('easy', 'medium', 'hard', 'all'):
        scores, status, num_faces = [], [], 0
        for one in samples:
            keep = subsets.get(name, {}).get(one.img_id)
            faces = np.array([face['bbox'] for face in one.instances], dtype='f4')
            keep = np.ones(len(faces), dtype=bool) if keep is None else keep
            predictions = one.pred_instances.numpy()
            matches = match_detections(predictions.bboxes, faces, keep)
            scores.append(predictions.scores)
            status.append(matches.status)
            num_faces += int(keep.sum())
        scores, status = np.concatenate(scores), np.concatenate(status)
        assert metrics[f'face/{name}/num_faces'] == num_faces
        assert metrics[f'face/{name}/AP'] == average_precision(
            scores, status, num_faces
        )
        found = ((status == 1) & (scores >= 0.5)).sum()
        assert metrics[f'face/{name}/recall@0.5'] == found / num_faces
    assert metrics['face/easy/num_faces'] < metrics['face/hard/num_faces']


def test_data_set_that_does_not_fit_the_lists(widerface_root):
    gt_dir = str(widerface_root / 'eval_tools' / 'ground_truth')
    with pytest.raises(ValueError, match='e/a is not in wider_easy_val.mat'):
        evaluate([sample('e/a', faces=[FACE_A])], subset_dir=gt_dir)
    img_id = '0--Parade/0_Parade_marchingband_1_465'
    with pytest.raises(ValueError, match=f'{img_id}: .* faces, the data set 1'):
        evaluate([sample(img_id, faces=[FACE_A])], subset_dir=gt_dir)
