"""A detector of mmdet on data of one's own: several classes, integer ids."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmdet_facepatch.attack import build_frozen_detector, save_patch
from mmdet_facepatch.engine import (
    build_runner,
    complete_pipelines,
    load_config,
    preflight,
    set_steps,
)

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('person', 'face')
# (label, xyxy) by image; the third image has no face.
OBJECTS = {
    1: [(0, (4, 4, 60, 90)), (1, (20, 10, 44, 34))],
    2: [(1, (50, 20, 90, 60)), (0, (40, 10, 100, 90)), (0, (2, 2, 20, 50))],
    3: [(0, (30, 10, 70, 80))],
}
FCOS = dict(
    type='FCOS',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(
        type='ResNet', depth=18, base_channels=4, stem_channels=4, out_indices=(1, 2)
    ),
    neck=dict(type='FPN', in_channels=[8, 16], out_channels=8, num_outs=2),
    bbox_head=dict(
        type='FCOSHead',
        num_classes=2,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        strides=[8, 16],
        regress_ranges=((-1, 64), (64, 1e8)),
        norm_cfg=None,
    ),
    test_cfg=dict(
        nms_pre=500,
        score_thr=0.001,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=50,
    ),
)
TEST_PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    dict(type='Pad', pad_to_square=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]


@METRICS.register_module()
class KeepDetections(BaseMetric):
    """Everything that was detected, by image."""

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            found = sample['pred_instances']
            rows = torch.cat(
                [found['bboxes'], found['scores'][:, None], found['labels'][:, None]], 1
            )
            self.results.append((str(sample['img_id']), rows))

    def compute_metrics(self, results):
        type(self).found = dict(results)
        return {}


@pytest.fixture(scope='module')
def own(tmp_path_factory) -> Path:
    """Photographs in COCO's and VOC's form, a detector's config and weights."""
    root = tmp_path_factory.mktemp('own')
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (root / name).mkdir(parents=True)
    for i, objects in OBJECTS.items():
        pixels = rng.integers(0, 255, (96, 128, 3), np.uint8)
        Image.fromarray(pixels).save(root / f'JPEGImages/{i}.jpg')
        images.append(dict(id=i, file_name=f'{i}.jpg', width=128, height=96))
        xml = '<annotation><size><width>128</width><height>96</height></size>'
        for label, (x1, y1, x2, y2) in objects:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=label + 1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=1.0,
                    iscrowd=0,
                )
            )
            corners = dict(xmin=x1 + 1, ymin=y1 + 1, xmax=x2 + 1, ymax=y2 + 1)
            box = ''.join(f'<{key}>{value}</{key}>' for key, value in corners.items())
            xml += (
                f'<object><name>{CLASSES[label]}</name><difficult>0</difficult>'
                f'<bndbox>{box}</bndbox></object>'
            )
        (root / f'Annotations/{i}.xml').write_text(f'{xml}</annotation>')
    (root / 'ImageSets/Main/all.txt').write_text('\n'.join(map(str, OBJECTS)))
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)]
    (root / 'coco.json').write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories))
    )
    torch.manual_seed(0)
    init_default_scope('mmdet')
    # As mmdet builds it: the order of COCO is in the config, that of the data its own.
    model = MODELS.build(FCOS)
    model.init_weights()
    torch.nn.init.normal_(model.bbox_head.conv_cls.weight, std=0.5)
    torch.save(
        dict(
            state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES))
        ),
        root / 'fcos.pth',
    )
    loader = dict(
        batch_size=1,
        num_workers=0,
        persistent_workers=False,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    coco = dict(
        type='CocoDataset',
        ann_file=str(root / 'coco.json'),
        test_mode=True,
        data_prefix=dict(img=str(root / 'JPEGImages')),
        metainfo=dict(classes=CLASSES),
    )
    Config(
        dict(
            default_scope='mmdet',
            model=FCOS,
            test_cfg=dict(type='TestLoop'),
            test_dataloader=dict(loader, dataset=dict(coco, pipeline=TEST_PIPELINE)),
            test_evaluator=dict(type='KeepDetections'),
        )
    ).dump(root / 'fcos.py')
    return root


def dataset(own: Path, kind: str) -> dict:
    if kind == 'VOCDataset':
        return dict(
            type=kind,
            ann_file=str(own / 'ImageSets/Main/all.txt'),
            data_prefix=dict(sub_data_root=str(own)),
            metainfo=dict(classes=CLASSES, palette=[(0, 0, 0), (9, 9, 9)]),
        )
    found = dict(
        type=kind,
        ann_file=str(own / 'coco.json'),
        data_prefix=dict(img=str(own / 'JPEGImages')),
    )
    return (
        found
        if kind == 'CocoFaceDataset'
        else dict(found, metainfo=dict(classes=CLASSES))
    )


def config(own: Path, work_dir: Path, kind='CocoDataset', options=None, **model):
    data = dataset(own, kind)
    cfg = load_config(
        str(ROOT / 'configs/attack/custom.py'),
        options={
            'train_dataloader.batch_size': 2,
            'visualizer.name': str(work_dir),
            **(options or {}),
        },
        work_dir=str(work_dir),
    )
    pipeline = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset = dict(data, pipeline=pipeline)
    cfg.test_dataloader.dataset = dict(data, test_mode=True)
    cfg.model.update(
        dict(
            dict(
                target='face',
                sample_set=dict(type='PatchScoreSampleSet', score_thr=0.0),
                patch=dict(type='UniversalPatch', size=16),
            ),
            **model,
        )
    )
    cfg.model.detector = dict(
        config=str(own / 'fcos.py'), checkpoint=str(own / 'fcos.pth')
    )
    cfg.train_cfg = dict(type='PatchAttackLoop', max_steps=2)
    cfg.param_scheduler = []
    cfg.experiment_name = work_dir.name
    complete_pipelines(cfg)
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['CocoDataset', 'CocoFaceDataset', 'VOCDataset'])
def test_attack_report_and_pictures(own, kind, tmp_path):
    cfg = config(own, tmp_path / kind, kind)
    runner = build_runner(cfg)
    lines = preflight(runner, train=True, test=True)
    assert lines[0] == 'target:   face of detector FCOS of fcos.py'
    assert lines[1].startswith('train:    3 images, 2 objects; 2 steps of 2 images')
    assert lines[2] == 'test:     3 images, 2 objects; clean, grey, noise, patch'
    assert lines[3].startswith('seen:     as the detector is deployed, at 160 x 160')
    assert lines[4].startswith('takes:    about ') and len(lines) == 5
    before = runner.model.patch.pixels.detach().clone()
    runner.train()
    assert not torch.equal(before, runner.model.patch.pixels)
    assert runner.iter == 2
    metrics = runner.test()
    # Faces of the label 1; the persons do not count, nor their empty rows.
    for name in ('clean', 'patch'):
        assert metrics[f'{name}/face/all/num_faces'] == 2
    assert metrics['grey/face/num_patches'] == 2
    report = json.loads((tmp_path / kind / 'report.json').read_text())
    assert report['protocol']['target'] == 'face'
    assert report['protocol']['view'] == (
        'as the detector is deployed, at 160 x 160 (score >= 0.001, NMS at IoU 0.6)'
    )
    text = (tmp_path / kind / 'report.md').read_text()
    assert 'target: face' in text and 'as the detector is deployed' in text
    assert len(list((tmp_path / kind / 'pictures').glob('*.png'))) == 3


