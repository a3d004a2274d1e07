"""Work dirs: in use, holding results, read-only, full."""

from __future__ import annotations

import copy
import os
import resource
import signal
import subprocess
import time
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdet_facepatch.attack import load_patch, save_patch
from mmdet_facepatch.engine import WorkDirError, claim_work_dir, load_config
from mmdet_facepatch.engine.work_dir import MAY_DIFFER

NOBODY = 65534


def config(folder, **keys):
    return Config(dict(model=dict(type='X'), work_dir=str(folder), **keys))


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def run(cfg, purpose='train', write=(), **kwargs):
    """A run that writes files and comes to its end."""
    with claim_work_dir(cfg, [purpose], **kwargs):
        for name in write:
            (Path(cfg.work_dir) / name).write_text('result')


def fork(body):
    """A process that runs ``body(tell)``; returns its id once it has told."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            body(lambda: os.write(write, b'1'))
        finally:
            os._exit(1)
    os.close(write)
    assert os.read(read, 1) == b'1'
    os.close(read)
    return child


def end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class TestInUse:
    def hold(self, cfg, purpose='train', worker=False):
        def body(tell):
            with claim_work_dir(cfg, [purpose]):
                if worker and not os.fork():
                    time.sleep(3)
                    os._exit(0)
                tell()
                time.sleep(60)

        return fork(body)

    @pytest.mark.parametrize('resume', [False, True])
    def test_a_second_run_is_refused(self, tmp_path, resume):
        cfg = config(tmp_path / 'work', resume=resume)
        if resume:
            (tmp_path / 'work').mkdir()
            (tmp_path / 'work' / 'epoch_1.pth').touch()
        child = self.hold(cfg)
        before = contents(tmp_path)
        for overwrite in (False, True):
            with pytest.raises(WorkDirError, match='is in use') as error:
                run(cfg, overwrite=overwrite)
            assert f'process {child} on ' in str(error.value)
        assert contents(tmp_path) == before
        # An evaluation of a training that goes on is no second training.
        run(cfg, 'report')
        end(child)
        run(cfg)

    def test_workers_of_a_killed_run_hold_nothing(self, tmp_path):
        """A worker outlives its run for seconds; a resumed one need not wait."""
        cfg = config(tmp_path)
        end(self.hold(cfg, worker=True))
        run(cfg)

    def test_other_processes_of_the_same_run(self, tmp_path, monkeypatch):
        """The first of the run decides; the second does not look."""
        cfg = config(tmp_path, launcher='pytorch')
        child = self.hold(cfg)
        monkeypatch.setenv('RANK', '1')
        run(cfg)
        monkeypatch.setenv('RANK', '0')
        with pytest.raises(WorkDirError, match='is in use'):
            run(cfg)
        end(child)


class TestEarlierResults:
    @pytest.mark.parametrize(
        ('purpose', 'name', 'other'),
        [
            ('train', 'epoch_3.pth', 'train_cfg'),
            ('train', 'patch.npy', 'randomness'),
            ('train', 'last_checkpoint', 'optim_wrapper'),
            ('report', 'report.json', 'test_cfg'),
            ('report', 'report.json', 'load_from'),
        ],
    )
    def test_another_config(self, tmp_path, purpose, name, other):
        cfg = config(tmp_path, **{other: dict(a=1)})
        run(cfg, purpose, write=[name])
        before = contents(tmp_path)
        changed = config(tmp_path, **{other: dict(a=2)})
        with pytest.raises(WorkDirError) as error:
            run(changed, purpose)
        assert str(error.value) == (
            f'work dir {tmp_path} holds results of another config ({other}.a: 1 -> 2): '
            f'{name}. Choose another --work-dir, or replace them with --overwrite'
        )
        assert contents(tmp_path) == before
        run(cfg, purpose)
        run(changed, purpose, overwrite=True)
        with pytest.raises(WorkDirError, match='of another config'):
            run(cfg, purpose)

    def test_an_interrupted_run_is_not_begun_anew(self, tmp_path):
        cfg = config(tmp_path)
        with pytest.raises(KeyboardInterrupt), claim_work_dir(cfg, ['train']):
            (tmp_path / 'epoch_1.pth').write_text('days of work')
            raise KeyboardInterrupt
        with pytest.raises(WorkDirError, match='not come to its end: epoch_1.pth. Re'):
            run(cfg)
        (tmp_path / 'epoch_1.pth').rename(tmp_path / 'patch.npy')
        with pytest.raises(WorkDirError, match='not come to its end: patch.npy. Ch'):
            run(cfg)
        (tmp_path / 'patch.npy').rename(tmp_path / 'epoch_1.pth')
        run(config(tmp_path, resume=True))
        run(cfg)

    def test_interrupted_before_it_had_results(self, tmp_path):
        with (
            pytest.raises(ZeroDivisionError),
            claim_work_dir(config(tmp_path), ['train']),
        ):
            raise ZeroDivisionError
        run(config(tmp_path, load_from='other'))

    def test_resuming_from_elsewhere_is_another_run(self, tmp_path):
        run(config(tmp_path / 'a'), write=['epoch_1.pth'])
        run(config(tmp_path / 'b'), write=['epoch_1.pth'])
        with pytest.raises(WorkDirError, match='load_from'):
            run(
                config(
                    tmp_path / 'b',
                    resume=True,
                    load_from=str(tmp_path / 'a' / 'epoch_1.pth'),
                )
            )
        run(
            config(
                tmp_path / 'b',
                resume=True,
                load_from=str(tmp_path / 'b' / 'epoch_1.pth'),
            )
        )

    def test_what_may_differ_is_no_other_run(self, tmp_path):
        run(config(tmp_path), write=['patch.npy'])
        other = config(tmp_path)
        other.train_dataloader = dict(num_workers=4)
        other.train_cfg = dict(val_interval=2)
        with pytest.raises(WorkDirError, match=r'; train_dataloader: None -> \{'):
            run(other)
        run(other, overwrite=True)
        other.train_dataloader.num_workers = 2
        other.train_cfg.val_interval = 3
        run(other)

    def test_results_without_a_record(self, tmp_path):
        (tmp_path / 'best_face_AP.pth').touch()
        with pytest.raises(WorkDirError, match='left no record.*best_face_AP.pth'):
            run(config(tmp_path))

    def test_what_the_tools_leave(self, attacked):
        """The same again, or another seed into the same folder."""

        def claim(options, purposes):
            cfg = load_config(
                str(attacked / 'attack.py'), options, work_dir=str(attacked / 'attack')
            )
            with claim_work_dir(cfg, purposes):
                pass

        with pytest.raises(WorkDirError, match=r'\(randomness.seed: .* -> 5\): .*npy'):
            claim({'randomness.seed': 5}, ['train', 'report'])
        named = r'\(test_cfg.conditions.patch: .* -> .other.npy.\): report.json'
        with pytest.raises(WorkDirError, match=named):
            claim({'test_cfg.conditions.patch': 'other.npy'}, ['report'])
        claim({}, ['train', 'report'])


class TestResume:
    """What resumes ends as a run in one go, or is refused."""

    @pytest.fixture
    def cfg(self, tmp_path):
        """Config of a run that was interrupted after an epoch."""
        cfg = config(
            tmp_path / 'run',
            train_cfg=dict(max_epochs=5, val_interval=1),
            train_dataloader=dict(num_workers=0, batch_size=2),
            custom_hooks=[dict(type='PatchHook', interval=1)],
            load_from='coco.pth',
        )
        cfg.model = dict(placement=dict(alpha=0.5), tta_model=dict(type='PyramidTTA'))
        with pytest.raises(KeyboardInterrupt), claim_work_dir(cfg, ['train']):
            (tmp_path / 'run' / 'epoch_1.pth').touch()
            raise KeyboardInterrupt
        return cfg

    def resumed(self, cfg, **keys):
        cfg = copy.deepcopy(cfg)
        cfg.update(resume=True, load_from=None)
        cfg.merge_from_dict(keys)
        return cfg

    def test_another_attack(self, cfg, tmp_path):
        before = contents(tmp_path)
        changed = self.resumed(
            cfg, **{'model.placement.alpha': 0.4, 'model.placement.center': 'middle'}
        )
        for overwrite in (False, True):
            with pytest.raises(WorkDirError) as error:
                run(changed, overwrite=overwrite)
            assert str(error.value) == (
                f'--resume: the run in {cfg.work_dir} began with another config, and '
                'its result would be of both: model.placement.alpha: 0.5 -> 0.4; '
                "model.placement.center: not set -> 'middle'. Resume with the old "
                'values, or start anew without --resume, in another --work-dir or with '
                '--overwrite'
            )
        assert contents(tmp_path) == before
        changed.resume = False
        with pytest.raises(WorkDirError) as error:
            run(changed)
        assert '--resume' not in str(error.value)

    @pytest.mark.parametrize(
        ('key', 'value'),
        [
            ('train_cfg.max_epochs', 6),
            ('train_dataloader.batch_size', 1),
            ('randomness', dict(seed=1)),
            ('auto_scale_lr', dict(enable=True)),
            ('custom_hooks', [dict(type='EMAHook')]),
        ],
    )
    def test_what_changes_the_result_is_refused(self, cfg, key, value):
        with pytest.raises(WorkDirError, match=f': {key}.*Resume with the old value, '):
            run(self.resumed(cfg, **{key: value}))

    def test_what_does_not_is_not(self, cfg):
        other = self.resumed(cfg)
        other.merge_from_dict(dict.fromkeys(MAY_DIFFER, 7))
        other.custom_hooks = [dict(type='ReportHook')]
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            run(other)
        # The record still says what it began from, which resuming does not use.
        cfg.merge_from_dict(dict.fromkeys(MAY_DIFFER, 8))
        run(cfg)

    def test_checkpoint_of_another_work_dir(self, cfg, tmp_path):
        named = str(tmp_path / 'run' / 'epoch_1.pth')
        elsewhere = self.resumed(cfg, load_from=named, work_dir=str(tmp_path / 'new'))
        run(elsewhere, write=['epoch_2.pth'])
        elsewhere.work_dir = str(tmp_path / 'newer')
        elsewhere.model.placement.alpha = 0.4
        with pytest.raises(WorkDirError, match=f'the run in {cfg.work_dir} began with'):
            run(elsewhere)

    @pytest.mark.parametrize('record', [None, '', 'no json', '[1]', '{"config": 3}'])
    def test_without_a_record_it_warns(self, cfg, record):
        path = Path(cfg.work_dir, '.train_run.json')
        path.unlink() if record is None else path.write_text(record)
        with pytest.warns(UserWarning, match='no record of the config that its check'):
            run(self.resumed(cfg))

    @pytest.mark.parametrize('name', [None, 'patch.npy', 'best_face_AP.pth'])
    def test_no_checkpoint(self, tmp_path, name):
        cfg = config(tmp_path / 'run')
        run(cfg, write=[name] if name else [])
        before = contents(tmp_path)
        with pytest.raises(WorkDirError) as error:
            run(self.resumed(cfg))
        assert str(error.value) == (
            f'--resume: work dir {cfg.work_dir} has no checkpoint to resume from; '
            'start without --resume, or name the --work-dir or the checkpoint of the '
            'run that is to go on'
        )
        assert contents(tmp_path) == before

    def test_a_report_is_made_anew(self, tmp_path):
        cfg = config(tmp_path, test_cfg=dict(fp16=False))
        run(cfg, write=['epoch_1.pth'])
        run(cfg, 'report', write=['report.json'])
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            run(self.resumed(cfg), 'report')
        other = self.resumed(cfg, **{'test_cfg.fp16': True})
        with pytest.warns(UserWarning, match=r'test_cfg.fp16: False -> True'):
            run(other, 'report')


@pytest.fixture
def unprivileged():
    """Permissions do not stop root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


