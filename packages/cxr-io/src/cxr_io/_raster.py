"""PNG, JPEG and TIFF, told by their first bytes and decoded by OpenCV."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_io._codestream import JPEG, PNG, TIFF, announced, jpeg_is_whole, png_is_whole, tiff_page, tiff_pages
from cxr_io._errors import CxrError
from cxr_io._intensity import count, light, look_up, stretch
from cxr_io._limits import Limits, refuse_frames, refuse_small, truncated

SIGNATURES = (PNG, JPEG, *TIFF)
_HEAD = 1 << 20  # comments and profiles may come before a JPEG's size
_PHOTOMETRIC = 262  # the TIFF tag; 0 is white, as in MONOCHROME1


def read_raster(path: Path, intensity: str, frame: int | None, limits: Limits) -> NDArray[np.uint16]:
    """Pixels (H, W) over 0..65535. Colour becomes its light, alpha is left out; a TIFF's pages are its frames."""
    limits.check_file(path.stat().st_size)
    data = path.read_bytes()
    try:
        image, turned = (_tiff if data.startswith(TIFF) else _single)(data, frame, limits)
    except (cv2.error, struct.error) as error:
        raise _damaged() from error
    words = _words(image)
    refuse_small(words.shape[0], words.shape[1])
    counts = count(words)
    levels = stretch(np.arange(len(counts), dtype=float), counts, intensity == "percentile")
    return look_up(words, 1 - levels if turned else levels)


def raster_size(path: Path, limits: Limits) -> tuple[int, int]:
    """Rows and columns that a PNG, a JPEG or a TIFF's first page announces; (0, 0) where none does."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if data.startswith(TIFF):  # whose directory may lie at its end
            data += file.read(limits.file_bytes)
    try:
        found = tiff_page(tiff_pages(data)[0]) if data.startswith(TIFF) else announced(data)
    except struct.error:
        return 0, 0
    return (found.rows, found.columns) if found else (0, 0)


def _single(data: bytes, frame: int | None, limits: Limits) -> tuple[Any, bool]:
    refuse_frames(1, frame)
    found = announced(data)
    if found is None or (data.startswith(PNG) and not png_is_whole(data)):
        raise _damaged()
    limits.check_image(found.rows, found.columns, found.bytes_each)
    if data.startswith(JPEG) and not jpeg_is_whole(data):
        raise truncated("a JPEG")
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), False


def _tiff(data: bytes, frame: int | None, limits: Limits) -> tuple[Any, bool]:
    """The page's pixels, and whether they are still to be turned over."""
    pages = tiff_pages(data)
    refuse_frames(len(pages), frame)
    tags = pages[frame or 0]
    found = tiff_page(tags)
    limits.check_image(found.rows, found.columns, found.bytes_each)
    one = (frame or 0, (frame or 0) + 1)
    _, images = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=one)
    # OpenCV turns white-is-zero over at 8 bits, and leaves it at 16.
    return (images[0] if images else None), tags.get(_PHOTOMETRIC) == 0 and found.bits > 8


def _words(image: Any) -> NDArray[Any]:
    """Light (H, W) as unsigned words."""
    if image is None or image.dtype not in (np.uint8, np.uint16, np.int16):
        raise _damaged()
    if image.dtype == np.int16:
        image = image.view(np.uint16) ^ np.uint16(1 << 15)  # the same order, from 0 on
    return np.asarray(image) if image.ndim == 2 else light(image, (2, 1, 0))  # OpenCV's order is blue, green, red


def _damaged() -> CxrError:
    return CxrError("unreadable", "expected a PNG, JPEG or TIFF of 8 or 16 bits that decodes; this one does not")
