"""What users see: TensorBoard, pictures of a test, dumped detections, browsing."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmdet_facepatch.engine import load_attack_history
from mmdet_facepatch.evaluation import load_report

pytestmark = pytest.mark.slow


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))


@pytest.fixture(scope='module')
def logged(run, trained):
    """An attack with two backends; every detection is drawn."""
    cfg = Config.fromfile(trained / 'attack.py')
    cfg.visualizer = dict(
        type='FaceVisualizer',
        name='visualizer',
        vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
    )
    cfg.log_processor = dict(type='FaceLogProcessor')
    cfg.default_hooks.visualization = dict(
        type='FaceVisualizationHook', draw=True, interval=2, score_thr=0.1
    )
    cfg.custom_hooks.append(dict(type='AttackHistoryHook'))
    cfg.dump(trained / 'logged.py')
    folder = trained / 'logged'
    done = run('attack.py', trained / 'logged.py', '--work-dir', folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


def test_tensorboard_has_patch_loss_and_validation(logged):
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator'
    )
    folder, _ = logged
    events = next(folder.glob('*/vis_data/events.out*'))
    found = accumulator.EventAccumulator(str(events.parent), {'images': 0}).Reload()
    patches = {one.step: one for one in found.Images('patch')}
    assert sorted(patches) == [0, 1, 2]
    for step, event in patches.items():
        shown = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        assert np.array_equal(shown, read(folder / 'patches' / f'epoch_000{step}.png'))
    scalars = found.Tags()['scalars']
    assert {'loss', 'lr', 'face/all/AP', 'clean/face/all/AP'} <= set(scalars)
    assert [one.step for one in found.Scalars('face/all/AP')] == [2]
    assert {'val_clean', 'val_patch', 'test_grey', 'test_patch'} <= set(
        found.Tags()['images']
    )


def test_log_lines_are_short(logged):
    _, output = logged
    lines = [
        line for line in output.splitlines() if 'Epoch(' in line and '[3/3]' in line
    ]
    conditions = [line.split('  ')[1] for line in lines]
    assert conditions == ['clean', 'patch', 'clean', 'grey', 'patch']
    assert all(len(line) < 250 for line in lines)
    assert all('face/all/AP: 0.' in line for line in lines)
    assert 'on_patch@calibrated' not in lines[0]
    assert 'on_patch@calibrated' in lines[1]


def test_history_tells_clean_from_patched(logged):
    folder, output = logged
    history = load_attack_history(folder)
    report = load_report(folder / 'report.json')['conditions']
    key = 'all/recall@0.5'
    assert history['held_out_clean'][key] == report['clean']['numbers'][key]
    assert history['epochs'][1]['held_out'] is not None
    assert history['epochs'][0]['held_out'] is None


def test_dump_and_pictures_of_a_test(run, trained):
    folder = trained / 'shown'
    done = run(
        'test.py',
        trained / 'detector.py',
        trained / 'train' / 'epoch_1.pth',
        *('--work-dir', folder, '--out', folder / 'all.pkl', '--show-dir', 'shown'),
    )
    assert done.returncode == 0, done.stderr
    dumped = pickle.loads((folder / 'all.pkl').read_bytes())
    assert [one['img_id'] for one in dumped] == [
        f'0--Squares/val_{i}' for i in range(3)
    ]
    report = load_report(folder / 'report.json')['conditions']['clean']
    count = sum(len(one['pred_instances']['scores']) for one in dumped)
    assert count == report['data']['num_detections']
    pictures = sorted(folder.glob('*/shown/clean/0--Squares/*.jpg'))
    assert [path.stem for path in pictures] == ['val_0', 'val_1', 'val_2']
    assert read(pictures[0]).shape == (96, 128, 3)


def test_dump_must_be_a_pickle(run, trained):
    done = run('test.py', trained / 'detector.py', '--out', 'all.json')
    assert done.returncode == 2 and 'must end with .pkl' in done.stderr


@pytest.mark.parametrize('phase', ['train', 'test'])
def test_browse_pasted_patches(run, trained, phase):
    """Grey patches on bright faces, and blue lines around these."""
    pictures = {}
    for patch in (None, 'init'):
        out = trained / f'browse_{phase}_{patch}'
        done = run(
            'browse_dataset.py',
            trained / 'attack.py',
            *('--phase', phase, '--not-show', '--output-dir', out, '--num', 2),
            *(() if patch is None else ('--patch', patch)),
            '--cfg-options',
            'model.patch.init.type=constant',
            'model.patch.init.value=0.0',
        )
        assert done.returncode == 0, done.stderr
        files = sorted(out.glob('*.png'))
        assert len(files) == 2
        pictures[patch] = [read(file) for file in files]
    if phase == 'test':
        for plain, pasted in zip(pictures[None], pictures['init'], strict=True):
            changed = (plain != pasted).any(axis=-1)
            black = (pasted < 40).all(axis=-1) & changed
            # A quarter of two faces of 16 to 40 pixels.
            assert 2 * 8 * 8 * 0.5 < black.sum() < 2 * 20 * 20 * 1.2


def test_browse_needs_an_attack_for_its_patch(run, trained):
    done = run(
        'browse_dataset.py',
        trained / 'detector.py',
        *('--patch', 'init', '--not-show', '--output-dir', trained / 'none'),
    )
    assert done.returncode != 0 and 'is no config of an attack' in done.stderr
    done = run('browse_dataset.py', trained / 'detector.py', '--not-show')
    assert 'leaves nothing to do' in done.stderr
