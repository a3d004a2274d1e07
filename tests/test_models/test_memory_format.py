"""Channels-last batches change how fast a detector is, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_facepatch.ops import provide_operators

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('*_mbv2_widerface_subset.py'))


def read(model, inputs):
    """All scores and boxes before anything is sorted or thrown away."""
    features = model.extract_feat(inputs)
    if not hasattr(model, 'roi_head'):
        return [level for kind in model.bbox_head(features) for level in kind]
    maps = [level for kind in model.rpn_head(features) for level in kind]
    rois = torch.tensor([[0.0, 10, 20, 70, 90], [0.0, 0, 0, 30, 30]])
    pooled = model.roi_head.bbox_roi_extractor(features, rois)
    return [*maps, *model.roi_head.bbox_head(pooled)]


@pytest.mark.parametrize('name', NAMES)
def test_outputs_are_those_of_contiguous_batches(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py').model
    cfg.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    # SSD's L2Norm holds whatever lay in memory until then.
    model.init_weights()
    image = torch.randint(
        0, 256, (3, 128, 128), generator=torch.Generator().manual_seed(1)
    ).byte()
    inputs = model.data_preprocessor(dict(inputs=[image]))['inputs']
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = read(model, inputs.contiguous())
        for ours, other in zip(read(model, inputs), expected, strict=True):
            # Random weights make large numbers; sums of them differ in rounding.
            assert (ours - other).abs().max() <= 1e-4 * other.abs().max()


def test_pooling_is_the_same():
    extractor = dict(
        type='ContiguousSingleRoIExtractor',
        out_channels=8,
        featmap_strides=[4],
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
    )
    ours = MODELS.build(extractor)
    plain = MODELS.build(dict(extractor, type='SingleRoIExtractor'))
    generator = torch.Generator().manual_seed(0)
    feature = torch.rand(2, 8, 20, 20, generator=generator)
    channels_last = feature.contiguous(memory_format=torch.channels_last)
    rois = torch.tensor([[0.0, 2, 3, 60, 48], [1.0, 0, 0, 40, 40]])
    expected = plain((feature,), rois)
    assert torch.equal(ours((channels_last,), rois), expected)
    # What mmcv's compiled one makes of it: the day that this fails the class can go.
    right = torch.allclose(plain((channels_last,), rois), expected)
    assert right == (provide_operators().name != 'compiled')
