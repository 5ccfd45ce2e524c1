"""Compressed grey PNG in and out. OpenCV writes it; reading is faster where every row has the filter that it writes.

Decoding a PNG is inflating it, which ISA-L does faster than zlib, and undoing the rows' filters, of which Sub is a
running sum along the row (PNG specification, 9.2).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from cxr_io._errors import CxrError
from cxr_io._stored_png import read_stored

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = slice(8, 33)  # the chunk IHDR: length, name, 13 bytes, checksum
_SUB = 1
_MOST_BYTES = 1 << 29


def png(image: NDArray[Any]) -> bytes:
    """Compressed PNG of a grey image, 8 or 16 bit."""
    # No compression level: naming one makes OpenCV try five filters a row, for a file that is no smaller.
    ok, data = cv2.imencode(".png", image)
    if not ok:
        raise CxrError("unwritable", f"expected an 8- or 16-bit image, got {image.dtype}")
    return bytes(data)


def unpng(data: bytes) -> NDArray[Any]:
    """Pixels of a PNG; ValueError where it is damaged."""
    image = read_stored(data)
    if image is None:
        image = _unsub(data)
    if image is None and data:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("a PNG does not decode")
    return np.asarray(image)


def _unsub(data: bytes) -> NDArray[Any] | None:
    """Pixels of a grey PNG all of whose rows have the filter Sub; None of any other."""
    header = data[_HEADER]
    if not data.startswith(_SIGNATURE) or header[4:8] != b"IHDR":
        return None
    width, height = int.from_bytes(header[8:12], "big"), int.from_bytes(header[12:16], "big")
    depth, colour, _, _, interlaced = header[16:21]
    row = 1 + width * depth // 8
    if depth not in (8, 16) or colour or interlaced or not 0 < row * height <= _MOST_BYTES:
        return None
    inflated = _inflate(_pixels(data), row * height)
    rows = np.frombuffer(inflated, np.uint8).reshape(height, row)
    if (rows[:, 0] != _SUB).any():
        return None
    if depth == 8:
        return _running_sums(rows[:, 1:], np.empty((height, width), np.uint8))
    pixels = np.empty((height, width, 2), np.uint8)  # little-endian, where PNG is big-endian
    for byte in (0, 1):
        _running_sums(rows[:, 2 - byte :: 2], pixels[..., byte])
    return pixels.view("<u2")[..., 0].astype(np.uint16, copy=False)


def _running_sums(rows: NDArray[np.uint8], out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sums along the rows (H, W) modulo 256, into `out`; a fifth of the time of NumPy's `add.accumulate`.

    What a row adds to the integral image, whose own 32 bits may overflow too.
    """
    integral = cv2.integral(rows, sdepth=cv2.CV_32S)
    np.subtract(integral[1:, 1:], integral[:-1, 1:], out=out, dtype=np.int32, casting="unsafe")
    return out


def _pixels(data: bytes) -> bytes:
    """The compressed pixels of all chunks IDAT. Their own checksum, within, is the one that is checked."""
    found, at, view = [], len(_SIGNATURE), memoryview(data)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            found.append(view[at + 8 : at + 8 + size])
        at += 12 + size
    return b"".join(found)


def _inflate(data: bytes, size: int) -> bytes:
    """Exactly so many bytes, whatever the data claim."""
    inflater = isal_zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, size + 1)
    except IsalError as error:  # type: ignore[misc]  # its stub calls it an instance
        raise ValueError(f"a PNG's pixels do not inflate: {error}") from error
    if len(inflated) != size or not inflater.eof:
        raise ValueError(f"expected {size:,} bytes of a PNG's pixels, got {len(inflated):,}")
    return inflated
