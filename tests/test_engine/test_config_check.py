"""Misspelt keys and types are found before anything is built."""

from __future__ import annotations

from pathlib import Path

import mmdet
import pytest
from mmdet.registry import METRICS, MODELS
from mmengine.config import Config
from torch import nn

from mmdet_facepatch.engine import load_config
from mmdet_facepatch.engine.config_check import arguments_of, check_config

ROOT = Path(__file__).resolve().parents[2] / 'configs'
MMDET = Path(mmdet.__file__).parent / '.mim' / 'configs'
OWN = [path for path in sorted(ROOT.rglob('*.py')) if '_base_' not in path.parts]
# One of each folder; all of them were tried.
SHIPPED = [
    min(found)
    for folder in sorted(MMDET.iterdir())
    if folder.name != '_base_' and (found := [*folder.glob('*.py')])
]
ATTACK = str(ROOT / 'attack' / 'patch_combination.py')


def message(**cfg):
    with pytest.raises(KeyError) as error:
        check_config(cfg)
    return error.value.args[0]


class Base:
    def __init__(self, a, b=1):
        pass


class Passing(Base):
    def __init__(self, c, **kwargs):
        super().__init__(b=2, **kwargs)


class Grandparents(Passing):
    """Passes its parent by, as mmdet's VFNetHead does."""

    def __init__(self, d, **kwargs):
        super(Passing, self).__init__(**kwargs)


class Popping(Base):
    def __init__(self, **kwargs):
        self.e = kwargs.pop('e')
        super().__init__(**kwargs)


class Elsewhere(Base):
    def __init__(self, f, **settings):
        self.settings = Passing(**settings)
        super().__init__(1)


class Said(Elsewhere):
    kwargs_of = Passing


class Plain(Passing):
    """Without a constructor of its own."""


def function(a, *, g=1):
    return a


def open_function(a, **kwargs):
    return a


class TestArguments:
    @pytest.mark.parametrize(
        ('builder', 'expected'),
        [
            (Base, 'ab'),
            (Passing, 'abc'),
            (Plain, 'abc'),
            (Grandparents, 'abd'),
            (Said, 'abcf'),
            (function, 'ag'),
            (Popping, None),
            (Elsewhere, None),
            (open_function, None),
            (nn.Module, None),
        ],
    )
    def test_names(self, builder, expected):
        assert arguments_of(builder) == (expected and frozenset(expected))


class TestMistakes:
    @pytest.mark.parametrize(
        ('options', 'expected'),
        [
            (
                {'model.sample_set.score_thrr': 0.3},
                'model.sample_set.score_thrr: PatchCombinationSampleSet has no '
                "argument 'score_thrr'; did you mean 'score_thr'?",
            ),
            (
                {'model.sample_set.type': 'PatchScoreSampelSet'},
                "model.sample_set.type: 'PatchScoreSampelSet' is not registered; did "
                "you mean 'PatchScoreSampleSet'?",
            ),
            (
                {'model.type': 'PatchAtacker'},
                "model.type: 'PatchAtacker' is not registered; did you mean "
                "'PatchAttacker'?",
            ),
            (
                {'model.placement.zzz': 1},
                "model.placement.zzz: PatchPlacement has no argument 'zzz'; it has "
                'alpha, center',
            ),
            (
                {'test_evaluator.delta': [0.5], 'val_evaluator': None},
                "test_evaluator.delta: WiderFaceMetric has no argument 'delta'; did "
                "you mean 'deltas'?",
            ),
            (
                {'train_dataloader.dataset.pipeline.2.crop': 3},
                'train_dataloader.dataset.pipeline.2.crop: RandomFaceScaleCrop has no '
                "argument 'crop'; did you mean 'crop_size'?",
            ),
            (
                {'train_dataloader.dataset.pipeline.3.type': 'RandomFlipp'},
                "train_dataloader.dataset.pipeline.3.type: 'RandomFlipp' is not "
                "registered; did you mean 'RandomFlip'?",
            ),
            (
                {'train_dataloader.batch_sice': 3},
                '--cfg-options train_dataloader.batch_sice: train_dataloader has no '
                "'batch_sice'; did you mean 'batch_size'?",
            ),
            (
                {'train_dataloader.prefetch': 3},
                'train_dataloader.prefetch: a data loader has no argument '
                "'prefetch'; did you mean 'prefetch_factor'?",
            ),
            (
                {'default_hooks.checkpoint.intervall': 3},
                'default_hooks.checkpoint.intervall: SafeCheckpointHook has no '
                "argument 'intervall'; did you mean 'interval'?",
            ),
            (
                {'optim_wrapper.optimizer.lrr': 3},
                "optim_wrapper.optimizer.lrr: Adam has no argument 'lrr'; did you mean "
                "'lr'?",
            ),
            (
                {'env_cfg.mp_cfg.mp_start_methd': 'fork'},
                '--cfg-options env_cfg.mp_cfg.mp_start_methd: env_cfg.mp_cfg has no '
                "'mp_start_methd'; did you mean 'mp_start_method'?",
            ),
            (
                {'model.detector.chekpoint': 'x.pth'},
                '--cfg-options model.detector.chekpoint: model.detector has no '
                "'chekpoint'; did you mean 'checkpoint'?",
            ),
        ],
    )
    def test_on_the_command_line(self, options, expected):
        with pytest.raises(KeyError) as error:
            load_config(ATTACK, options=options)
        assert error.value.args == (expected,)

    def test_in_a_config_that_inherits_from_a_package(self):
        """mmengine notes the package in each dict."""
        options = {'model.sample_set.score_thrr': 0.3}
        with pytest.raises(KeyError, match="did you mean 'score_thr'"):
            load_config(str(ROOT / 'attack/custom.py'), options=options)

    def test_all_at_once(self):
        pipeline = [dict(type='RandomFlip', probb=i) for i in range(7)]
        text = message(train_dataloader=dict(dataset=dict(pipeline=pipeline)))
        assert text.count("did you mean 'prob'?") == 5
        assert text.endswith('; and 2 more')

    def test_in_a_wrapped_data_set(self):
        inner = dict(type='CocoDataset', ann_fil='a.json')
        outer = dict(type='RepeatDataset', times=2, dataset=inner)
        assert message(train_dataloader=dict(dataset=outer)) == (
            'train_dataloader.dataset.dataset.ann_fil: CocoDataset has no argument '
            "'ann_fil'; did you mean 'ann_file'?"
        )


