"""Train, attack and test, short but whole, through the command-line tools."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.engine.hooks import rng_state, set_rng_state
from mmdet_facepatch.engine.loops import PatchTestLoop, find_paste_transform
from mmdet_facepatch.evaluation import load_report

ROOT = Path(__file__).resolve().parents[2]
META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
        'instances', 'patch_boxes')
FLIP_META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
             'flip', 'flip_direction')


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
            image[y:y + side, x:x + side] = (200, 180, 160)
            lines.append(f'{x} {y} {side} {side} 0 0 0 0 0 0')
        Image.fromarray(image).save(folder / f'{split}_{index}.jpg', quality=95)
    annotation = root / 'wider_face_split' / f'wider_face_{split}_bbx_gt.txt'
    annotation.parent.mkdir(exist_ok=True)
    annotation.write_text('\n'.join(lines) + '\n')


def loader(root: Path, split: str, pipeline: list, test: bool) -> dict:
    return dict(
        batch_size=1 if test else 2, num_workers=0, persistent_workers=False,
        sampler=dict(type='DefaultSampler', shuffle=not test),
        dataset=dict(
            type='WiderFaceDataset', data_root=str(root), test_mode=test,
            ann_file=f'wider_face_split/wider_face_{split}_bbx_gt.txt',
            data_prefix=dict(img=f'WIDER_{split}/images/'), pipeline=pipeline))


@pytest.fixture(scope='module')
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
        dict(type='PackDetInputs', meta_keys=FLIP_META)]
    plain = [
        dict(type='LoadIntactImage'),
        dict(type='Resize', scale_factor=1.0, keep_ratio=True),
        dict(type='PackDetInputs', meta_keys=META)]
    pyramid = [
        dict(type='LoadIntactImage'),
        dict(type='PastePatch'),
        dict(type='TestTimeAug', transforms=[
            [dict(type='Resize', scale_factor=s, keep_ratio=True)
             for s in (0.5, 1.0)],
            [dict(type='PackDetInputs', meta_keys=META)]])]
    runtime = dict(
        custom_imports=dict(imports=['mmdet_facepatch'],
                            allow_failed_imports=False),
        default_scope='mmdet', randomness=dict(seed=0),
        val_evaluator=dict(type='WiderFaceMetric'),
        test_evaluator=dict(type='WiderFaceMetric'))
    detector = dict(
        **runtime, model=tiny_sln,
        train_dataloader=loader(root / 'data', 'train', crop, False),
        val_dataloader=loader(root / 'data', 'val', plain, True),
        test_dataloader=loader(root / 'data', 'val', plain, True),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1),
        val_cfg=dict(type='ValLoop'), test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(type='OptimWrapper',
                           optimizer=dict(type='AdamW', lr=1e-3)),
        custom_hooks=[dict(type='EvaluationReportHook')],
        tta_model=dict(type='PyramidTTA', tta_cfg=dict(
            nms=dict(type='nms', iou_threshold=0.3))),
        tta_pipeline=[pyramid[0], *pyramid[2:]])
    Config(detector).dump(root / 'detector.py')
    attack = dict(
        **runtime,
        model=dict(
            type='PatchAttacker',
            detector=dict(config=str(root / 'detector.py'),
                          checkpoint=str(root / 'train' / 'epoch_1.pth')),
            patch=dict(type='UniversalPatch', size=16),
            sample_set=dict(type='PatchIoUSampleSet', iou_thr=0.3),
            tta_model=dict(type='PyramidTTA', tta_cfg=dict(
                nms=dict(type='nms', iou_threshold=0.3)))),
        train_dataloader=loader(root / 'data', 'train', crop, False),
        val_dataloader=loader(root / 'data', 'val', pyramid, True),
        test_dataloader=loader(root / 'data', 'val', pyramid, True),
        train_cfg=dict(type='PatchAttackLoop', max_epochs=2, val_interval=2),
        val_cfg=dict(type='PatchValLoop'),
        test_cfg=dict(type='PatchTestLoop', conditions=dict(
            clean=None, grey=dict(type='constant', value=0.5), patch='current')),
        optim_wrapper=dict(type='OptimWrapper',
                           optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=2, by_epoch=True)],
        custom_hooks=[dict(type='PatchHook'),
                      dict(type='PatchReportHook', pictures=1)])
    Config(attack).dump(root / 'attack.py')
    return root


def run(tool: str, *args: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / tool), *map(str, args)],
        cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope='module')
def trained(workspace) -> Path:
    done = run('train.py', workspace / 'detector.py', '--work-dir',
               workspace / 'train')
    assert done.returncode == 0, done.stderr
    return workspace


@pytest.fixture(scope='module')
def attacked(trained) -> Path:
    done = run('attack.py', trained / 'attack.py', '--work-dir', trained / 'attack')
    assert done.returncode == 0, done.stderr
    (trained / 'attack.log').write_text(done.stdout + done.stderr)
    return trained


class TestWhole:

    def test_training_leaves_a_checkpoint(self, trained):
        assert (trained / 'train' / 'epoch_1.pth').is_file()

    def test_pyramid_test(self, trained):
        folder = trained / 'test'
        done = run('test.py', trained / 'detector.py',
                   trained / 'train' / 'epoch_1.pth', '--tta', '--save-predictions',
                   'npz', '--work-dir', folder)
        assert done.returncode == 0, done.stderr
        assert 'face/all/AP' in done.stdout + done.stderr
        report = load_report(folder / 'report.json')
        assert list(report['conditions']) == ['clean']
        assert report['conditions']['clean']['data']['confidence'] == 'margins'
        protocol = report['protocol']
        assert protocol['scales'] == [0.5, 1.0]
        assert protocol['test_cfg']['score_thr'] == 0.01
        assert protocol['merge']['nms']['iou_threshold'] == 0.3
        for name in ('report.md', 'curves.npz', 'plots/f_beta.png',
                     'plots/precision_recall.png'):
            assert (folder / name).stat().st_size > 0

    @pytest.mark.parametrize('form', ['npz', 'txt'])
    def test_saved_predictions_give_the_same_numbers(self, trained, form):
        """Written by tools/test.py, judged again by tools/eval_predictions.py."""
        folder = trained / f'again_{form}'
        done = run('test.py', trained / 'detector.py',
                   trained / 'train' / 'epoch_1.pth', '--save-predictions', form,
                   '--work-dir', folder)
        assert done.returncode == 0, done.stderr
        path = folder / 'predictions' / ('clean.npz' if form == 'npz' else 'clean')
        text = trained / 'data' / 'wider_face_split' / 'wider_face_val_bbx_gt.txt'
        done = run('eval_predictions.py', f'clean={path}', '--gt', text, '--out',
                   folder / 'eval')
        assert done.returncode == 0, done.stderr
        numbers = [
            load_report(where / 'report.json')['conditions']['clean']['numbers']
            for where in (folder, folder / 'eval')]
        # The text format has no margins: the scores' log-odds differ a little.
        exact = numbers[0].keys() if form == 'npz' else [
            key for key in numbers[0] if '/AF' not in key]
        for key in exact:
            assert numbers[1][key] == pytest.approx(
                numbers[0][key], abs=1e-12, nan_ok=True), key
        if form == 'txt':
            done = run('test.py', trained / 'detector.py',
                       trained / 'train' / 'epoch_1.pth', '--save-predictions', form,
                       '--work-dir', folder)
            assert done.returncode != 0
            assert 'holds predictions already' in done.stderr

    def test_attack_writes_everything(self, attacked):
        folder = attacked / 'attack'
        initial = load_patch(folder / 'patches' / 'epoch_0000.png')
        final = load_patch(folder / 'patch.npy', size=16)
        assert (folder / 'patches' / 'epoch_0002.png').is_file()
        eight_bit = load_patch(folder / 'patch.png')
        assert (final - eight_bit).abs().max() <= 0.5 / 255 + 1e-6
        assert (final - initial).abs().max() > 0.05
        report = json.loads((folder / 'report.json').read_text())
        assert list(report['conditions']) == ['clean', 'grey', 'patch']
        assert list(report['comparisons']) == ['grey', 'patch']
        assert report['conditions']['patch']['numbers']['num_patches'] == 6
        assert len(list((folder / 'pictures').glob('*.png'))) == 1
        assert 'calibrated' in (attacked / 'attack.log').read_text()

    def test_checkpoint_holds_the_patch_and_no_detector(self, attacked):
        checkpoint = torch.load(attacked / 'attack' / 'epoch_2.pth',
                                map_location='cpu', weights_only=False)
        assert list(checkpoint['state_dict']) == ['patch.pixels']
        for key in ('optimizer', 'param_schedulers', 'rng', 'detector_digest'):
            assert checkpoint[key]

    def test_resumed_run_gives_the_same_patch(self, attacked):
        """Two epochs at once, or one, then the other in a new process."""
        folder = attacked / 'resumed'
        whole = load_patch(attacked / 'attack' / 'patch.npy')
        folder.mkdir()
        first = attacked / 'attack' / 'epoch_1.pth'
        done = run('attack.py', attacked / 'attack.py', '--work-dir', folder,
                   '--resume', first, '--no-report')
        assert done.returncode == 0, done.stderr
        assert torch.equal(load_patch(folder / 'patch.npy'), whole)

    def test_report_on_a_patch_file(self, attacked):
        folder = attacked / 'again'
        done = run('attack.py', attacked / 'attack.py', '--work-dir', folder,
                   '--report-only', attacked / 'attack' / 'patch.npy')
        assert done.returncode == 0, done.stderr
        first, second = (
            json.loads((path / 'report.json').read_text())['conditions']
            for path in (attacked / 'attack', folder))
        assert first == second

    def test_misspelt_option_and_missing_data(self, attacked):
        done = run('attack.py', attacked / 'attack.py', '--cfg-options',
                   'train_cgf.max_epochs=1')
        assert done.returncode != 0
        assert "did you mean 'train_cfg'" in done.stderr
        done = run('attack.py', attacked / 'attack.py', '--data', 'no_such_data')
        assert 'no_such_data' in done.stderr and 'embedded' in done.stderr


class TestRngState:

    def test_round_trip(self, tmp_path):
        torch.save(rng_state(), tmp_path / 'rng.pth')
        expected = np.random.rand(3), torch.rand(3)
        set_rng_state(torch.load(tmp_path / 'rng.pth', weights_only=True))
        assert np.array_equal(np.random.rand(3), expected[0])
        assert torch.equal(torch.rand(3), expected[1])


class TestLoops:

    def test_first_condition_must_be_clean(self, monkeypatch):
        monkeypatch.setattr(PatchTestLoop.__mro__[1], '__init__',
                            lambda self, *args, **kwargs: None)
        with pytest.raises(ValueError, match='first condition'):
            PatchTestLoop(None, None, None, conditions=dict(patch='current'))

    def test_pipeline_without_paste(self):
        dataset = type('D', (), dict(
            pipeline=type('P', (), dict(transforms=[]))()))()
        with pytest.raises(ValueError, match='0 PastePatch steps'):
            find_paste_transform(type('L', (), dict(dataset=dataset))())