def test_detections_are_those_of_mmdets_own_test(own, tmp_path):
    """Bit by bit, where the batch norms are not merged into the convolutions."""
    alone = Config.fromfile(own / 'fcos.py')
    alone.update(work_dir=str(tmp_path / 'mmdet'), load_from=str(own / 'fcos.pth'))
    alone.experiment_name = 'alone'
    Runner.from_cfg(alone).test()
    expected = KeepDetections.found
    cfg = config(own, tmp_path / 'ours')
    cfg.model.detector.merge_norms = False
    cfg.test_evaluator = dict(type='KeepDetections')
    cfg.test_cfg.conditions = dict(clean=None)
    cfg.custom_hooks = []
    build_runner(cfg).test()
    found = KeepDetections.found
    assert found.keys() == expected.keys() and len(found) == 3
    for name, rows in expected.items():
        assert len(rows) > 5
        assert torch.equal(found[name], rows)


@pytest.mark.parametrize(
    'target, message',
    [
        (None, r"FCOS of fcos.py has 2 classes \('person', 'face'\): say which"),
        ('Face', "target 'Face': the detector FCOS of fcos.py has .* mean 'face'"),
        (7, 'target 7: the detector FCOS of fcos.py has 2 classes'),
        (dict(data='faces', detector='face'), "target 'faces': train_dataloader has"),
    ],
)
def test_a_wrong_target_stops_before_work(own, tmp_path, target, message):
    cfg = config(own, tmp_path / 'wrong', target=target)
    with pytest.raises(ValueError, match=message):
        build_runner(cfg).train_loop  # noqa: B018


