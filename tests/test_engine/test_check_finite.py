"""Numbers that are not finite, empty sample sets, a detector that changes."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import runpy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.engine import load_config
from mmdet_facepatch.engine.hooks.check_finite_hook import MAX_SKIPPED, image_names

PLANTED = Path(__file__).parent / 'planted.py'
NAN, INF = math.nan, math.inf


@pytest.fixture(scope='module', autouse=True)
def planted():
    """Register the parts that break, as a config's custom import does."""
    runpy.run_path(str(PLANTED))


@pytest.fixture
def build(trained, tmp_path):
    """A runner of the tiny attack in a work dir of its own."""

    def build(name='work', config='attack.py', **options):
        cfg = load_config(str(trained / config), options, work_dir=str(tmp_path / name))
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.experiment_name = f'{tmp_path.parent.name}_{tmp_path.name}_{name}'
        return Runner.from_cfg(cfg)

    return build


def breaking(**kwargs):
    return {'model.loss': dict(type='BreakingLoss', **kwargs)}


def stopped(runner):
    return torch.load(Path(runner.work_dir) / 'stopped.pth', weights_only=False)


class TestStops:
    @pytest.mark.parametrize(
        ('options', 'problem'),
        [
            (breaking(value=NAN), 'loss_adv is nan'),
            (breaking(value=INF), 'loss_adv is inf'),
            (breaking(gradient=NAN), 'the loss is finite, but its gradient is not'),
            (breaking(gradient=INF), 'the loss is finite, but its gradient is not'),
            # Finite numbers whose step is not: the optimiser's own fault.
            (
                {
                    'optim_wrapper.optimizer': dict(
                        type='BreakingAdam', lr=0.1, bad_step=3
                    )
                },
                'the patch is not finite after the step, though the gradient was',
            ),
        ],
    )
    def test_third_step_of_four(self, build, options, problem):
        """Both images are named; what is saved is the state after two steps."""
        runner = build(**options)
        with pytest.raises(FloatingPointError) as error:
            runner.train()
        message = str(error.value)
        assert f'step 3 (epoch 2): {problem}' in message
        assert message.count('0--Squares/train_') == 2
        assert message.count('stopped.pth') == message.count('stopped.npy') == 1
        folder = Path(runner.work_dir)
        kept = load_patch(folder / 'stopped.npy')
        checkpoint = stopped(runner)
        assert torch.equal(checkpoint['state_dict']['patch.pixels'], kept)
        assert checkpoint['meta']['epoch'] == 1 and checkpoint['meta']['iter'] == 2
        # The first epoch's checkpoint is the state after two steps as well.
        first = torch.load(folder / 'epoch_1.pth', weights_only=False)
        assert torch.equal(first['state_dict']['patch.pixels'], kept)
        for one, other in zip(
            first['optimizer']['state'].values(),
            checkpoint['optimizer']['state'].values(),
            strict=True,
        ):
            assert all(torch.equal(one[key], other[key]) for key in one)
        assert (folder / 'last_checkpoint').read_text().endswith('epoch_1.pth')
        assert not (folder / 'patch.npy').exists()

    def test_earlier_results_stay(self, build):
        """A patch and a checkpoint of an earlier run are not touched."""
        runner = build(**breaking(value=NAN, step=1))
        folder = Path(runner.work_dir)
        for name in ('patch.npy', 'patch.png', 'epoch_1.pth', 'last_checkpoint'):
            (folder / name).write_bytes(b'earlier')
        with pytest.raises(FloatingPointError, match=r'step 1 \(epoch 1\)'):
            runner.train()
        for name in ('patch.npy', 'patch.png', 'epoch_1.pth', 'last_checkpoint'):
            assert (folder / name).read_bytes() == b'earlier'

    def test_the_stopped_state_can_be_resumed(self, build):
        runner = build(**breaking(gradient=NAN, step=2))
        with pytest.raises(FloatingPointError):
            runner.train()
        again = build(
            'again', resume=True, load_from=str(Path(runner.work_dir) / 'stopped.pth')
        )
        again.train()
        assert load_patch(Path(again.work_dir) / 'patch.npy').isfinite().all()

    def test_full_disk_does_not_hide_the_numbers(self, build, monkeypatch):
        runner = build(**breaking(value=NAN, step=1))
        monkeypatch.setattr(runner, 'save_checkpoint', _no_space)
        with pytest.raises(FloatingPointError, match='loss_adv is nan') as error:
            runner.train()
        assert 'could not be saved: [Errno 28] No space' in str(error.value)

    def test_a_detectors_training(self, build):
        """Images are named, and the weights saved, from before the step."""
        runner = build(config='detector.py', **{'model.neck.type': 'BreakingNeck'})
        with pytest.raises(FloatingPointError) as error:
            runner.train()
        message = str(error.value)
        assert 'step 1 (epoch 1): loss_cls_pos is nan, loss_cls_neg is nan' in message
        assert message.count('0--Squares/train_') == 2
        assert 'The state before it is in' in message
        weights = stopped(runner)['state_dict'].values()
        assert all(value.isfinite().all() for value in weights)

    def test_spoilt_statistics_are_not_saved(self, build):
        runner = build(config='detector.py', **{'model.neck.type': 'SpoilingNeck'})
        with pytest.raises(FloatingPointError, match='nothing was saved'):
            runner.train()
        assert not (Path(runner.work_dir) / 'stopped.pth').exists()


