"""What an input may announce before anything is allocated for it: a decompression bomb is a rejection."""

from __future__ import annotations

from dataclasses import dataclass, fields

from cxr_io._errors import CxrError

LEAST_SIDE = 16


@dataclass(frozen=True)
class Limits:
    """The most that is taken on of one file; more is a rejection as `too_large`, before it is decoded.

    `pixels` of an image: a 35 x 43 cm film scanned at 50 micrometres has 60 million. `file_bytes` of the file itself,
    `decoded_bytes` of what it decompresses to. Raise them for files that are trusted: a worker needs some six times
    `decoded_bytes` of memory.
    """

    pixels: int = 120_000_000
    file_bytes: int = 256 << 20
    decoded_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        for name, value in ((entry.name, getattr(self, entry.name)) for entry in fields(self)):
            if value < 1:
                raise CxrError("usage", f"expected a limit of 1 or more {name}, got {value}")

    def check_file(self, size: int) -> None:
        """Refuse a file of so many bytes if they are too many."""
        _check_bytes("file", size, self.file_bytes)

    def check_decoded(self, what: str, size: int) -> None:
        """Refuse what decompresses to so many bytes if they are too many."""
        _check_bytes(what, size, self.decoded_bytes)

    def check_image(self, rows: int, columns: int, bytes_each: int = 1) -> None:
        """Refuse an image of too many pixels, or of too many bytes once it is decoded."""
        if rows * columns > self.pixels:
            raise CxrError("too_large", f"expected at most {self.pixels:,} pixels, got {columns} x {rows}")
        self.check_decoded("decoded image", rows * columns * bytes_each)


LIMITS = Limits()


def _check_bytes(what: str, size: int, most: int) -> None:
    if size > most:
        raise CxrError("too_large", f"expected a {what} of at most {most / 2**20:.4g} MiB, got {size / 2**20:.4g}")


def refuse_small(rows: int, columns: int) -> None:
    """Refuse an image of less than `LEAST_SIDE` pixels a side, which is an icon and no radiograph."""
    if min(rows, columns) < LEAST_SIDE:
        raise CxrError("too_small", f"expected at least {LEAST_SIDE} pixels a side, got {columns} x {rows}")


def refuse_frames(frames: int, frame: int | None) -> None:
    """Refuse several frames of which none is chosen, and a choice that isn't there."""
    if frame is None and frames > 1:
        raise CxrError(
            "multi_frame", f"expected one image, got {frames} frames; read one by frame=0 to {frames - 1}, or split it"
        )
    if frame is not None and not 0 <= frame < frames:
        raise CxrError("usage", f"expected a frame of 0 to {frames - 1}, got {frame}")


def truncated(what: str) -> CxrError:
    """The rejection of a file that ends early."""
    return CxrError("truncated", f"expected {what} to its end, got a part of it; copy the file again")
