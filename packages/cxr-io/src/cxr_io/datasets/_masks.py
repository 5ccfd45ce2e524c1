"""Masks as data sets publish them, rendered on demand: files, run lengths, polygons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_io._codestream import announced
from cxr_io._errors import CxrError


@dataclass(frozen=True)
class RunLength:
    """A mask as runs of numbers, column after column; several codes are the parts of one mask.

    `siim`: pairs of (pixels since the end of the run before, length), from 0. `kaggle`: pairs of (start, length),
    from 1.
    """

    codes: tuple[str, ...]
    convention: Literal["siim", "kaggle"] = "siim"


@dataclass(frozen=True)
class Polygons:
    """A mask as outlines: each a tuple of (x, y) in pixels. Pixels that an outline crosses are inside."""

    outlines: tuple[tuple[tuple[float, float], ...], ...]


MaskSource = Path | RunLength | Polygons


def load_mask(source: MaskSource, shape: tuple[int, int]) -> NDArray[Any]:
    """The mask (H, W) of an image of that shape: a file's own values, else uint8 with 1 inside.

    Raises `CxrError` (`bad_mask`) where the file has another shape, or the code leaves the image.
    """
    if isinstance(source, Path):
        return _from_file(source, shape)
    mask = np.zeros(shape, np.uint8)
    if isinstance(source, Polygons):
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32) for outline in source.outlines], (1,))
        return mask
    columns = mask.T.ravel()
    for code in source.codes:
        for start, stop in _runs(code, source.convention, columns.size):
            columns[start:stop] = 1
    return np.ascontiguousarray(columns.reshape(shape[::-1]).T)


def _from_file(path: Path, shape: tuple[int, int]) -> NDArray[Any]:
    try:
        data = path.read_bytes()
        if (found := announced(data)) and found[:2] != shape:  # it may be a bomb
            raise _misshapen(path, found[:2], shape)
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except (OSError, cv2.error) as error:
        raise CxrError("bad_mask", f"expected a mask at {path.name}: {error}") from error
    if mask is None:
        raise CxrError("bad_mask", f"expected a PNG mask at {path.name}, got a file that doesn't decode")
    if mask.shape != shape:
        raise _misshapen(path, mask.shape, shape)
    return np.asarray(mask)


def _misshapen(path: Path, found: tuple[int, ...], shape: tuple[int, int]) -> CxrError:
    return CxrError(
        "bad_mask", f"expected a mask of the image's {shape[1]} x {shape[0]} pixels, got shape {found} in {path.name}"
    )


def _runs(code: str, convention: str, size: int) -> list[tuple[int, int]]:
    try:
        numbers = np.array([int(word) for word in code.split()], dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError) as error:
        raise CxrError("bad_mask", f"expected a run-length code of pairs of integers, got {code[:40]!r}") from error
    gaps, lengths = numbers.T
    # A relative run starts where the one before ended.
    starts = np.cumsum(gaps) + np.cumsum(lengths) - lengths if convention == "siim" else gaps - 1
    stops = starts + lengths
    if (numbers < 0).any() or (starts < 0).any() or (stops > size).any():
        raise CxrError("bad_mask", f"expected runs within the image's {size} pixels, got {code[:40]!r}...")
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
