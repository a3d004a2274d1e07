"""A tiny data set, detector and attack, trained and run once for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

META = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'instances',
    'patch_boxes',
)
FLIP_META = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


def write_faces(root: Path, split: str, count: int, seed: int) -> None:
    """Images with bright squares for faces, in WIDER FACE's layout."""
    rng = np.random.default_rng(seed)
    folder = root / f'WIDER_{split}' / 'images' / '0--Squares'
    folder.mkdir(parents=True)
    lines = []
    for index in range(count):
        image = rng.integers(0, 90, (96, 128, 3), dtype=np.uint8)
        lines += [f'0--Squares/{split}_{index}.jpg', '2']
        for x in (8, 72):
            side = int(rng.integers(16, 40))
            y = int(rng.integers(4, 96 - side - 4))
            image[y : y + side, x : x + side] = (200, 180, 160)
            lines.append(f'{x} {y} {side} {side} 0 0 0 0 0 0')
        Image.fromarray(image).save(folder / f'{split}_{index}.jpg', quality=95)
    annotation = root / 'wider_face_split' / f'wider_face_{split}_bbx_gt.txt'
    annotation.parent.mkdir(exist_ok=True)
    annotation.write_text('\n'.join(lines) + '\n')


def loader(root: Path, split: str, pipeline: list, test: bool) -> dict:
    return dict(
        batch_size=1 if test else 2,
        num_workers=0,
        persistent_workers=False,
        sampler=dict(type='DefaultSampler', shuffle=not test),
        dataset=dict(
            type='WiderFaceDataset',
            data_root=str(root),
            test_mode=test,
            ann_file=f'wider_face_split/wider_face_{split}_bbx_gt.txt',
            data_prefix=dict(img=f'WIDER_{split}/images/'),
            pipeline=pipeline,
        ),
    )


@pytest.fixture(scope='session')
def workspace(tmp_path_factory, tiny_sln) -> Path:
    """A data set, a detector config and an attack config."""
    root = tmp_path_factory.mktemp('whole')
    write_faces(root / 'data', 'train', 4, seed=0)
    write_faces(root / 'data', 'val', 3, seed=1)
    crop = [
        dict(type='LoadIntactImage'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='RandomFaceScaleCrop', crop_size=96, face_size=(16, 48)),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackDetInputs', meta_keys=FLIP_META),
    ]
    plain = [
        dict(type='LoadIntactImage'),
        dict(type='Resize', scale_factor=1.0, keep_ratio=True),
        dict(type='PackDetInputs', meta_keys=META),
    ]
    pyramid = [
        dict(type='LoadIntactImage'),
        dict(type='PastePatch'),
        dict(
            type='TestTimeAug',
            transforms=[
                [
                    dict(type='Resize', scale_factor=s, keep_ratio=True)
                    for s in (0.5, 1.0)
                ],
                [dict(type='PackDetInputs', meta_keys=META)],
            ],
        ),
    ]
    runtime = dict(
        custom_imports=dict(imports=['mmdet_facepatch'], allow_failed_imports=False),
        default_scope='mmdet',
        randomness=dict(seed=0),
        default_hooks=dict(checkpoint=dict(type='SafeCheckpointHook', interval=1)),
        val_evaluator=dict(type='WiderFaceMetric'),
        test_evaluator=dict(type='WiderFaceMetric'),
    )
    detector = dict(
        **runtime,
        model=tiny_sln,
        train_dataloader=loader(root / 'data', 'train', crop, False),
        val_dataloader=loader(root / 'data', 'val', plain, True),
        test_dataloader=loader(root / 'data', 'val', plain, True),
        train_cfg=dict(type='ReproducibleEpochLoop', max_epochs=1, val_interval=1),
        val_cfg=dict(type='ValLoop'),
        test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)),
        custom_hooks=[dict(type='ReportHook')],
        tta_model=dict(
            type='PyramidTTA', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.3))
        ),
        tta_pipeline=[pyramid[0], *pyramid[2:]],
    )
    Config(detector).dump(root / 'detector.py')
    attack = dict(
        **runtime,
        model=dict(
            type='PatchAttacker',
            detector=dict(
                config=str(root / 'detector.py'),
                checkpoint=str(root / 'train' / 'epoch_1.pth'),
            ),
            patch=dict(type='UniversalPatch', size=16),
            sample_set=dict(type='PatchIoUSampleSet', face_iou_thr=0.3),
            tta_model=dict(
                type='PyramidTTA', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.3))
            ),
        ),
        train_dataloader=loader(root / 'data', 'train', crop, False),
        val_dataloader=loader(root / 'data', 'val', pyramid, True),
        test_dataloader=loader(root / 'data', 'val', pyramid, True),
        train_cfg=dict(type='PatchAttackLoop', max_epochs=2, val_interval=2),
        val_cfg=dict(type='PatchValLoop'),
        test_cfg=dict(
            type='PatchTestLoop',
            conditions=dict(
                clean=None, grey=dict(type='constant', value=0.5), patch='current'
            ),
        ),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=2, by_epoch=True)],
        custom_hooks=[dict(type='PatchHook'), dict(type='ReportHook', pictures=1)],
    )
    Config(attack).dump(root / 'attack.py')
    return root


@pytest.fixture(scope='session')
def trained(workspace, run) -> Path:
    done = run(
        'train.py',
        workspace / 'detector.py',
        '--work-dir',
        workspace / 'train',
        python=sys.executable,
    )
    assert done.returncode == 0, done.stderr
    return workspace


@pytest.fixture(scope='session')
def attacked(trained, run) -> Path:
    done = run(
        'attack.py',
        trained / 'attack.py',
        '--work-dir',
        trained / 'attack',
        python=sys.executable,
    )
    assert done.returncode == 0, done.stderr
    (trained / 'attack.log').write_text(done.stdout + done.stderr)
    return trained
