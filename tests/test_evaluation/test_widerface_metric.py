"""The metric through mmengine's evaluator, on mmdet's data samples."""

from __future__ import annotations

import json
import math
import multiprocessing

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmdet.registry import DATASETS, METRICS
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from PIL import Image

from mmdet_facepatch.evaluation import WiderFaceMetric, load_ground_truth
from mmdet_facepatch.evaluation.functional.matching import match_detections
from mmdet_facepatch.evaluation.functional.precision_recall import average_precision

FACE_A, FACE_B = [10.0, 10.0, 29.0, 29.0], [50.0, 50.0, 69.0, 69.0]
ELSEWHERE = [100.0, 10.0, 119.0, 29.0]
PATCH = [100, 12, 118, 30]
REFERENCE = ('calibrated_delta', 'margin_low', 'margin_high')


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
    metrics = evaluate(three_images(), betas=(0.5,), bootstrap=0)
    margins = [math.log(p / (1 - p)) for p in np.float32([0.6, 0.995]).tolist()]
    assert metrics == pytest.approx(
        {
            'face/all/AP': metrics['face/all/AP'],
            'face/all/AF0.5': metrics['face/all/AF0.5'],
            'face/all/precision@0.99': 1.0,
            'face/all/recall@0.99': 0.25,
            'face/all/precision@0.9': 2 / 3,
            'face/all/recall@0.9': 0.5,
            'face/all/precision@0.5': 0.5,
            'face/all/recall@0.5': 0.5,
            'face/all/precision@calibrated': 1.0,
            'face/all/recall@calibrated': 0.25,
            'face/all/num_faces': 4.0,
            'face/all/AF0.5+': metrics['face/all/AF0.5+'],
            'face/calibrated_delta': float(np.float32(0.995)),
            'face/margin_low': margins[0],
            'face/margin_high': margins[1],
            'face/num_images': 3.0,
            'face/num_images_without_faces': 0.0,
            'face/silent_images@0.99': 2 / 3,
            'face/silent_images@0.9': 1 / 3,
            'face/silent_images@0.5': 1 / 3,
            'face/silent_images@calibrated': 2 / 3,
        },
        abs=1e-12,
    )
    assert all(type(value) is float for value in metrics.values())
    # Precision 1 at recall 1/4, then 2/3 at 1/2 (0.6 is a duplicate).
    assert metrics['face/all/AP'] == pytest.approx(0.25 + 0.25 * 2 / 3, abs=1e-12)


def test_everything_else_is_in_the_evaluation():
    metric = WiderFaceMetric(bootstrap=20)
    assert metric.evaluation is None
    evaluate(three_images(), metric=metric)
    assert metric.evaluation.numbers['all/duplicates@0.5'] == 1
    assert len(metric.evaluation.replicates['all/AP']) == 20
    assert [record.img_id for record in metric.records] == ['e/a', 'e/b', 'e/c']
    assert metric.evaluation.data['confidence'] == 'scores'


def test_margins_are_used_where_there_are_any():
    one = sample('e/a', [FACE_A], [1.0], [FACE_A])
    one.pred_instances.margins = torch.tensor([25.0])
    metric = WiderFaceMetric(bootstrap=0)
    evaluate([one], metric=metric)
    curve = metric.evaluation.curves['all/F0.5']
    thresholds = metric.evaluation.curves['margin_thresholds']
    assert curve.tolist() == (thresholds <= 25).astype(float).tolist()
    assert metric.evaluation.data['confidence'] == 'margins'


def test_detections_on_a_patch_are_counted_apart():
    samples = three_images(patches=[PATCH])
    metrics = evaluate(samples, deltas=(0.99, 0.95), min_precision=0.5)
    assert metrics['face/all/on_patch@0.99'] == 0.0
    assert metrics['face/all/on_patch@0.95'] == 1.0
    assert metrics['face/all/on_patch@calibrated'] == 1.0
    assert not any('on_patch' in key for key in evaluate(three_images()))


def test_reference():
    metric = WiderFaceMetric()
    clean = evaluate(three_images(), metric=metric)
    metric.reference = metric.latest_reference
    weaker = [sample('e/a', [FACE_A, ELSEWHERE], [0.99, 0.2], [FACE_A])]
    attacked = evaluate(weaker, metric=metric)
    for key in REFERENCE:
        assert attacked[f'face/{key}'] == clean[f'face/{key}']
    assert metric.latest_reference == metric.reference
    given = WiderFaceMetric(reference=metric.reference.to_config())
    assert repr(evaluate(weaker, metric=given)) == repr(attacked)
    assert attacked['face/all/recall@calibrated'] == 0.0
    assert math.isnan(attacked['face/all/precision@calibrated'])
    metric.reference = None
    own = evaluate(weaker, metric=metric)
    assert own['face/margin_high'] < clean['face/margin_high']
    assert own['face/calibrated_delta'] == float(np.float32(0.99))
    assert own['face/all/recall@calibrated'] == 1.0


