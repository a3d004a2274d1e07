"""What results say of the machine that they were made on."""

from __future__ import annotations

from pathlib import Path

from mmdet_facepatch.utils.provenance import portable


def test_paths_are_portable():
    value = {
        'a': [
            '/home/user/repo/configs/../configs/x.py',
            '/env/lib/site-packages/s/c.png',
            '/elsewhere/deep/file.npy',
            'relative/x',
            'facepatch://x',
            3,
        ],
        'b': (Path('/home/user/repo/y'), '/'),
    }
    assert portable(value, '/home/user/repo') == {
        'a': ['configs/x.py', 's/c.png', 'file.npy', 'relative/x', 'facepatch://x', 3],
        'b': ['y', ''],
    }
