"""Every config loads, and every detector in them can be built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from mmdet_facepatch.engine import data_config, load_config
from mmdet_facepatch.experiments import read_spec

ROOT = Path(__file__).resolve().parents[1] / 'configs'
ALL = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob('*.py')
    if '_base_' not in path.parts
)
DETECTORS = [name for name in ALL if '/' not in name]
WHOLE = [name for name in DETECTORS if not name.endswith('_subset.py')]
SUBSET = [name for name in DETECTORS if name.endswith('_subset.py')]

# Nothing is trained by these.
EVALUATIONS = [name for name in ALL if name.startswith(('blackbox/', 'face_like'))]
EXPERIMENTS = [name for name in ALL if name.startswith(('experiments/', 'transfer/'))]


@pytest.mark.parametrize(
    'name',
    [name for name in ALL if name not in [*EXPERIMENTS, *EVALUATIONS]],
)
def test_loads(name):
    assert Config.fromfile(ROOT / name).train_dataloader.dataset.pipeline


@pytest.mark.parametrize('name', ALL)
def test_prints(name):
    """mmdet's print_config.py and every dump need the text."""
    assert Config.fromfile(ROOT / name).pretty_text


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_experiment_names_what_exists(name):
    spec = read_spec(str(ROOT / name))
    assert len(spec.entries) > 1
    assert data_config(spec.data, ROOT).test_dataloader
    for entry in spec.entries:
        for value in entry.paper.values():
            assert value.count('/') == 1 or value == '-'
    for path in spec.attacks.values():
        assert Path(path).is_file()
    for detector in spec.detectors.values():
        assert Path(detector['config']).is_file()


METHODS = [name for name in ALL if name.startswith('attack/patch_')]


@pytest.mark.parametrize('data', ['embedded', 'subset', 'widerface'])
@pytest.mark.parametrize('method', METHODS)
def test_attack_is_whole_on_all_data(method, data):
    """Keys of the data config replace those of the method, they are not merged."""
    cfg = load_config(str(ROOT / method), overlay=data_config(data, ROOT))
    pixel = torch.nn.Parameter(torch.zeros(1))
    settings = dict(cfg.optim_wrapper.optimizer, params=[pixel])
    optimizer = OPTIMIZERS.build(settings)
    assert 0.002 < optimizer.defaults['lr'] < 0.1
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert cfg.train_cfg.type == 'PatchAttackLoop'
    assert cfg.train_cfg.val_interval <= cfg.train_cfg.max_epochs
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type and loader.sampler.type and loader.batch_size


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_builds(name):
    model = Config.fromfile(ROOT / name).model
    model.backbone.init_cfg = None
    detector = MODELS.build(model)
    assert sum(p.numel() for p in detector.parameters()) > 1e6


@pytest.mark.parametrize('names', [WHOLE, SUBSET], ids=['whole', 'subset'])
def test_frameworks_differ_in_the_model_only(names):
    """Same data, schedule and test pyramid, or their numbers would not compare."""
    configs = [Config.fromfile(ROOT / name).to_dict() for name in names]
    assert len(configs) >= 4
    for cfg in configs[1:]:
        for key in (
            'train_dataloader',
            'test_dataloader',
            'test_evaluator',
            'tta_pipeline',
            'train_cfg',
            'param_scheduler',
            'custom_hooks',
        ):
            assert cfg[key] == configs[0][key], key
        assert (
            cfg['optim_wrapper']['optimizer']
            == (configs[0]['optim_wrapper']['optimizer'])
        )


@pytest.mark.parametrize('name', DETECTORS)
def test_no_cap_on_detections(name):
    """One image of WIDER FACE has 709 faces."""
    cfg = Config.fromfile(ROOT / name)
    test_cfg = cfg.model.test_cfg.get('rcnn', cfg.model.test_cfg)
    assert test_cfg.max_per_img >= 10000
    assert test_cfg.score_thr == 0.01
    assert cfg.tta_model.tta_cfg.get('max_per_img') is None