def test_precision_never_reached():
    """No number is made up, neither in this run nor in one that refers to it."""
    samples = [sample('e/a', [ELSEWHERE], [0.9], [FACE_A], [PATCH])]
    metrics = evaluate(samples)
    assert math.isnan(metrics['face/calibrated_delta'])
    reference = {key: metrics[f'face/{key}'] for key in REFERENCE}
    later = evaluate(three_images(), reference=reference)
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
    other = evaluate([one], deltas=(0.5,), target=3)
    assert other['face/all/recall@0.5'] == 1.0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(scores=torch.tensor([math.nan])), 'e/a: .*scores'),
        (dict(scores=torch.tensor([math.inf])), 'e/a: .*scores'),
        (dict(scores=torch.tensor([1.5])), r'e/a: .*scores.* \[0, 1\]'),
        (dict(scores=torch.tensor([-0.5])), r'e/a: .*scores.* \[0, 1\]'),
        (dict(bboxes=torch.tensor([[0, 0, math.nan, 9]])), 'e/a: .*boxes'),
        (dict(bboxes=torch.tensor([[0, 0, math.inf, 9]])), 'e/a: .*boxes'),
        (dict(bboxes=torch.tensor([[9.0, 0, 0, 9]])), 'e/a: .* x2 < x1'),
        (dict(bboxes=torch.zeros(1, 5)), r'e/a: .* \(1, 5\)'),
        (dict(margins=torch.tensor([math.nan])), 'e/a: .*margins'),
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
    with pytest.raises(ValueError, match='e/a: .*scores'):
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
        (dict(face_iou_thr=1.5), 'face_iou_thr'),
        (dict(patch_iou_thr=-1), 'patch_iou_thr'),
        (dict(patch_share=0), 'patch_share'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        WiderFaceMetric(**arguments)


def test_missing_subset_lists(tmp_path):
    with pytest.raises(FileNotFoundError, match='wider_easy_val.mat'):
        WiderFaceMetric(gt_dir=str(tmp_path))


def official_samples(faces, ids, seed=0):
    """Samples with the official faces, and detections around them."""
    rng = np.random.default_rng(seed)
    for img_id in ids:
        gts = faces[img_id].boxes
        boxes = gts + rng.normal(0, 2, gts.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        scores = np.sort(rng.uniform(0, 1, len(gts)))[::-1].copy()
        yield sample(img_id, boxes.tolist(), scores.tolist(), gts.tolist())


def test_official_subsets(widerface_root):
    gt_dir = widerface_root / 'eval_tools' / 'ground_truth'
    faces = load_ground_truth(gt_dir)
    samples = list(official_samples(faces, list(faces)[:40]))
    metric = WiderFaceMetric(gt_dir=str(gt_dir), deltas=(0.5,))
    metrics = evaluate(samples, metric=metric)
    for name in ('easy', 'medium', 'hard', 'all'):
        scores, status, num_faces = [], [], 0
        for one in samples:
            official = faces[one.img_id]
            keep = official.keep.get(name, np.ones(len(official.boxes), dtype=bool))
            predictions = one.pred_instances.numpy()
            matches = match_detections(predictions.bboxes, official.boxes, keep)
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
    assert metric.evaluation.data['annotated_images'] == 3226
    assert metric.evaluation.numbers['blur:heavy/num_faces'] > 0


def test_official_faces_need_no_instances(widerface_root):
    gt_dir = widerface_root / 'eval_tools' / 'ground_truth'
    faces = load_ground_truth(gt_dir)
    samples = list(official_samples(faces, list(faces)[:5]))
    with_instances = evaluate(samples, gt_dir=str(gt_dir), bootstrap=0)
    for one in samples:
        one.pop('instances')
    without = evaluate(samples, gt_dir=str(gt_dir), bootstrap=0)
    assert without == pytest.approx(with_instances, abs=0, nan_ok=True)


def test_data_set_that_does_not_fit_the_lists(widerface_root):
    gt_dir = str(widerface_root / 'eval_tools' / 'ground_truth')
    with pytest.raises(ValueError, match='e/a is not in the official files'):
        evaluate([sample('e/a', faces=[FACE_A])], gt_dir=gt_dir)
    img_id = '0--Parade/0_Parade_marchingband_1_465'
    with pytest.raises(ValueError, match=f'{img_id}: .* faces, the data set 1'):
        evaluate([sample(img_id, faces=[FACE_A])], gt_dir=gt_dir)
    moved = load_ground_truth(gt_dir)[img_id].boxes / 2
    with pytest.raises(ValueError, match=f'{img_id}: .* not those of the official'):
        evaluate([sample(img_id, faces=moved.tolist())], gt_dir=gt_dir)


def test_ignore_flag():
    """COCO's crowds and VOC's difficult objects, if they are to be ignored."""
    one = sample('e/a', [FACE_A, FACE_B], [0.9, 0.8], [FACE_A, FACE_B])
    one.instances[1]['ignore_flag'] = 1
    counted = evaluate([one], deltas=(0.5,))
    assert counted['face/all/num_faces'] == 2
    ignored = evaluate([one], deltas=(0.5,), use_ignore_flag=True)
    assert ignored['face/all/num_faces'] == 1
    assert ignored['face/all/precision@0.5'] == 1.0
    assert ignored['face/all/recall@0.5'] == 1.0


def test_coco_data_set(tmp_path):
    """mmdet's own CocoDataset: ids are numbers, crowds are flagged."""
    Image.new('RGB', (150, 100)).save(tmp_path / 'a.jpg')
    annotation = dict(
        images=[dict(id=139, file_name='a.jpg', width=150, height=100)],
        categories=[dict(id=1, name='face')],
        annotations=[
            dict(
                id=1,
                image_id=139,
                category_id=1,
                bbox=[10, 10, 19, 19],
                area=361,
                iscrowd=0,
            ),
            dict(
                id=2,
                image_id=139,
                category_id=1,
                bbox=[50, 50, 40, 40],
                area=1600,
                iscrowd=1,
            ),
        ],
    )
    (tmp_path / 'faces.json').write_text(json.dumps(annotation))
    dataset = DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=str(tmp_path),
            ann_file='faces.json',
            data_prefix=dict(img=''),
            metainfo=dict(classes=('face',)),
            test_mode=True,
            pipeline=[],
        )
    )
    info = dataset.get_data_info(0)
    one = sample(info['img_id'], [FACE_A], [0.95])
    one.set_metainfo(dict(instances=info['instances']))
    metrics = evaluate([one], use_ignore_flag=True, deltas=(0.9,))
    assert metrics['face/all/recall@0.9'] == 1.0
    assert metrics['face/all/num_faces'] == 1


