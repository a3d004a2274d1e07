"""Parts of the training images."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmdet_facepatch.experiments.data_split import (
    hold_out,
    spread,
    take_half,
    take_positions,
)


def ids(dataset: dict) -> list[str]:
    """A data set of ten images; in training the first, without a face, is left out."""
    names = [f'image{i}' for i in range(10)]
    if not dataset.get('test_mode'):
        names = names[1:]
    indices = dataset.get('indices')
    if indices is None:
        return names
    return names[:indices] if isinstance(indices, int) else [names[i] for i in indices]


def test_spread_is_even():
    assert spread(580, 4) == [72, 217, 362, 507]
    assert spread(3, 1) == [1]


@pytest.mark.parametrize(('total', 'count'), [(4, 4), (4, 0), (0, 1)])
def test_something_is_left(total, count):
    with pytest.raises(ValueError, match=f'{count} images cannot be held out'):
        spread(total, count)


@pytest.mark.parametrize(
    ('before', 'after'),
    [(None, [0, 2]), (5, [0, 2]), (-3, [6, 8]), ([4, 5, 6], [4, 6])],
)
def test_positions_in_a_part(before, after):
    dataset = dict() if before is None else dict(indices=before)
    take_positions(dataset, [0, 2], ids)
    assert dataset['indices'] == after


def config() -> Config:
    return Config(
        dict(
            train_dataloader=dict(dataset=dict(type='A', pipeline=['train'])),
            val_dataloader=dict(batch_size=1, dataset=dict(type='B', pipeline=['val'])),
            val_evaluator=dict(type='WiderFaceMetric', gt_dir='x', face_iou_thr=0.5),
            val_cfg=dict(type='PatchValLoop'),
            train_cfg=dict(max_epochs=6, val_interval=3),
        )
    )


def test_held_out():
    """The same images in both sets' own positions; halves are of what is left."""
    cfg = config()
    hold_out(cfg, 3, ids)
    train, val = (cfg[f'{name}_dataloader'].dataset for name in ('train', 'val'))
    assert ids(val.to_dict()) == ['image2', 'image5', 'image8']
    assert ids(train.to_dict()) == [f'image{i}' for i in (1, 3, 4, 6, 7, 9)]
    assert val.type == 'A' and val.pipeline == ['val'] and val.test_mode
    assert cfg.val_evaluator == dict(
        type='WiderFaceMetric', face_iou_thr=0.5, bootstrap=0
    )
    assert cfg.train_cfg.val_interval == 3
    halves = []
    for half in (0, 1):
        part = config()
        hold_out(part, 3, ids)
        take_half(part.train_dataloader.dataset, half, ids)
        halves.append(ids(part.train_dataloader.dataset.to_dict()))
    assert sorted([*halves[0], *halves[1]]) == ids(train.to_dict())
    assert not set(halves[0]) & set(halves[1])


def test_needs_a_validation():
    cfg = config()
    cfg.val_dataloader = None
    with pytest.raises(ValueError, match='held_out needs val_dataloader'):
        hold_out(cfg, 3, ids)