def _no_space(*args, **kwargs):
    raise OSError(28, 'No space left on device')


class TestMixedPrecision:
    """The scaler of a CPU, in mmengine's wrapper for GPUs."""

    @pytest.fixture
    def amp(self, monkeypatch):
        module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
        monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
        scaler = importlib.import_module(module).GradScaler
        if 'device' not in inspect.signature(scaler).parameters:
            pytest.skip(f"the scaler of this mmengine is CUDA's ({scaler.__module__})")

        def amp(wrapper, **scale):
            return AmpOptimWrapper(
                optimizer=wrapper.optimizer,
                dtype='bfloat16',
                loss_scale=dict(device='cpu', **scale),
            )

        return amp

    @pytest.mark.parametrize('fused', [False, True])
    def test_overflow_is_left_out(self, build, amp, fused):
        """One inf at the third of four steps: it is skipped, the run goes on."""
        runner = build(
            **breaking(gradient=INF), **{'optim_wrapper.optimizer.fused': fused}
        )
        runner.optim_wrapper = amp(
            runner.build_optim_wrapper(runner.optim_wrapper), init_scale=4.0
        )
        runner.train()
        assert runner.optim_wrapper.loss_scaler.get_scale() == 2.0
        states = runner.optim_wrapper.optimizer.state.values()
        assert [int(state['step']) for state in states] == [3]
        assert load_patch(Path(runner.work_dir) / 'patch.npy').isfinite().all()

    def test_no_scale_helps(self, build, amp):
        runner = build(
            **breaking(gradient=INF, step=1, forever=True),
            **{'train_cfg.max_epochs': 40},
        )
        runner.optim_wrapper = amp(runner.build_optim_wrapper(runner.optim_wrapper))
        with pytest.raises(FloatingPointError) as error:
            runner.train()
        assert f'step {MAX_SKIPPED} ' in str(error.value)
        assert f'not been finite in {MAX_SKIPPED} steps' in str(error.value)
        start = load_patch(Path(runner.work_dir) / 'patches' / 'epoch_0000.png')
        kept = load_patch(Path(runner.work_dir) / 'stopped.npy')
        assert (kept - start).abs().max() <= 0.5 / 255 + 1e-6


class TestEmptySets:
    def messages(self, runner):
        runner.train()
        log = next(Path(runner.log_dir).glob('*.log')).read_text()
        return [line.split(' - ')[-1] for line in log.splitlines()]

    def test_an_epoch_without_samples(self, build):
        runner = build(
            **{
                'model.sample_set': dict(
                    _delete_=True,
                    type='PatchCombinationSampleSet',
                    score_thr=0.999,
                    face_iou_thr=0.2,
                )
            }
        )
        found = self.messages(runner)
        warnings = [text for text in found if 'selected nothing' in text]
        assert len(warnings) == 2
        assert warnings[1].startswith(
            'epoch 2 selected nothing: none of its 2 steps had an adversarial sample '
            'under PatchCombinationSampleSet(score_thr=0.999, face_iou_thr=0.2, '
            'patch_iou_thr=0.3). The attack has converged, or is misconfigured: no '
            'step has had one yet'
        )
        assert (
            '4 of 4 steps had no adversarial sample; epochs with none at all: 1, 2'
        ) in found
        checkpoint = torch.load(
            Path(runner.work_dir) / 'epoch_2.pth', weights_only=False
        )
        kept = checkpoint['message_hub']['runtime_info']['attack_step_counts']
        assert kept == {1: [2, 2], 2: [2, 2]}

    def test_converged_after_samples(self, build):
        """Samples in the first epoch, then none."""
        runner = build(
            **{'model.sample_set': dict(_delete_=True, type='FadingSampleSet', calls=3)}
        )
        found = self.messages(runner)
        warnings = [text for text in found if 'selected nothing' in text]
        assert len(warnings) == 1 and 'earlier steps had samples' in warnings[0]
        assert 'FadingSampleSet(calls=3)' in warnings[0]
        assert (
            '2 of 4 steps had no adversarial sample; epochs with none at all: 2'
        ) in found

    def test_the_report_has_the_number(self, attacked):
        report = json.loads((attacked / 'attack' / 'report.json').read_text())
        assert report['protocol']['steps'] == 4
        assert report['protocol']['empty_steps'] == 0
        assert (
            '0 of 4 steps had no adversarial sample'
            in (attacked / 'attack.log').read_text()
        )


