"""JSRT's raw files: 2048 x 2048 pixels of 12 bits in big-endian words, no header, optical density (bright is 0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr_io._intensity import count, look_up, stretch

JSRT_SPACING_MM = 0.175
_SIDE = 2048


def is_jsrt(path: Path) -> bool:
    """Whether a file has the name and the size of one of JSRT's."""
    return (
        path.suffix.upper() == ".IMG"
        and path.name.upper().startswith(("JPCLN", "JPCNN"))
        and path.stat().st_size == 2 * _SIDE**2
    )


def read_jsrt(path: Path, intensity: str) -> NDArray[np.uint16]:
    """Pixels (2048, 2048) over 0..65535 in MONOCHROME2 sense."""
    words = np.fromfile(path, ">u2").reshape(_SIDE, _SIDE).astype(np.uint16)
    counts = count(words)
    return look_up(words, stretch(-np.arange(len(counts), dtype=float), counts, intensity == "percentile"))
