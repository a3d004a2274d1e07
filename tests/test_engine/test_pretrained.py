"""Weights that a training starts from, and the tool on real images."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_facepatch.attack import build_frozen_detector
from mmdet_facepatch.engine.pretrained import check_pretrained

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
RESNET18 = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
RANDOM = 'model.backbone.init_cfg=None model.backbone.norm_eval=False'


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Nothing can be fetched, and nothing was; the current folder is empty."""
    for key in ('http_proxy', 'https_proxy'):
        monkeypatch.setenv(key, 'http://127.0.0.1:9')
    monkeypatch.setenv('no_proxy', '')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.chdir(tmp_path)


def model_of(name: str):
    return Config.fromfile(CONFIGS / f'{name}.py').model


def explain(model) -> str:
    with pytest.raises(FileNotFoundError) as error:
        check_pretrained(model)
    return str(error.value)


def test_weights_that_were_not_converted(offline):
    text = explain(model_of('sln_mbv2_widerface'))
    file = 'weights/mobilenet_v2_imagenet.pth'
    assert f'checkpoint {file} does not exist' in text
    assert (
        'python tools/model_converters/mobilenet_v2.py mobilenet_v2-b0353104.pth '
        f"{file} makes it from torchvision's checkpoint, which the package" in text
    )
    # Its frozen stages would stay random.
    assert 'model.backbone.init_cfg=None' in text
    assert text.endswith(' model.backbone.frozen_stages=-1')


def test_backbone_of_centerface(offline):
    file = 'weights/mobilenet_v2_centerface.pth'
    text = explain(model_of('sln_mbv2_widerface_subset'))
    assert f'python tools/model_converters/centerface.py {file} makes it from' in text
    assert text.endswith(' model.backbone.frozen_stages=-1')


def pretrained(file) -> dict:
    return dict(type='Pretrained', checkpoint=str(file))


def test_every_part_that_starts_from_weights(tmp_path):
    """Also in lists of parts and of ``init_cfg``, and the model itself."""
    there, lost = tmp_path / 'there.pth', tmp_path / 'lost.pth'
    torch.save(dict(w=torch.ones(1)), there)
    normal = dict(type='Normal', layer='Conv2d')
    for model, key in (
        (dict(init_cfg=pretrained(lost)), 'model'),
        (dict(head=dict(init_cfg=[normal, pretrained(lost)])), 'model.head'),
        (dict(necks=[{}, dict(init_cfg=pretrained(lost))]), 'model.necks.1'),
    ):
        assert explain(model).startswith(f'{key} starts from {lost}: ')
    check_pretrained(dict(init_cfg=pretrained(there), head=dict(init_cfg=normal)))
    check_pretrained(None)
    with pytest.raises(ValueError, match="MMEngine knows no weights 'resnet'"):
        check_pretrained(dict(init_cfg=pretrained('open-mmlab://resnet')))
    there.write_bytes(b'<html>')
    with pytest.raises(ValueError, match=r'there\.pth is damaged'):
        check_pretrained(dict(init_cfg=pretrained(there)))


@pytest.mark.slow
def test_tool_says_so_in_one_line(offline, run, tmp_path):
    """Before it looks for the data, and before it makes anything."""
    work = tmp_path / 'work'
    lost = 'model.backbone.init_cfg.checkpoint=lost.pth'
    for config, options in (
        ('sln_r18_widerface', []),
        ('sln_mbv2_widerface', ['--cfg-options', lost]),
    ):
        done = run('train.py', CONFIGS / f'{config}.py', '--work-dir', work, *options)
        assert done.returncode == 1
        (line,) = [x for x in done.stderr.splitlines() if x.startswith('ERROR')]
        assert line.startswith('ERROR: model.backbone starts from ')
        assert f'--cfg-options {RANDOM}' in line
        assert 'Traceback' not in done.stderr
        assert not list(work.rglob('*.pth'))


@pytest.mark.slow
def test_twenty_steps_on_real_images(run, widerface_root, tmp_path):
    """The paper's SLN on the whole of WIDER FACE, of which a part is there."""
    if not (widerface_root / 'train_subset.txt').is_file():
        pytest.skip(f'no train_subset.txt in {widerface_root}')
    work, config = tmp_path / 'work', CONFIGS / 'sln_r18_widerface.py'
    done = run(
        'train.py',
        config,
        '--steps',
        20,
        '--work-dir',
        work,
        '--cfg-options',
        *RANDOM.split(),
        f'train_dataloader.dataset.data_root={widerface_root}/',
        'train_dataloader.dataset.image_list=train_subset.txt',
        'train_dataloader.dataset.pipeline.3.max_size=320',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        f'val_dataloader.dataset.data_root={widerface_root}/',
        f'val_evaluator.gt_dir={widerface_root}/eval_tools/ground_truth',
        'val_dataloader.dataset.image_list=val_subset.txt',
        'val_dataloader.dataset.indices=1',
        'val_dataloader.num_workers=0',
        'default_hooks.logger.interval=1',
        'log_processor.window_size=1',
        python=sys.executable,
    )
    assert done.returncode == 0, done.stderr
    lines = next(work.glob('*/vis_data/scalars.json')).read_text().splitlines()
    steps = [x for x in map(json.loads, lines) if 'loss' in x]
    assert len(steps) == 20
    assert all(math.isfinite(x['loss']) for x in steps)
    # Scores of backgrounds begin at 0.5.
    negative = [x['loss_cls_neg'] for x in steps]
    assert negative[0] == pytest.approx(math.log(2), abs=0.05)
    assert sum(negative[-5:]) / 5 < negative[0] / 4
    assert any(x['loss_bbox'] > 0 for x in steps)
    # The detector that was trained, and not the one that it began with.
    trained = build_frozen_detector(str(config), str(work / 'epoch_1.pth'))
    bias = trained.bbox_head.conv_cls.bias
    assert not torch.equal(bias, torch.zeros_like(bias))
    scores = trained.bbox_head(trained.extract_feat(torch.zeros(1, 3, 64, 64)))[0]
    assert all(level.isfinite().all() for level in scores)


def test_random_weights_as_the_message_says(offline):
    """The options of the message build a backbone that learns."""
    cfg = Config.fromfile(CONFIGS / 'sln_r18_widerface.py')
    cfg.merge_from_dict(
        {'model.backbone.init_cfg': None, 'model.backbone.norm_eval': False}
    )
    check_pretrained(cfg.model)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    assert model.backbone.bn1.training
    assert all(x.requires_grad for x in model.backbone.parameters())
