"""Maximum face score on a patch that is shown alone."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import METRICS

BOX = [20, 20, 36, 36]


def sample(boxes, scores, background='grey', side=16, labels=None, **others):
    return dict(
        img_id='x',
        background=background,
        side=side,
        instances=[dict(bbox=BOX, bbox_label=0)],
        pred_instances=dict(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor(scores, dtype=torch.float32),
            labels=torch.tensor(labels or [0] * len(scores), dtype=torch.long),
        ),
        **{'patch_boxes': torch.tensor([BOX]).numpy(), **others},
    )


def evaluate(samples, **options):
    metric = METRICS.build(dict(type='FaceLikenessMetric', **options))
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_means_by_background_and_side():
    """And their maximum over the sides, which is not that of the scores."""
    found = evaluate(
        [
            sample([BOX], [0.5]),
            sample([BOX, BOX], [0.25, 0.75]),
            sample([BOX], [1.0], side=32),
            sample([], [], side=32),
            sample([BOX], [0.125], background='photograph'),
        ]
    )
    assert found == {
        'likeness/grey': 0.625,
        'likeness/photograph': 0.125,
        'likeness/grey/16': 0.625,
        'likeness/grey/32': 0.5,
        'likeness/photograph/16': 0.125,
    }


@pytest.mark.parametrize(
    ('box', 'options', 'score'),
    [
        # Elsewhere.
        ([0, 0, 16, 16], {}, 0.0),
        # A part of the patch: IoU 1/16, all of its area.
        ([20, 20, 24, 24], {}, 0.5),
        ([20, 20, 24, 24], dict(patch_iou_thr=0.05, share=1.0), 0.5),
        # Half of the patch and as much beside it: IoU 1/3, share 1/2.
        ([12, 20, 28, 36], {}, 0.5),
        ([12, 20, 28, 36], dict(patch_iou_thr=0.34), 0.5),
        ([12, 20, 28, 36], dict(patch_iou_thr=0.34, share=0.51), 0.0),
    ],
)
def test_what_is_on_the_patch(box, options, score):
    assert evaluate([sample([box], [0.5])], **options)['likeness/grey'] == score


def test_other_classes_do_not_count():
    one = sample([BOX, BOX], [0.9, 0.5], labels=[1, 0])
    assert evaluate([one])['likeness/grey'] == 0.5
    assert evaluate([one], target=1)['likeness/grey'] == pytest.approx(0.9)


def test_a_shrunken_patch_counts_where_it_is():
    """Not where the box of the canvas is."""
    small = torch.tensor([[24, 24, 32, 32]]).numpy()
    detections = [[20, 20, 23, 23]], [0.5]
    assert evaluate([sample(*detections)])['likeness/grey'] == 0.5
    assert evaluate([sample(*detections, patch_boxes=small)])['likeness/grey'] == 0


def test_clean_images_are_scored_where_a_patch_would_be():
    clean = sample([BOX, [0, 0, 9, 9]], [0.25, 0.5])
    del clean['patch_boxes']
    assert evaluate([clean])['likeness/grey'] == 0.25


def test_of_another_data_set():
    one = sample([], [])
    del one['background'], one['side']
    with pytest.raises(KeyError, match='x: no background, side; FaceLikeness'):
        evaluate([one])