def test_class_of_reader_and_target_are_one_setting(own, tmp_path):
    reader = dict(type='AutoCandidateReader', class_id=0)
    cfg = config(own, tmp_path / 'two', reader=reader)
    with pytest.raises(ValueError, match='leave class_id out'):
        build_runner(cfg)


def test_several_target_classes(own, tmp_path):
    """Each box is a candidate of each class; all of their objects get patches."""
    cfg = config(own, tmp_path / 'several', target=['face', 'person'])
    runner = build_runner(cfg)
    attacker = runner.model
    assert attacker.frozen[0].class_ids == (0, 1)
    loop = runner.train_loop
    assert attacker.labels == (0, 1)
    batch = loop.dataloader.collate_fn([loop.dataloader.dataset[0]])
    both = attacker(**batch)
    single = config(own, tmp_path / 'one', target='face')
    model = MODELS.build(single.model)
    model.patch.load_state_dict(attacker.patch.state_dict())
    model.labels = (0, 1)
    counts = []
    for name in ('person', 'face'):
        model.frozen[0].reader.class_ids = (CLASSES.index(name),)
        counts.append(int(model(**batch)['num_samples']))
    assert int(both['num_samples']) == sum(counts)


def test_names_come_from_the_checkpoint_or_the_config(own, tmp_path):
    path, weights = str(own / 'fcos.py'), str(own / 'fcos.pth')
    assert build_frozen_detector(path, weights).dataset_meta['classes'] == CLASSES
    state = torch.load(weights, weights_only=False)
    torch.save(dict(state_dict=state['state_dict']), tmp_path / 'bare.pth')
    bare = build_frozen_detector(path, str(tmp_path / 'bare.pth'))
    assert bare.dataset_meta['classes'] == CLASSES
    cfg = Config.fromfile(path)
    del cfg.test_dataloader.dataset['metainfo']
    cfg.dump(tmp_path / 'coco.py')
    inherited = config(own, tmp_path / 'x')
    inherited.model.detector.config = str(tmp_path / 'coco.py')
    inherited.model.detector.checkpoint = str(tmp_path / 'bare.pth')
    # 80 names for a head of two classes: nobody knows which are meant.
    with pytest.raises(ValueError, match='names of the 2 classes of .* are not known'):
        MODELS.build(inherited.model)
    inherited.model.target = dict(data='face', detector=1)
    assert MODELS.build(inherited.model).frozen[0].class_ids == (1,)


