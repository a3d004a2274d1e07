"""Conditions of an evaluation: what is pasted, whose threshold, what hooks learn."""

from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MessageHub
from torch import nn

from mmdet_facepatch.datasets import PastePatch
from mmdet_facepatch.engine import (
    Condition,
    FaceLogProcessor,
    PatchTestLoop,
    PatchValLoop,
    SafeCheckpointHook,
    current_condition,
)
from mmdet_facepatch.evaluation import Reference
from mmdet_facepatch.evaluation.metrics.calibrated_metric import CalibratedMetric

GREY = dict(type='constant', value=0.5)
NAN = float('nan')


def numbers(delta):
    return dict(calibrated_delta=delta, margin_low=-4.0, margin_high=8.0)


class Images:
    """A data set whose pipeline pastes; the loader has no batches."""

    def __init__(self):
        self.pipeline = SimpleNamespace(transforms=[PastePatch(size=4)])

    def __len__(self):
        return 0


class Loader(list):
    dataset = Images()


class Runner:
    """Knows its model and writes down what hooks are told."""

    def __init__(self):
        self.model = nn.Identity()
        self.calls = []

    def call_hook(self, name, metrics=None):
        self.calls.append((name, metrics))


class Thresholds(CalibratedMetric):
    """Finds other thresholds at each evaluation; writes down which it was given."""

    default_prefix = 'face'

    def __init__(self, own, **kwargs):
        super().__init__(**kwargs)
        self.own, self.given = iter(own), []

    def process(self, data_batch, data_samples):
        pass

    def compute_metrics(self, results):
        own = Reference(next(self.own), -4.0, 8.0)
        self.given.append(self.reference and self.reference.calibrated_delta)
        return asdict(self.reference or own)


class Count(BaseMetric):
    default_prefix = 'other'

    def process(self, data_batch, data_samples):
        pass

    def compute_metrics(self, results):
        return dict(number=1.0)


def make_loop(conditions, *metrics):
    return PatchTestLoop(Runner(), Loader(), Evaluator(metrics), conditions)


class TestCalibratedDelta:
    def test_that_of_the_clean_images_is_used_for_all(self):
        metric = Thresholds([0.7, 0.2, 0.1, 0.9, 0.2, 0.1])
        loop = make_loop(dict(clean=None, grey=GREY, patch=GREY), metric)
        results = loop.run()
        assert metric.given == [None, 0.7, 0.7]
        assert results == {
            f'{name}/face/{key}': value
            for name in ('clean', 'grey', 'patch')
            for key, value in numbers(0.7).items()
        }
        # Another run finds its own.
        loop.run()
        assert metric.given[3:] == [None, 0.9, 0.9]

    def test_a_given_one_needs_no_clean_images(self):
        metric = Thresholds([0.7, 0.7], reference=numbers('0.4'))
        loop = make_loop(dict(grey=GREY, clean=None), metric)
        loop.run()
        assert metric.given == [0.4, 0.4]

    def test_each_metric_has_its_own(self):
        metrics = Thresholds([0.7, 0.1]), Thresholds([0.5, 0.1], prefix='small')
        make_loop(dict(clean=None, grey=GREY), *metrics).run()
        assert [metric.given for metric in metrics] == [[None, 0.7], [None, 0.5]]

    def test_nan_says_that_the_clean_run_has_none(self):
        metric = Thresholds([NAN, 0.3])
        make_loop(dict(clean=None, grey=GREY), metric).run()
        assert math.isnan(metric.given[1])

    @pytest.mark.parametrize('conditions', [dict(grey=GREY), {}])
    def test_first_condition_must_be_clean(self, conditions):
        with pytest.raises(ValueError, match='first condition must be the clean'):
            make_loop(conditions, Count(), Thresholds([0.5]))

    def test_other_metrics_need_no_clean_images(self):
        loop = make_loop(dict(grey=GREY, noise=dict(type='noise')), Count())
        assert loop.run() == {'grey/other/number': 1.0, 'noise/other/number': 1.0}
        assert loop.paste.pixels is not None


