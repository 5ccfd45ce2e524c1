"""What a compressed image announces of itself, read from its first bytes: nothing is decoded.

A decoder allocates what the codestream says, whatever the file around it says; so this is asked before it runs.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*")
JPEG2000 = b"\xff\x4f\xff\x51"
_PNG_SAMPLES = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # as OpenCV expands them, palette and grey with alpha included
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_TIFF_TYPES = {3: "H", 4: "I"}


class Announced(NamedTuple):
    """Size, samples a pixel and bits a sample of an image."""

    rows: int
    columns: int
    samples: int
    bits: int

    @property
    def bytes_each(self) -> int:
        """Bytes of one decoded pixel."""
        return self.samples * (self.bits + 7 >> 3)


def announced(data: bytes) -> Announced | None:
    """What a PNG, JPEG, JPEG-LS or JPEG 2000 codestream announces; None where it can't be found."""
    try:
        if data.startswith(PNG):
            columns, rows, bits, kind = struct.unpack_from(">IIBB", data, 16)
            return Announced(rows, columns, _PNG_SAMPLES.get(kind, 4), bits)
        if data.startswith(JPEG[:2]):
            return _jpeg(data)
        if (at := data.find(JPEG2000, 0, 4096)) >= 0:  # some writers leave it in its JP2 box
            right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
            (samples, depth) = struct.unpack_from(">HB", data, at + 40)
            return Announced(bottom - top, right - left, samples, (depth & 0x7F) + 1)
    except struct.error:  # the header is cut off
        return None
    return None


def _jpeg(data: bytes) -> Announced | None:
    at = 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        # A start of frame: JPEG's but its tables' and arithmetic coding's markers, or JPEG-LS's.
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
            return Announced(rows, columns, samples, bits)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def jpeg_is_whole(data: bytes) -> bool:
    """Whether a JPEG's last scan is followed by its end of image; libjpeg fills what is missing with grey."""
    return data.rfind(_END_OF_IMAGE) > data.rfind(_START_OF_SCAN)


def png_is_whole(data: bytes) -> bool:
    """Whether a PNG's chunks lie within the file to the last; a decoder allocates what a chunk's length says."""
    at = len(PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False


def tiff_pages(data: bytes) -> list[dict[int, int]]:
    """The first value of every integer tag of each page; `struct.error` where a directory is cut off."""
    order = "<" if data[:1] == b"I" else ">"
    pages: list[dict[int, int]] = []
    seen = {0}
    (directory,) = struct.unpack_from(order + "I", data, 4)
    while directory not in seen:  # the last is followed by 0; a damaged one by itself
        seen.add(directory)
        (count,) = struct.unpack_from(order + "H", data, directory)
        end = directory + 2 + 12 * count
        pages.append(dict(_tiff_tag(data, order, entry) for entry in range(directory + 2, end, 12)))
        (directory,) = struct.unpack_from(order + "I", data, end)
    return pages


def tiff_page(tags: dict[int, int]) -> Announced:
    """What a page's tags announce; a tile, which is decoded whole, may be larger than the page."""
    rows, columns = (max(tags.get(side, 0), tags.get(tile, 0)) for side, tile in ((257, 323), (256, 322)))
    return Announced(rows, columns, tags.get(277, 1), tags.get(258, 1))


def _tiff_tag(data: bytes, order: str, entry: int) -> tuple[int, int]:
    tag, kind, values = struct.unpack_from(order + "HHI", data, entry)
    if not (letter := _TIFF_TYPES.get(kind)):
        return tag, 0
    inline = struct.calcsize(letter) * values <= 4
    place = entry + 8 if inline else struct.unpack_from(order + "I", data, entry + 8)[0]
    return tag, struct.unpack_from(order + letter, data, place)[0]
