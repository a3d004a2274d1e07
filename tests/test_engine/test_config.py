"""Reading of configs for the tools."""

import copy
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_facepatch.engine import data_config, load_config, report_on, set_steps

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def write(tmp_path, **keys):
    path = tmp_path / 'some.py'
    Config(
        dict(model=dict(type='X'), optim_wrapper=dict(type='OptimWrapper'), **keys)
    ).dump(path)
    return str(path)


def test_work_dir_defaults_to_the_configs_name(tmp_path):
    path = write(tmp_path)
    assert load_config(path).work_dir == str(Path('work_dirs/some'))
    assert load_config(path, work_dir='here').work_dir == 'here'


def test_options_resume_and_amp(tmp_path):
    cfg = load_config(
        write(tmp_path), options={'model.depth': 3}, resume='auto', amp=True
    )
    assert cfg.model.depth == 3
    assert cfg.resume and cfg.load_from is None
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert load_config(write(tmp_path), resume='a.pth').load_from == 'a.pth'


def test_overlay_replaces_whole_keys(tmp_path):
    overlay = Config(dict(model=dict(type='Y')))
    assert load_config(write(tmp_path), overlay=overlay).model == dict(type='Y')


def test_misspelt_key_is_named(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'optim_wrapper'"):
        load_config(write(tmp_path), options={'optim_wraper.lr': 3})


class TestReportOn:
    def attack(self, tmp_path, **conditions):
        return Config(
            dict(work_dir=str(tmp_path), test_cfg=dict(conditions=conditions))
        )

    def test_finished_patch_of_the_work_dir(self, tmp_path):
        """Not the start of the attack, under the name of its end."""
        path = tmp_path / 'patch.npy'
        path.touch()
        grey = dict(type='constant', value=0.5)
        cfg = self.attack(
            tmp_path,
            clean=None,
            grey=grey,
            patch='current',
            half=dict(type='current', removed='top_half'),
        )
        report_on(cfg, None)
        assert cfg.test_cfg.conditions == dict(
            clean=None,
            grey=grey,
            patch=dict(type='file', path=str(path)),
            half=dict(type='file', path=str(path), removed='top_half'),
        )

    def test_named_patch(self, tmp_path):
        path = tmp_path / 'other.png'
        path.touch()
        cfg = self.attack(tmp_path, clean=None)
        report_on(cfg, str(path))
        assert cfg.test_cfg.conditions.patch == dict(type='file', path=str(path))

    def test_no_condition_of_an_attack_needs_no_file(self, tmp_path):
        cfg = self.attack(tmp_path, clean=None, noise=dict(type='noise', seed=0))
        report_on(cfg, None)
        assert list(cfg.test_cfg.conditions) == ['clean', 'noise']

    @pytest.mark.parametrize('patch', [None, 'no_such.png'])
    def test_no_patch(self, tmp_path, patch):
        cfg = self.attack(tmp_path, patch='current')
        with pytest.raises(FileNotFoundError, match='report-only: .* does not exist'):
            report_on(cfg, patch)


def test_missing_config():
    with pytest.raises(FileNotFoundError, match='no_such.py'):
        load_config('no_such.py')


class TestData:
    """What ``--data`` gives, and what it must not be."""

    @pytest.mark.parametrize(
        'name', ['sln_mbv2_widerface_subset.py', 'attack/patch_iou.py']
    )
    def test_config_of_a_detector_or_an_attack(self, name):
        path = CONFIGS / name
        with pytest.raises(ValueError) as error:
            data_config(str(path), CONFIGS)
        assert str(error.value) == (
            f'--data {path} is the config of a detector or an attack, since it has a '
            'model; give a data config (as those in configs/attack/data), or the '
            'config of a data set'
        )

    def test_no_dataloader(self, tmp_path):
        path = tmp_path / 'empty.py'
        path.write_text('a = 1')
        with pytest.raises(ValueError) as error:
            data_config(str(path), CONFIGS)
        assert str(error.value) == (
            f'--data {path} has no train_dataloader and no test_dataloader, and is no '
            'config of a data set, which has a type'
        )

    def load(self, method, **keys):
        overlay = Config(dict(train_dataloader=dict(batch_size=2), **keys))
        load_config(
            str(CONFIGS / 'attack' / method), overlay=overlay, overlay_name='--data x'
        )

    def test_what_it_sets_besides_data_is_told(self, capsys):
        """Of what the config of the attack says otherwise."""
        self.load(
            'patch_iou.py',
            train_cfg=dict(type='PatchAttackLoop', max_epochs=3, val_begin=2),
            optim_wrapper=dict(
                optimizer=dict(type='Adam', lr=0.02), type='AmpOptimWrapper'
            ),
            auto_scale_lr=dict(enable=True),
            my_variable=3,
        )
        assert capsys.readouterr().out == (
            '--data x sets train_cfg.max_epochs = 3 (was 20), train_cfg.val_begin = 2 '
            '(was not set), train_cfg.val_interval = not set (was 10), '
            "optim_wrapper.type = 'AmpOptimWrapper' (was 'OptimWrapper')\n"
        )

    def test_nothing_else_is_told(self, capsys):
        self.load('patch_iou.py', val_evaluator=None, test_evaluator=dict(type='X'))
        assert capsys.readouterr().out == ''

    def test_attack_and_data_as_bases(self, tmp_path):
        path = tmp_path / 'both.py'
        bases = ['attack/patch_iou.py', 'attack/data/widerface_subset.py']
        path.write_text(f'_base_ = {[str(CONFIGS / name) for name in bases]}')
        with pytest.raises(KeyError) as error:
            load_config(str(path))
        text = error.value.args[0]
        assert text.startswith(f'{path}: Duplicate key is not allowed among bases')
        assert text.endswith(
            'An attack and its data have keys in common: inherit from the attack alone '
            'and give the data by --data, or start from configs/attack/custom.py'
        )


class TestSteps:
    """Of trainings; of attacks see test_own_detector.py."""

    def set(self, name, steps=7):
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        before = copy.deepcopy(cfg.param_scheduler)
        set_steps(cfg, steps)
        # Not made for another length: only cut off.
        assert cfg.param_scheduler == before
        return cfg.train_cfg

    def test_epochs(self):
        loop = self.set('sln_r18_widerface')
        assert loop.max_steps == 7 and 'max_epochs' not in loop

    def test_iterations(self):
        loop = self.set('sln_r18_widerface_subset')
        assert loop.max_iters == 7 and 'max_steps' not in loop

    @pytest.mark.parametrize(
        'loop', [dict(by_epoch=True), dict(type='EpochBasedTrainLoop')]
    )
    def test_loop_that_counts_epochs_only(self, loop):
        cfg = Config(dict(train_cfg=dict(loop, max_epochs=2)))
        with pytest.raises(ValueError, match='train_cfg.type=ReproducibleEpochLoop'):
            set_steps(cfg, 3)
        assert cfg.train_cfg.max_epochs == 2