class TestHooks:
    def test_metrics_of_a_test_name_their_condition(self):
        loop = make_loop(dict(clean=None, grey=GREY), Count())
        assert current_condition(loop).name == 'clean'
        loop.run()
        assert loop.runner.calls == [
            ('before_test', None),
            ('before_test_epoch', None),
            ('after_test_epoch', {'clean/other/number': 1.0}),
            ('before_test_epoch', None),
            ('after_test_epoch', {'grey/other/number': 1.0}),
            ('after_test', None),
        ]
        assert current_condition(loop) == Condition('grey', GREY)

    def test_validation_is_calibrated_once(self, monkeypatch):
        monkeypatch.setattr(
            PatchValLoop, '_current_pixels', lambda self: self.paste._read(GREY, None)
        )
        metric = Thresholds([0.7, 0.2, 0.1])
        face = {f'face/{key}': value for key, value in numbers(0.7).items()}
        loop = PatchValLoop(Runner(), Loader(), Evaluator(metric))
        assert loop.run() == loop.run() == face
        assert metric.given == [None, 0.7, 0.7]
        told = [metrics for name, metrics in loop.runner.calls if 'after_val_' in name]
        assert told == [
            {f'clean/{key}': value for key, value in face.items()},
            face,
            face,
        ]

    def test_the_best_patch_is_not_chosen_by_clean_images(self):
        hook = SafeCheckpointHook(save_best='face/all/AP', rule='less')
        loop = PatchValLoop(Runner(), Loader(), Evaluator(Count()))
        runner = SimpleNamespace(val_loop=loop)
        # The first condition is the clean image; the metric's key is not even there.
        hook.after_val_epoch(runner, {'clean/face/all/AP': 0.9})

    def test_other_loops_paste_nothing(self):
        assert current_condition(object()) == Condition('clean')


class TestLogLine:
    def runner(self, loop, **scalars):
        hub = MessageHub('line')
        for key, value in scalars.items():
            hub.update_scalar(key, value)
        return SimpleNamespace(
            message_hub=hub, _train_loop=None, val_loop=loop, test_loop=loop
        )

    def line(self, mode, loop, scalars, **kwargs):
        processor = FaceLogProcessor(**kwargs)
        runner = self.runner(loop, **scalars)
        tag, line = processor.get_log_after_epoch(runner, 3, mode)
        assert {f'{mode}/{key}' for key in tag} == set(scalars)
        return line

    def test_five_numbers_of_eighty(self):
        loop = SimpleNamespace(dataloader=[0, 1, 2])
        scalars = {f'val/face/all/recall@{i / 100:g}': i / 80 for i in range(80)}
        scalars['val/face/all/AP'] = 0.98765
        line = self.line('val', loop, scalars)
        assert line == (
            'Epoch(val) [0][3/3]  clean  face/all/AP: 0.9877  '
            'face/all/recall@0.5: 0.6250'
        )

    def test_numbers_of_the_condition_at_hand(self):
        loop = make_loop(dict(grey=GREY, patch=GREY), Count())
        loop.condition = loop.conditions[1]
        scalars = {
            'test/grey/face/all/AP': 0.5,
            'test/patch/face/all/AP': 0.25,
            'test/patch/face/all/on_patch@calibrated': 7,
        }
        line = self.line('test', loop, scalars)
        assert line == (
            'Epoch(test) [0/0]  patch  face/all/AP: 0.2500  '
            'face/all/on_patch@calibrated: 7'
        )

    def test_chosen_numbers(self):
        loop = SimpleNamespace(dataloader=[0])
        scalars = {'val/a/b': 0.5, 'val/c': 1.0, 'val/face/all/AP': 0.1}
        line = self.line('val', loop, scalars, metrics=['c', 'missing', 'a/b'])
        assert line == 'Epoch(val) [0][1/1]  clean  c: 1.0000  a/b: 0.5000'

    def test_numbers_of_other_metrics_are_all_there(self):
        loop = make_loop(dict(grey=GREY, patch=GREY), Count())
        scalars = {'test/grey/x/a': 1.0, 'test/grey/x/b': 2.0, 'test/patch/x/a': 3.0}
        assert self.line('test', loop, scalars) == (
            'Epoch(test) [0/0]  grey  x/a: 1.0000  x/b: 2.0000'
        )
