"""What a run shows, and what only its log has."""

from __future__ import annotations

import logging

from mmengine.logging import MMLogger

from mmdet_facepatch.engine.launch import RUNNER_FILE, QuietRunner

LISTS = (
    'System environment:',
    'Config:',
    'Hooks will be executed in the following order',
)


def test_long_lists_are_in_the_log_only(attacked):
    """The attack ran with imports of its own."""
    shown = (attacked / 'attack.log').read_text()
    log = next((attacked / 'attack').glob('*/*.log'))
    logged = log.read_text()
    for text in LISTS:
        assert text in logged and text not in shown
    for text in ('Epoch(train)', 'margins', 'Checkpoints will be saved'):
        assert (text in logged) == (text in shown)
    assert 'Epoch(train)' in shown
    assert f'environment, config and hooks are in {log}' in shown
    assert 'OneDL' not in shown


class Bare(QuietRunner):
    """Has what its logger needs."""

    def __init__(self, folder):
        self._log_dir, self._timestamp = str(folder), 'now'
        self._experiment_name = 'test_of_the_logger'


def test_warnings_and_others_are_shown(tmp_path, capsys):
    logger = Bare(tmp_path).build_logger()

    def log(level, text, file=RUNNER_FILE, function='_log_env'):
        record = (logger.name, level, file, 1, text, (), None, function)
        logger.handle(logging.LogRecord(*record))

    log(logging.INFO, 'environment')
    log(logging.WARNING, 'careful')
    log(logging.INFO, 'of another file', 'other.py')
    log(logging.INFO, 'of another function', function='train')
    log(logging.INFO, f'{LISTS[2]}: ...', function='__init__')
    written = capsys.readouterr()
    shown = written.out + written.err
    for text in ('careful', 'of another file', 'of another function'):
        assert text in shown
    assert 'environment' not in shown and LISTS[2] not in shown
    # Everything is in the file.
    assert (tmp_path / 'now.log').read_text().count('\n') == 5
    assert isinstance(logger, MMLogger)
