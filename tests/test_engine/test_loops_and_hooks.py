"""Train, attack and test, short but whole, through the command-line tools."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.engine import PatchTestLoop, find_paste_transform
from mmdet_facepatch.evaluation import Reference, WiderFaceMetric, load_report


class TestWhole:
    def test_training_leaves_a_checkpoint(self, trained):
        assert (trained / 'train' / 'epoch_1.pth').is_file()

    def test_weights_are_not_left_to_chance(self, run, trained):
        done = run('test.py', trained / 'detector.py', '--work-dir', trained / 'none')
        assert done.returncode != 0
        assert 'has no weights yet: name its checkpoint' in done.stderr
        assert not (trained / 'none' / 'report.json').exists()

    def test_pyramid_test(self, run, trained):
        folder = trained / 'test'
        done = run(
            'test.py',
            trained / 'detector.py',
            trained / 'train' / 'epoch_1.pth',
            '--tta',
            '--save-predictions',
            'npz',
            '--work-dir',
            folder,
            python=sys.executable,
        )
        assert done.returncode == 0, done.stderr
        assert 'face/all/AP' in done.stdout + done.stderr
        report = load_report(folder / 'report.json')
        assert list(report['conditions']) == ['clean']
        assert report['conditions']['clean']['data']['confidence'] == 'margins'
        protocol = report['protocol']
        assert protocol['scales'] == [0.5, 1.0]
        assert protocol['test_cfg']['score_thr'] == 0.01
        assert protocol['merge']['nms']['iou_threshold'] == 0.3
        for name in (
            'report.md',
            'curves.npz',
            'plots/f_beta.png',
            'plots/precision_recall.png',
        ):
            assert (folder / name).stat().st_size > 0

    @pytest.mark.parametrize('form', ['npz', 'txt'])
    def test_saved_predictions_give_the_same_numbers(self, run, trained, form):
        """Written by tools/test.py, judged again by tools/eval_predictions.py."""
        folder = trained / f'again_{form}'
        done = run(
            'test.py',
            trained / 'detector.py',
            trained / 'train' / 'epoch_1.pth',
            '--save-predictions',
            form,
            '--work-dir',
            folder,
        )
        assert done.returncode == 0, done.stderr
        path = folder / 'predictions' / ('clean.npz' if form == 'npz' else 'clean')
        text = trained / 'data' / 'wider_face_split' / 'wider_face_val_bbx_gt.txt'
        done = run(
            'eval_predictions.py',
            f'clean={path}',
            '--gt',
            text,
            '--out',
            folder / 'eval',
        )
        assert done.returncode == 0, done.stderr
        numbers = [
            load_report(where / 'report.json')['conditions']['clean']['numbers']
            for where in (folder, folder / 'eval')
        ]
        # The text format has no margins: the scores' log-odds differ a little.
        exact = (
            numbers[0].keys()
            if form == 'npz'
            else [k for k in numbers[0] if '/AF' not in k and 'margin' not in k]
        )
        for key in exact:
            assert numbers[1][key] == pytest.approx(
                numbers[0][key], abs=1e-12, nan_ok=True
            ), key
        if form == 'txt':
            done = run(
                'test.py',
                trained / 'detector.py',
                trained / 'train' / 'epoch_1.pth',
                '--save-predictions',
                form,
                '--work-dir',
                folder,
            )
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
        checkpoint = torch.load(
            attacked / 'attack' / 'epoch_2.pth', map_location='cpu', weights_only=False
        )
        assert list(checkpoint['state_dict']) == ['patch.pixels']
        for key in ('optimizer', 'param_schedulers', 'detector_digest'):
            assert checkpoint[key]

    def test_resumed_run_gives_the_same_patch(self, run, attacked):
        """Two epochs at once, or one, then the other in a new process; two threads."""
        whole, resumed = attacked / 'whole', attacked / 'resumed'
        resumed.mkdir()
        for folder, options in (
            (whole, []),
            (resumed, ['--resume', whole / 'epoch_1.pth']),
        ):
            done = run(
                'attack.py',
                attacked / 'attack.py',
                '--work-dir',
                folder,
                '--no-report',
                *options,
                OMP_NUM_THREADS='2',
            )
            assert done.returncode == 0, done.stderr
        assert torch.equal(
            load_patch(resumed / 'patch.npy'), load_patch(whole / 'patch.npy')
        )

    def test_report_on_a_patch_file(self, run, attacked):
        folder = attacked / 'again'
        done = run(
            'attack.py',
            attacked / 'attack.py',
            '--work-dir',
            folder,
            '--report-only',
            attacked / 'attack' / 'patch.npy',
        )
        assert done.returncode == 0, done.stderr
        first, second = (
            json.loads((path / 'report.json').read_text())['conditions']
            for path in (attacked / 'attack', folder)
        )
        assert first == second

    def test_misspelt_option_and_missing_data(self, run, attacked):
        done = run(
            'attack.py',
            attacked / 'attack.py',
            '--cfg-options',
            'train_cgf.max_epochs=1',
        )
        assert done.returncode != 0
        assert "did you mean 'train_cfg'" in done.stderr
        done = run('attack.py', attacked / 'attack.py', '--data', 'no_such_data')
        assert 'no_such_data' in done.stderr and 'embedded' in done.stderr


class TestLoops:
    @pytest.mark.parametrize('conditions', [dict(patch='current'), {}])
    def test_first_condition_must_be_clean(self, monkeypatch, conditions):
        def init(self, *args, **kwargs):
            self.evaluator = Evaluator(WiderFaceMetric())

        monkeypatch.setattr(TestLoop, '__init__', init)
        with pytest.raises(ValueError, match='first condition'):
            PatchTestLoop(None, None, None, conditions=conditions)

    def test_given_reference_needs_no_clean_images(self, run, attacked):
        """The same numbers as with the clean images before it."""
        whole = load_report(attacked / 'attack' / 'report.json')['conditions']
        reference = Reference.from_numbers(whole['clean']['numbers'])
        cfg = Config.fromfile(attacked / 'attack.py')
        cfg.test_evaluator.reference = reference.to_config()
        cfg.test_cfg.conditions = dict(grey=dict(type='constant', value=0.5))
        cfg.dump(attacked / 'alone.py')
        done = run(
            'attack.py',
            attacked / 'alone.py',
            '--report-only',
            '--work-dir',
            attacked / 'alone',
        )
        assert done.returncode == 0, done.stderr
        alone = load_report(attacked / 'alone' / 'report.json')['conditions']
        assert list(alone) == ['grey']
        for key, value in whole['grey']['numbers'].items():
            assert alone['grey']['numbers'][key] == pytest.approx(
                value, abs=0, nan_ok=True
            ), key

    def test_pipeline_without_paste(self):
        dataset = type('D', (), dict(pipeline=type('P', (), dict(transforms=[]))()))()
        with pytest.raises(ValueError, match='0 PastePatch steps'):
            find_paste_transform(dataset)
