"""glibc's treatment of freed memory."""

import platform
import subprocess

import pytest

# Page faults of large tensors that are made and freed again and again.
SCRIPT = """
import resource, sys, torch
from mmdet_facepatch.utils.memory import keep_freed_memory
if sys.argv[1] == 'keep':
    assert keep_freed_memory()
torch.set_num_threads(1)
torch.randn(3 << 22).relu().sigmoid()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.randn(3 << 22).relu().sigmoid()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='no glibc here')
def test_pages_are_kept(warm_python):
    faults = {
        mode: int(
            subprocess.run(
                [warm_python, '-c', SCRIPT, mode],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()[-1]
        )
        for mode in ('default', 'keep')
    }
    assert faults['keep'] < 0.8 * faults['default']
