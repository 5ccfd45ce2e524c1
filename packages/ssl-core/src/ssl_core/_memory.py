"""Memory that is freed stays with the process, so that a step's large tensors don't come as untouched pages again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # <malloc.h> of glibc


def keep_freed_memory() -> bool:
    """Tell glibc to serve every size from its heap and never shrink it; False where there is no glibc.

    By default a freed tensor of some megabytes goes back to the system, and the next one of its size is cleared and
    mapped page by page: on CPUs a tenth of the time of a training step. The process holds on to its peak instead.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return all(
        mallopt(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 1 << 26))
    )