class TestNoMistakes:
    @pytest.mark.parametrize(
        'options',
        [
            # One more beside those that are there, or of another name.
            {'test_cfg.conditions.patch2': 'current'},
            {'test_cfg.conditions.grey2': dict(type='constant', value=0.2)},
            {'default_hooks.checkpoint2': dict(type='CheckpointHook', priority=3)},
            {'optim_wrapper.paramwise_cfg': dict(bias_lr_mult=2)},
            {'optim_wrapper.clip_grad': dict(max_norm=1)},
            {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.loss_scale': 2.0},
            {'train_dataloader.num_batch_per_epoch': 3},
            {'train_dataloader.collate_fn': dict(type='pseudo_collate')},
            {'param_scheduler.0.T_max': 3},
            {'val_evaluator.deltas': [0.5], 'val_evaluator.bootstrap': 0},
            {'find_unused_parameters': True},
            {'model_wrapper_cfg.type': 'MMDistributedDataParallel'},
        ],
        ids=str,
    )
    def test_on_the_command_line(self, options):
        load_config(ATTACK, options=options)

    @pytest.mark.parametrize('path', OWN, ids=lambda path: path.stem)
    def test_own_configs(self, path):
        check_config(Config.fromfile(path))

    @pytest.mark.slow
    @pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.parent.name)
    def test_configs_of_mmdet(self, path):
        try:
            cfg = Config.fromfile(path)
        except (ImportError, FileNotFoundError) as error:
            pytest.skip(f'cannot be read: {error}')
        check_config(cfg)

    @pytest.mark.parametrize(
        ('name', 'part', 'registry'),
        [
            ('v3det/fcos_swinb_fpn_8x4_sample1e-3_mstrain_v3det_2x.py', 'neck', MODELS),
            (
                'pascal_voc/faster-rcnn_r50_fpn_1x_voc0712-cocofmt.py',
                'val_evaluator',
                METRICS,
            ),
        ],
    )
    def test_what_is_found_in_mmdet_s_own_configs_is_true(self, name, part, registry):
        """They cannot be built as they are written."""
        path = MMDET / name
        if not path.is_file():
            pytest.skip(f'this mmdet has no {name}')
        cfg = Config.fromfile(path)
        with pytest.raises(KeyError, match='has no argument'):
            check_config(cfg)
        with pytest.raises(TypeError, match='unexpected keyword argument'):
            registry.build(cfg.model[part] if registry is MODELS else cfg[part])

    def test_other_scopes(self):
        check_config(dict(model=dict(type='mmpretrain.ResNet', depthh=3)))
        model = dict(type='ResNet', _scope_='mmpretrain', depthh=3)
        check_config(dict(model=model))
        check_config(dict(model=dict(type='ResNet', depthh=3), default_scope='mmseg'))
        assert 'depthh' in message(model=dict(type='mmdet.ResNet', depthh=3))

    def test_variables_of_a_config_file(self):
        check_config(dict(my_pipeline=[dict(type='RandomFlip', probb=1)]))
        inner = [dict(type='RandomFlipp', probb=1)]
        pipeline = [dict(type='Albu', transforms=inner), dict(type='RandomFlip')]
        check_config(dict(tta_pipeline=pipeline))