def test_what_says_nothing_is_told(own, tmp_path):
    """A detector that finds nothing, and patches of which none is pasted."""
    silent = copy.deepcopy(FCOS)
    silent['test_cfg']['score_thr'] = 1.0
    cfg = Config.fromfile(own / 'fcos.py')
    cfg.model = silent
    cfg.dump(tmp_path / 'silent.py')
    attack = config(own, tmp_path / 'out')
    attack.model.detector.config = str(tmp_path / 'silent.py')
    attack.test_cfg.conditions = dict(clean=None, grey=dict(type='constant', value=0.5))
    plots = tmp_path / 'out' / 'plots'
    plots.mkdir(parents=True)
    (plots / 'f_beta.png').write_bytes(b'of an earlier report')
    build_runner(attack).test()
    text = (tmp_path / 'out' / 'report.md').read_text()
    first = text.splitlines()[0]
    assert first.startswith("WARNING: the detector finds nothing in the images of 'cle")
    assert 'AF_beta has no range, as nothing was detected on clean images' in text
    assert [file.name for file in plots.iterdir()] == ['precision_recall.png']


def test_so_many_steps(own, tmp_path):
    """An epoch has two; the schedule ends with the last step."""
    cfg = config(own, tmp_path / 'steps')
    cfg.train_cfg = dict(type='PatchAttackLoop', max_epochs=20)
    cfg.param_scheduler = [
        dict(
            type='CosineAnnealingLR',
            by_epoch=True,
            eta_min=0.0,
            convert_to_iter_based=True,
        )
    ]
    set_steps(cfg, 3)
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 3 and runner.epoch == 2
    # Of the third of three steps: a cosine at two thirds.
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(0.02 * 0.25)]
    patch = runner.model.patch.pixels.detach().clone()
    cfg.update(resume=True, experiment_name='again')
    again = build_runner(cfg)
    again.train()
    assert again.iter == 3
    assert torch.equal(again.model.patch.pixels, patch)
    for steps in (0, -1):
        with pytest.raises(ValueError, match='--steps must be at least 1'):
            set_steps(cfg, steps)


def test_loop_needs_epochs_or_steps(own, tmp_path):
    for limits in (dict(), dict(max_epochs=2, max_steps=2)):
        cfg = config(own, tmp_path / 'limits')
        cfg.train_cfg = dict(type='PatchAttackLoop', **limits)
        with pytest.raises(ValueError, match='needs max_epochs or max_steps'):
            build_runner(cfg).train_loop  # noqa: B018


def test_what_is_missing_is_found_before_work(own, tmp_path):
    """Of the test, and by the tool's own order: nothing is optimised."""
    cfg = config(own, tmp_path / 'missing')
    cfg.test_dataloader.dataset.data_prefix.img = str(tmp_path)
    runner = build_runner(cfg)
    with pytest.raises(FileNotFoundError, match='test_dataloader: 3 of 3 image files'):
        preflight(runner, train=True, test=True)
    cfg = config(own, tmp_path / 'condition')
    cfg.test_cfg.conditions.other = str(tmp_path / 'other.png')
    with pytest.raises(FileNotFoundError, match='other.png'):
        preflight(build_runner(cfg), test=True)


def test_a_look_ahead_changes_nothing(own, tmp_path):
    patches = []
    for looks in (False, True):
        cfg = config(own, tmp_path / str(looks))
        runner = build_runner(cfg)
        if looks:
            preflight(runner, train=True, test=True)
        runner.train()
        patches.append(runner.model.patch.pixels.detach().clone())
    assert torch.equal(*patches)


def test_a_patch_file_of_another_size_is_told(own, tmp_path):
    save_patch(tmp_path / 'small.png', torch.rand(3, 8, 8))
    cfg = config(own, tmp_path / 'size')
    cfg.test_cfg.conditions.patch = str(tmp_path / 'small.png')
    lines = preflight(build_runner(cfg), test=True)
    assert lines[-1] == (
        'the patch of condition patch has 8 x 8 pixels, that of the attack 16 x 16'
    )
