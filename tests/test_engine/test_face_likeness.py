"""Patches alone under the test loop: conditions, tables, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_facepatch.attack import build_frozen_detector, detector_digest, save_patch
from mmdet_facepatch.engine import build_runner, load_config, report_on
from mmdet_facepatch.engine.hooks.metric_table_hook import metric_tables
from mmdet_facepatch.experiments import read_spec
from mmdet_facepatch.experiments.executor import CONFIG
from mmdet_facepatch.experiments.executor import _command as run_command
from mmdet_facepatch.experiments.publish import published_name
from mmdet_facepatch.models.detectors import BlackBoxDetector
from mmdet_facepatch.models.detectors.black_box import instances_of

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'face_likeness'
SMALL = {
    f'test_dataloader.dataset.{key}': value
    for key, value in dict(
        size=64, sides=(8, 16), shifts=((0, 0), (5, -3)), photographs=()
    ).items()
}


@MODELS.register_module()
class WhiteBlackBox(BlackBoxDetector):
    """Takes white for a face, the more the larger; and always one in the corner."""

    def detect(self, image):
        boxes, scores = [[0.0, 0.0, 9.0, 9.0]], [0.9]
        rows, columns = torch.nonzero(image.amin(dim=0) == 255, as_tuple=True)
        if len(rows):
            x1, y1, x2, y2 = (f(v).item() for f in (min, max) for v in (columns, rows))
            boxes.append([x1, y1, x2 + 1, y2 + 1])
            scores.append((x2 + 1 - x1) / 32)
        return instances_of(torch.tensor(boxes), torch.tensor(scores))


@pytest.fixture
def config(tmp_path):
    """The shipped config with a detector that is easy to predict."""
    box = dict(
        type='WhiteBlackBox',
        test_cfg=dict(),
        data_preprocessor=dict(type='DetDataPreprocessor'),
    )
    Config(dict(model=box)).dump(tmp_path / 'box.py')
    cfg = load_config(
        str(CONFIGS / 'yunet.py'),
        options={
            **SMALL,
            'model.detector.config': str(tmp_path / 'box.py'),
            'log_level': 'ERROR',
        },
        work_dir=str(tmp_path / 'out'),
    )
    cfg.test_cfg.conditions = dict(grey=dict(type='constant', value=0.5))
    return cfg


def test_scores_of_every_condition(config, tmp_path):
    """Those on the patch, not those in the corner; and 0 without a detection."""
    save_patch(tmp_path / 'white.npy', torch.ones(3, 8, 8))
    config.test_cfg.conditions['clean'] = None
    report_on(config, str(tmp_path / 'white.npy'))
    found = build_runner(config).test()
    folder = tmp_path / 'out'
    content = json.loads((folder / 'metrics.json').read_text())
    nothing = {f'likeness/grey{side}': 0.0 for side in ('', '/8', '/16')}
    assert content['conditions'] == dict(
        grey=nothing,
        clean=nothing,
        patch={
            'likeness/grey': 0.5,
            'likeness/grey/8': 0.25,
            'likeness/grey/16': 0.5,
        },
    )
    assert found['patch/likeness/grey'] == 0.5
    protocol = content['protocol']
    assert protocol['detector_digest'] == detector_digest(
        build_frozen_detector(str(tmp_path / 'box.py'))
    )
    assert protocol['dataset']['sides'] == [8, 16]
    assert '| patch ' in (folder / 'metrics.md').read_text()
    written = (folder / 'metrics.json').read_bytes()
    build_runner(config).test()
    assert (folder / 'metrics.json').read_bytes() == written


def test_sides_from_the_command_line(config):
    """Lists, as --cfg-options gives them."""
    config.test_dataloader.dataset.update(sides=[12], shifts=[[0, 0]])
    config.test_cfg.conditions.grey.value = 1.0
    assert build_runner(config).test() == {
        'grey/likeness/grey': 0.375,
        'grey/likeness/grey/12': 0.375,
    }


def test_a_plain_test_loop_has_one_condition(config, tmp_path):
    config.test_cfg = dict(type='TestLoop')
    build_runner(config).test()
    content = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert list(content['conditions']) == ['clean']


def test_tables_by_the_last_part_of_the_name():
    text = metric_tables(
        dict(
            a={'f/g': 0.5, 'f/g/8': 0.25, 'loss': 1.0},
            b={'f/g': 1.0, 'f/g/8': 0.125},
        )
    )
    lines = [' '.join(line.split()) for line in text.splitlines()]
    assert [line for line in lines if not line.startswith('|:')] == [
        '**f**',
        '',
        '| | g |',
        '| a | 0.500 |',
        '| b | 1.000 |',
        '',
        '**f/g**',
        '',
        '| | 8 |',
        '| a | 0.250 |',
        '| b | 0.125 |',
        '',
        '| | loss |',
        '| a | 1.000 |',
        '| b | - |',
    ]


@pytest.mark.parametrize('name', ['sln', 'centerface', 'yunet', 'mtcnn'])
def test_shipped_configs(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert Path(cfg.model.detector.config).is_file()
    assert (cfg.model.detector.checkpoint is None) == (name != 'sln')
    assert list(cfg.test_cfg.conditions) == ['grey', 'noise', 'coffee', 'face A']


def test_experiment():
    """All patches on all detectors, on the canvases, without saved detections."""
    spec = read_spec(str(CONFIGS.parent / 'experiments' / 'face_likeness.py'))
    assert len(spec.entries) == 16 * 8
    assert spec.matrix.number == 'likeness/grey'
    data = Config.fromfile(spec.data)
    assert data.test_evaluator.type == 'FaceLikenessMetric'
    shipped = read_spec(str(CONFIGS.parent / 'experiments' / 'zoo_patches.py'))
    names = {published_name(entry.name) for entry in shipped.entries}
    files = [Path(entry.patch.get('path', '')) for entry in spec.entries]
    pasted = {path.stem for path in files if 'zoo' in path.parts}
    assert len(pasted) == 12 and pasted <= names


@pytest.mark.parametrize(
    ('hook', 'saves'), [('MetricTableHook', False), ('PatchReportHook', True)]
)
def test_experiments_save_what_can_be_saved(hook, saves, tmp_path):
    (tmp_path / CONFIG).write_text(f'custom_hooks = [dict(type={hook!r})]\n')
    command = run_command(tmp_path, 'evaluation', tmp_path, processes=1)
    assert ('--save-predictions' in command) == saves