def test_voc_data_set(tmp_path):
    """mmdet's XMLDataset, as its own WIDER FACE configs use."""
    for folder in ('Annotations', 'JPEGImages'):
        (tmp_path / folder).mkdir()
    Image.new('RGB', (150, 100)).save(tmp_path / 'JPEGImages' / 'a.jpg')
    (tmp_path / 'list.txt').write_text('a\n')
    (tmp_path / 'Annotations' / 'a.xml').write_text(
        '<annotation><size><width>150</width><height>100</height></size>'
        '<object><name>face</name><difficult>0</difficult><bndbox><xmin>11</xmin>'
        '<ymin>11</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>'
    )
    dataset = DATASETS.build(
        dict(
            type='XMLDataset',
            data_root=str(tmp_path),
            ann_file='list.txt',
            data_prefix=dict(sub_data_root=''),
            metainfo=dict(classes=('face',)),
            test_mode=True,
            pipeline=[],
        )
    )
    info = dataset.get_data_info(0)
    one = sample(info['img_id'], [FACE_A], [0.95])
    one.set_metainfo(dict(instances=info['instances']))
    metric = WiderFaceMetric(deltas=(0.9,))
    assert evaluate([one], metric=metric)['face/all/recall@0.9'] == 1.0
    assert metric.evaluation.numbers['height:16-32/recall@0.9'] == 1.0


def _evaluate_rank(rank, file, samples, queue):
    dist.init_process_group(
        'gloo', init_method=f'file://{file}', rank=rank, world_size=2
    )
    metric = WiderFaceMetric(bootstrap=50)
    evaluator = Evaluator(metric)
    # As mmengine's sampler hands them out; the last rank repeats one.
    own = (samples + samples[:1])[rank::2]
    for one in own:
        evaluator.process([one])
    metrics = evaluator.evaluate(len(samples))
    queue.put((rank, metrics, None if rank else metric.evaluation.intervals))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_same_numbers(tmp_path):
    rng = np.random.default_rng(0)
    samples = []
    for i in range(7):
        corner = rng.uniform(0, 200, (i, 2))
        faces = np.concatenate([corner, corner + 30], axis=1)
        scores = rng.uniform(0, 1, i)
        samples.append(sample(f'e/{i}', (faces + 2).tolist(), scores, faces.tolist()))
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    processes = [
        context.Process(
            target=_evaluate_rank, args=(rank, tmp_path / 'group', samples, queue)
        )
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    results = {rank: rest for rank, *rest in (queue.get(timeout=120) for _ in range(2))}
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    metric = WiderFaceMetric(bootstrap=50)
    alone = evaluate(samples, metric=metric)
    for rank in range(2):
        assert repr(results[rank][0]) == repr(alone)
    assert results[0][1] == metric.evaluation.intervals
