"""How evaluations show images to a detector."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmdet_facepatch.engine import complete_pipelines
from mmdet_facepatch.engine.pipelines import META_KEYS, deployed_pipeline

LOAD = dict(type='LoadImageFromFile', backend_args=None)
OWN = [
    LOAD,
    dict(type='Resize', scale=(640, 640), keep_ratio=True),
    dict(type='Pad', pad_to_square=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'flip', 'text')),
]


def detector(pipeline=None, **keys) -> Config:
    keys.setdefault('test_dataloader', dict(dataset=dict(pipeline=pipeline or OWN)))
    return Config(keys)


def attack(**keys) -> Config:
    loader = dict(dataset=dict(type='CocoDataset'))
    return Config(
        dict(dict(model={}, val_dataloader=loader, test_dataloader=loader), **keys)
    )


def types(pipeline):
    return [step['type'] for step in pipeline]


def test_deployed_is_the_detectors_own_with_a_patch_on_what_it_loads():
    cfg = attack()
    complete_pipelines(cfg, detector())
    for key in ('val_dataloader', 'test_dataloader'):
        found = cfg[key].dataset.pipeline
        assert types(found) == [
            'LoadIntactImage',
            'PastePatch',
            'Resize',
            'Pad',
            'mmdet.PackDetInputs',
        ]
        assert found[2] == OWN[1] and found[3] == OWN[2]
        # Keys of the detector first, those of evaluation and pictures added.
        assert found[-1]['meta_keys'][:3] == ('img_id', 'flip', 'text')
        assert set(META_KEYS) < set(found[-1]['meta_keys'])
    assert 'tta_model' not in cfg.model
    assert OWN[0]['type'] == 'LoadImageFromFile', 'changed in place'


def test_wrapped_data_sets_and_configs_of_mmdet_2_names():
    inner = dict(type='CocoDataset', pipeline=OWN)
    wrapped = detector(test_dataloader=dict(dataset=dict(dataset=inner)))
    assert deployed_pipeline(wrapped) == deployed_pipeline(detector())
    only_val = detector(test_dataloader=None, val_dataloader=dict(dataset=inner))
    assert deployed_pipeline(only_val) == deployed_pipeline(detector())
    assert deployed_pipeline(Config(dict(test_pipeline=OWN))) == (
        deployed_pipeline(detector())
    )


@pytest.mark.parametrize('given', [(0.5, 1), dict(scales=[0.5, 1])])
def test_pyramid_is_asked_for_by_name(given):
    cfg = attack(pyramid=given)
    complete_pipelines(cfg, detector())
    test, val = (cfg[f'{key}_dataloader'].dataset.pipeline for key in ('test', 'val'))
    assert types(test) == types(val) == ['LoadIntactImage', 'PastePatch', 'TestTimeAug']
    scales = [
        [step['scale_factor'] for step in found[-1]['transforms'][0]]
        for found in (test, val)
    ]
    assert scales == [[0.5, 1], [1]]
    assert cfg.model.tta_model.type == 'PyramidTTA'
    assert cfg.model.tta_model.tta_cfg.nms == dict(type='nms', iou_threshold=0.3)
    # What is left can be run as it is.
    before = cfg.to_dict()
    complete_pipelines(cfg, detector())
    assert 'pyramid' not in before and cfg.to_dict() == before


def test_pyramid_with_another_nms():
    nms = dict(type='soft_nms', iou_threshold=0.4)
    cfg = attack(pyramid=dict(scales=(1,), nms=nms))
    complete_pipelines(cfg, detector())
    assert cfg.model.tta_model.tta_cfg.nms == nms


def test_a_pipeline_of_ones_own_stays():
    loader = dict(dataset=dict(type='CocoDataset', pipeline=OWN))
    cfg = attack(test_dataloader=loader, val_dataloader=None)
    complete_pipelines(cfg, detector())
    assert cfg.test_dataloader.dataset.pipeline == OWN
    cfg.pyramid = (1, 2)
    with pytest.raises(ValueError, match='test_dataloader.dataset has a pipeline'):
        complete_pipelines(cfg, detector())


@pytest.mark.parametrize(
    'pyramid', [0.5, [], [0], [-1, 1], ['1'], dict(scale=[1]), dict(scales=[1], x=2)]
)
def test_no_pyramid(pyramid):
    with pytest.raises(ValueError, match='must be positive scales'):
        complete_pipelines(attack(pyramid=pyramid), detector())


@pytest.mark.parametrize(
    'pipeline, message',
    [
        (OWN[1:], 'begins with Resize'),
        (OWN[:-1], 'ends with Pad'),
    ],
)
def test_detectors_without_a_test_pipeline(pipeline, message):
    with pytest.raises(ValueError, match=message):
        complete_pipelines(attack(), detector(pipeline))
    with pytest.raises(ValueError, match='no test_dataloader.dataset.pipeline'):
        complete_pipelines(attack(), Config(dict(model={})))
