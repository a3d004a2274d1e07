"""Tools that are given a checkpoint with a payload in it."""

from __future__ import annotations

import sys

import pytest
import torch


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('tool', 'options'),
    [
        ('test.py', ['detector.py', 'EVIL', '--work-dir', 'WORK']),
        ('train.py', ['detector.py', '--resume', 'EVIL', '--work-dir', 'WORK']),
        (
            'attack.py',
            [
                'attack.py',
                '--work-dir',
                'WORK',
                '--cfg-options',
                'model.detector.checkpoint=EVIL',
            ],
        ),
        ('attack.py', ['attack.py', '--resume', 'EVIL', '--work-dir', 'WORK']),
        ('publish.py', ['model', 'EVIL', 'WORK']),
        ('model_converters/mobilenet_v2.py', ['EVIL', 'WORK']),
    ],
)
def test_payload_is_refused(tmp_path, trained, run, tool, options):
    evil, trap = tmp_path / 'evil.pth', tmp_path / 'ran'
    meta = dict(epoch=1, iter=2, extra=Payload(trap))
    torch.save(dict(state_dict={}, meta=meta, message_hub={}), evil)
    places = {
        'EVIL': str(evil),
        'WORK': str(tmp_path / 'work'),
        'detector.py': str(trained / 'detector.py'),
        'attack.py': str(trained / 'attack.py'),
    }
    arguments = []
    for option in options:
        for name, place in places.items():
            option = option.replace(name, place)
        arguments.append(option)
    # These two are run nowhere else: with imports of their own.
    own = tool in ('publish.py', 'model_converters/mobilenet_v2.py')
    done = run(tool, *arguments, **dict(python=sys.executable) if own else {})
    assert done.returncode != 0
    assert 'evil.pth is refused, since it holds more than tensors' in done.stderr
    assert not trap.exists()