class TestFrozenDetector:
    @pytest.mark.parametrize(
        ('neck', 'told'),
        [('TrainModeNeck', ', neck.norm in train mode'), ('DriftingNeck', 'now.')],
    )
    def test_statistics_that_move_stop_the_attack(
        self, build, trained, tmp_path, neck, told
    ):
        """Of one neck the mode tells, of the other its running mean alone."""
        config, checkpoint = with_norm(trained, tmp_path, neck)
        runner = build(
            **{
                'model.detector.config': str(config),
                'model.detector.checkpoint': str(checkpoint),
            }
        )
        with pytest.raises(RuntimeError, match='has changed') as error:
            runner.train()
        assert told in str(error.value)
        folder = Path(runner.work_dir)
        # After the first epoch, before its checkpoint.
        assert runner.epoch == 0 and runner.iter == 2
        assert not list(folder.glob('*.pth')) and not list(folder.glob('patch.*'))

    @pytest.mark.parametrize('neck', ['TrainModeNeck', 'DriftingNeck'])
    def test_statistics_that_move_stop_the_report(self, build, trained, tmp_path, neck):
        config, checkpoint = with_norm(trained, tmp_path, neck)
        runner = build(
            **{
                'model.detector.config': str(config),
                'model.detector.checkpoint': str(checkpoint),
                'test_cfg.conditions': dict(clean=None),
            }
        )
        with pytest.raises(RuntimeError, match='has changed'):
            runner.test()
        assert not (Path(runner.work_dir) / 'report.json').exists()

    def test_a_neck_that_obeys_is_let_pass(self, build, trained, tmp_path):
        config, checkpoint = with_norm(trained, tmp_path, 'NormNeck')
        build(
            **{
                'model.detector.config': str(config),
                'model.detector.checkpoint': str(checkpoint),
            }
        ).train()


def with_norm(trained, tmp_path, neck):
    """The tiny detector with another neck, and weights for it."""
    cfg = Config.fromfile(trained / 'detector.py')
    cfg.model.neck.type = neck
    cfg.custom_imports = None
    cfg.dump(tmp_path / 'detector.py')
    torch.manual_seed(0)
    detector = MODELS.build(cfg.model)
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / 'detector.pth')
    return tmp_path / 'detector.py', tmp_path / 'detector.pth'


class TestHook:
    def test_image_names(self):
        samples = [sample(img_id='a', img_path='x/a.jpg'), sample(img_id=7), sample()]
        assert image_names(dict(inputs=[1, 2], data_samples=samples)) == [
            'x/a.jpg',
            '7',
            'an image without img_path and img_id (see meta_keys)',
        ]
        assert image_names(dict(data_samples=dict(student=samples[:1]))) == ['x/a.jpg']
        assert image_names([torch.zeros(3)]) == []

    def test_every_tool_has_it(self, trained):
        cfg = load_config(str(trained / 'detector.py'))
        assert cfg.default_hooks.check_finite.type == 'CheckFiniteHook'

    def test_interval(self, build):
        """Not looked at in the third step, found in the fourth."""
        options = {
            'default_hooks.check_finite': dict(type='CheckFiniteHook', interval=4)
        }
        runner = build(**breaking(value=NAN, forever=True, step=3), **options)
        with pytest.raises(FloatingPointError, match='step 4 '):
            runner.train()


def sample(**metainfo):
    return DetDataSample(metainfo=metainfo)
