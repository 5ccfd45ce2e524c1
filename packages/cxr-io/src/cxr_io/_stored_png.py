"""16-bit grey PNG without compression: its bytes depend on the pixels alone, and any program reads it.

The low byte of 16 bits is noise, so that compression saves a fifth and takes ten times as long to read. The pixels are
a zlib stream (RFC 1950) of stored blocks (RFC 1951, 3.2.4), each of as many whole rows as fit, without filter; so that
to read them is to copy them and to turn their bytes about.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

_SIGNATURE, _ZLIB = b"\x89PNG\r\n\x1a\n", b"\x78\x01"
_GREY = b"\x10\0\0\0\0"  # of the header: 16 bits, grey, deflated, filtered by row, not interlaced
_MOST = 65535  # bytes of a stored block
_BLOCK = 5  # bytes before one
_NAME = 8 + 25 + 4  # the signature and the header come before the name IDAT
_FIRST = _NAME + 4 + len(_ZLIB)
_END = 12  # bytes of the chunk IEND


def fits(image: NDArray[np.uint16]) -> bool:
    """Whether a row of an image (H, W) is no more than a block."""
    return bool(1 + 2 * image.shape[1] <= _MOST)


def stored_png(image: NDArray[np.uint16]) -> bytes:
    """PNG of an image (H, W) that `fits`."""
    height, width = image.shape
    rows = np.zeros((height, 1 + 2 * width), np.uint8)  # 0 is the filter None
    rows[:, 1:] = image.astype(">u2", order="C").view(np.uint8)
    data = rows.tobytes()
    size = rows.shape[1] * (_MOST // rows.shape[1])
    parts = [_ZLIB]
    for at in range(0, len(data), size):
        block = data[at : at + size]
        parts += [_before(len(block), at + size >= len(data)), block]
    header = struct.pack(">II", width, height) + _GREY
    pixels = b"".join([*parts, struct.pack(">I", zlib.adler32(data))])
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def read_stored(data: bytes) -> NDArray[np.uint16] | None:
    """Pixels (H, W) of what `stored_png` wrote; None of any other PNG, and ValueError where its checksum is wrong."""
    if not data.startswith(_SIGNATURE) or data[24:29] != _GREY:
        return None
    width, height = struct.unpack_from(">II", data, 16)
    row = 1 + 2 * width
    if not 1 < row <= _MOST or not height:
        return None
    each = _MOST // row
    full = (height - 1) // each  # blocks before the last
    end = _FIRST + _BLOCK * (full + 1) + row * height + 4
    if len(data) != end + 4 + _END or data[_NAME - 4 : _NAME + 4] != struct.pack(">I", end - _NAME - 4) + b"IDAT":
        return None
    if isal_zlib.crc32(memoryview(data)[_NAME:end]) != int.from_bytes(data[end : end + 4], "big"):
        raise ValueError("the checksum of a PNG's pixels is wrong")
    pixels = np.empty((height, width), "<u2")
    step = _BLOCK + each * row
    for first, blocks, rows in ((0, full, each), (full, 1, height - full * each)):
        at = _FIRST + first * step
        before = np.ndarray((blocks, _BLOCK), np.uint8, data, at, (step, 1))
        filters = np.ndarray((blocks, rows), np.uint8, data, at + _BLOCK, (step, row))
        if (before != np.frombuffer(_before(rows * row, first == full), np.uint8)).any() or filters.any():
            return None
        content = np.ndarray((blocks, rows, 2 * width), np.uint8, data, at + _BLOCK + 1, (step, row, 1))
        pixels[first * each :][: blocks * rows].view(np.uint8).reshape(content.shape)[:] = content
    low = pixels << np.uint16(8)  # twice as fast as to copy from big-endian words
    pixels >>= np.uint16(8)
    pixels |= low
    return pixels.astype(np.uint16, copy=False)


def _before(size: int, last: bool) -> bytes:
    """What comes before a stored block."""
    return struct.pack("<BHH", last, size, size ^ 0xFFFF)


def _chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(content, zlib.crc32(name))
    return b"".join([struct.pack(">I", len(content)), name, content, struct.pack(">I", crc)])
