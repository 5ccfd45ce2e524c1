"""What an input may announce before anything is allocated for it: a decompression bomb is a rejection."""

from __future__ import annotations

from cxr_io._errors import CxrError

LEAST_SIDE = 16
MOST_PIXELS = 120_000_000  # a 35 x 43 cm film scanned at 50 micrometres has 60 million
MOST_BYTES = 256 << 20  # of a file, and of what it decompresses to


def check_pixels(rows: int, columns: int, bytes_each: int = 1) -> None:
    """Refuse an image of more than `MOST_PIXELS` pixels or, decoded, `MOST_BYTES` bytes."""
    if rows * columns > MOST_PIXELS:
        raise CxrError("too_large", f"expected at most {MOST_PIXELS:,} pixels, got {columns} x {rows}")
    check_bytes("decoded image", rows * columns * bytes_each)


def refuse_small(rows: int, columns: int) -> None:
    """Refuse an image of less than `LEAST_SIDE` pixels a side, which is an icon and no radiograph."""
    if min(rows, columns) < LEAST_SIDE:
        raise CxrError("too_small", f"expected at least {LEAST_SIDE} pixels a side, got {columns} x {rows}")


def check_bytes(what: str, count: int) -> None:
    """Refuse more than `MOST_BYTES` bytes."""
    if count > MOST_BYTES:
        raise CxrError("too_large", f"expected a {what} of at most {MOST_BYTES >> 20} MiB, got {count >> 20} MiB")


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