class TestCannotBeWritten:
    def closed(self, tmp_path):
        folder = tmp_path / 'closed'
        folder.mkdir()
        (folder / 'report.json').write_text('earlier')
        # Pytest's folders are closed to other users.
        for path in (tmp_path, *tmp_path.parents):
            if not path.stat().st_mode & 0o001:
                path.chmod(0o755)
        folder.chmod(0o555)
        return folder

    @pytest.mark.parametrize('below', ['.', 'new', 'new/deep'])
    def test_no_permission(self, tmp_path, request, below):
        folder = self.closed(tmp_path)
        request.getfixturevalue('unprivileged')
        with pytest.raises(WorkDirError) as error:
            run(config(folder / below), 'report', overwrite=True)
        assert 'cannot write into work dir' in str(error.value)
        assert 'Permission denied' in str(error.value)
        assert '--work-dir' in str(error.value)
        assert [path.name for path in folder.iterdir()] == ['report.json']

    def test_a_file_in_its_place(self, tmp_path):
        (tmp_path / 'work').touch()
        with pytest.raises(WorkDirError, match='cannot write into.*File exists'):
            run(config(tmp_path / 'work'))

    def test_other_errors_pass(self, tmp_path):
        with (
            pytest.raises(FileNotFoundError, match='image.jpg'),
            claim_work_dir(config(tmp_path), ['train']),
        ):
            Path('/nowhere/image.jpg').read_bytes()

    def test_a_patch_that_does_not_fit(self, tmp_path):
        """The limit on a file's size stands for a disk that fills up."""
        save_patch(tmp_path / 'patch.npy', torch.zeros(3, 16, 16))
        before = contents(tmp_path)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        named = 'File too large.*patch.npy'
        with (
            pytest.raises(WorkDirError, match=named),
            claim_work_dir(config(tmp_path), []),
        ):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
            try:
                save_patch(tmp_path / 'patch.npy', torch.ones(3, 16, 16))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert contents(tmp_path) == before

    def test_read_only_file_system(self, mounted):
        folder = mounted('size=100k')
        run(config(folder), write=['epoch_1.pth'])
        subprocess.run(['mount', '-o', 'remount,ro', str(folder)], check=True)
        with pytest.raises(WorkDirError, match='Read-only file system'):
            run(config(folder), overwrite=True)
        assert (folder / 'epoch_1.pth').read_text() == 'result'

    def test_full_disk(self, mounted, trained, tmp_path):
        """An attack on a file system of 2 MB, full when it goes on."""
        folder = mounted('size=2m')

        def attack(end, resume):
            cfg = load_config(
                str(trained / 'attack.py'),
                {'train_cfg.max_epochs': 3},
                work_dir=str(folder),
                resume=resume,
            )
            cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
            cfg.experiment_name = f'{tmp_path.name}_{end}'
            with claim_work_dir(cfg, ['train']):
                cfg.train_cfg.max_epochs = end
                Runner.from_cfg(cfg).train()

        attack(2, None)
        names = (
            'epoch_1.pth',
            'epoch_2.pth',
            'last_checkpoint',
            'patch.npy',
            'patch.png',
            'patches/epoch_0002.png',
        )
        before = {name: (folder / name).read_bytes() for name in names}
        with pytest.raises(OSError, match='No space'), open(folder / 'fill', 'wb') as f:
            while True:
                f.write(bytes(4096))
                f.flush()
        with pytest.raises(WorkDirError, match='No space left on device') as error:
            attack(3, 'auto')
        assert f'cannot write into work dir {folder}' in str(error.value)
        assert {name: (folder / name).read_bytes() for name in names} == before
        assert not list(folder.rglob('*.tmp'))
        (folder / 'fill').unlink()
        attack(3, 'auto')
        assert (folder / 'epoch_3.pth').stat().st_size > 0
        assert load_patch(folder / 'patch.npy').isfinite().all()


@pytest.fixture
def mounted(tmp_path):
    """Mounts a file system in memory, where this is allowed."""
    folder = tmp_path / 'disk'

    def mount(options):
        folder.mkdir()
        done = subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            folder.rmdir()
            pytest.skip('file systems cannot be mounted here')
        return folder

    yield mount
    if folder.is_dir():
        subprocess.run(['umount', '-l', str(folder)], check=True)
