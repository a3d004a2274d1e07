"""How tools end: known errors in one line, others with their traceback."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest
from mmdet.registry import TASK_UTILS
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from mmdet_facepatch.engine import claim_work_dir, run_tool

HINT = ' (--debug shows where)'


class Images(Dataset):
    """A data set whose items are errors."""

    def __init__(self, read):
        self.read = read

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.read()


def end(main, capsys):
    """Status and stderr of a tool with this main."""
    with pytest.raises(SystemExit) as error:
        run_tool(main)
    return error.value.code, capsys.readouterr().err


def bad_threshold():
    TASK_UTILS.build(dict(type='PatchScoreSampleSet', score_thr=2))


def missing_key():
    dict(a=1)['b']


class TestKnown:
    def test_error_of_the_package(self, capsys):
        assert end(bad_threshold, capsys) == (
            1,
            f'ERROR: PatchScoreSampleSet: score_thr must be in [0, 1), got 2{HINT}\n',
        )

    def test_error_of_the_tool(self, capsys):
        def main():
            raise KeyError("'no' is\n  no 'key'")

        assert end(main, capsys) == (1, f"ERROR: 'no' is no 'key'{HINT}\n")

    def test_error_of_mmengine_s_registry(self, capsys):
        status, text = end(lambda: TASK_UTILS.build(dict(type='Nope')), capsys)
        assert status == 1 and text.startswith('ERROR: Nope is not in the mmdet::task')
        assert text.endswith(f'{HINT}\n') and text.count('\n') == 1

    def test_missing_file(self, capsys, tmp_path):
        path = tmp_path / 'none.json'
        assert end(lambda: path.read_text(), capsys) == (
            1,
            f"ERROR: [Errno 2] No such file or directory: '{path}'{HINT}\n",
        )

    def test_name_of_a_class_that_mmengine_adds(self, capsys):
        """Some versions of build_from_cfg raise the error anew, with its text."""

        def main():
            try:
                bad_threshold()
            except ValueError as error:
                where = 'class `PatchScoreSampleSet` in mmdet_facepatch/x.py: '
                raise type(error)(f'{where}{error}')  # noqa: B904

        status, text = end(main, capsys)
        assert text.startswith('ERROR: PatchScoreSampleSet: score_thr must')

    def test_what_an_error_was_raised_for(self, capsys):
        """One of a library that names one of the package as its cause."""
        names = dict(main=None, bad_threshold=bad_threshold)
        code = """def main():
    try:
        bad_threshold()
    except ValueError as error:
        raise RuntimeError('no data') from error"""
        exec(compile(code, '/elsewhere/library.py', 'exec'), names)
        status, text = end(lambda: names['main'](), capsys)
        assert text.startswith('ERROR: PatchScoreSampleSet: score_thr must')

    @pytest.mark.parametrize('workers', [0, 1])
    def test_processes_that_load_data(self, capsys, workers):
        loader = DataLoader(Images(bad_threshold), num_workers=workers)
        status, text = end(lambda: list(loader), capsys)
        assert (status, text) == (
            1,
            f'ERROR: PatchScoreSampleSet: score_thr must be in [0, 1), got 2{HINT}\n',
        )


class TestUnknown:
    @pytest.mark.parametrize('workers', [0, 1])
    def test_a_lookup_that_fails(self, workers):
        """In a line of ours, but not raised by it."""
        with pytest.raises(KeyError, match='b'):
            run_tool(missing_key)
        with pytest.raises(KeyError, match='b'):
            run_tool(lambda: list(DataLoader(Images(missing_key), num_workers=workers)))

    def test_assertion(self):
        def main():
            assert main is None

        with pytest.raises(AssertionError):
            run_tool(main)

    def test_in_the_handling_of_a_known_one(self):
        """The known one was dealt with; what comes then is an error of the program."""

        def main():
            try:
                bad_threshold()
            except ValueError:
                missing_key()

        with pytest.raises(KeyError, match='b'):
            run_tool(main)

    def test_of_a_library(self):
        with pytest.raises(ZeroDivisionError):
            run_tool(lambda: 1 / 0)

    def test_debug_shows_known_ones(self, monkeypatch):
        monkeypatch.setattr(sys, 'argv', ['tool.py', '--debug'])
        with pytest.raises(ValueError, match='score_thr must be'):
            run_tool(bad_threshold)


class TestStatus:
    @pytest.mark.parametrize('value', [None, 0])
    def test_success(self, value):
        run_tool(lambda: value)

    @pytest.mark.parametrize('value', [1, 'two runs failed'])
    def test_of_the_tool(self, value):
        def leave():
            sys.exit(value)

        for main in (lambda: value, leave):
            with pytest.raises(SystemExit) as error:
                run_tool(main)
            assert error.value.code == value


class TestInterrupt:
    @pytest.fixture(autouse=True)
    def heeded(self) -> Iterator[None]:
        """Shells start what runs in the background deaf to Ctrl-C."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def interrupted(self, folder, purposes, capsys, *left, **keys):
        cfg = Config(dict(model=dict(type='X'), work_dir=str(folder), **keys))

        def main():
            with claim_work_dir(cfg, purposes):
                for name in left:
                    (folder / name).touch()
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)

        return end(main, capsys)

    def test_no_work_dir(self, capsys):
        def main():
            raise KeyboardInterrupt

        assert end(main, capsys) == (
            130,
            '\nInterrupted: the same command starts anew\n',
        )

    def test_nothing_yet(self, tmp_path, capsys):
        assert self.interrupted(tmp_path, ['train', 'report'], capsys) == (
            130,
            f'\nInterrupted: {tmp_path} has no checkpoint yet; the same command starts '
            'anew\n',
        )

    def test_no_checkpoint(self, tmp_path, capsys):
        assert self.interrupted(tmp_path, ['train'], capsys, 'patch.npy') == (
            130,
            f'\nInterrupted: {tmp_path} has no checkpoint yet; the same command with '
            '--overwrite starts anew\n',
        )

    def test_checkpoint(self, tmp_path, capsys):
        assert self.interrupted(tmp_path, ['train'], capsys, 'iter_7.pth') == (
            130,
            f'\nInterrupted: nothing in {tmp_path} is lost; the same command with '
            '--resume goes on\n',
        )

    def test_report(self, tmp_path, capsys):
        assert self.interrupted(tmp_path, ['report'], capsys) == (
            130,
            '\nInterrupted: no report was written; the same command makes it\n',
        )

    def test_other_processes_are_silent(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv('RANK', '1')
        ended = self.interrupted(tmp_path, ['train'], capsys, launcher='pytorch')
        assert ended == (130, '')


class TestTools:
    def test_one_line(self, run, workspace, tmp_path):
        """In processes of their own, as a user sees it."""
        for debug in ([], ['--debug']):
            done = run('attack.py', tmp_path / 'none.py', *debug)
            message = f'config {tmp_path / "none.py"} does not exist'
            assert done.returncode == 1
            if debug:
                assert 'Traceback' in done.stderr
                assert done.stderr.endswith(f'FileNotFoundError: {message}\n')
            else:
                assert done.stderr == f'ERROR: {message}{HINT}\n'
