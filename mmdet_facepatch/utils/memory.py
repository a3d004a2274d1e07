"""How the C library treats memory that tensors on the CPU have freed."""

from __future__ import annotations

import ctypes
import platform

# Numbers of the options in glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEEP = 1 << 30


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next step.

    By default it returns every large block to the system at once and has its
    pages cleared anew for the next one, a good part of a step's time on the CPU. The
    process's peak memory is the same; it holds it until it ends.

    Returns:
        bool: Whether there is a glibc that took the settings.
    """
    if platform.libc_ver()[0] != 'glibc':
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(M_MMAP_THRESHOLD, KEEP), mallopt(M_TRIM_THRESHOLD, KEEP)])
