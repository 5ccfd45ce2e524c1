"""Sample codecs: how the pixels of an image are kept in a shard; both are lossless, and the extension tells which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError

_ADD_JXL = "pip install 'cxr-io[jxl]'"


def png(image: NDArray[Any]) -> bytes:
    """Lossless PNG of a grey image (H, W), uint8 or uint16."""
    ok, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise CxrError("unwritable", f"expected an 8- or 16-bit image, got {image.dtype}")
    return bytes(data)


def unpng(data: bytes) -> NDArray[Any]:
    """Pixels of a PNG; ValueError where it does not decode."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise ValueError("a PNG does not decode")
    return np.asarray(image)


def jxl(image: NDArray[Any]) -> bytes:
    """Lossless JPEG XL of a grey image (H, W), uint8 or uint16; effort 1, which is twenty times as fast as PNG."""
    from imagecodecs import jpegxl_encode

    return bytes(jpegxl_encode(image, lossless=True, effort=1, numthreads=1))


def unjxl(data: bytes) -> NDArray[Any]:
    """Pixels of a JPEG XL; ValueError where it does not decode."""
    check_codec("jxl")
    from imagecodecs import JpegxlError, jpegxl_decode

    try:
        return np.asarray(jpegxl_decode(data, numthreads=1))
    except JpegxlError as error:
        raise ValueError(f"a JPEG XL does not decode: {error}") from error


CODECS: dict[str, tuple[Callable[[NDArray[Any]], bytes], Callable[[bytes], NDArray[Any]]]] = {
    "png": (png, unpng),
    "jxl": (jxl, unjxl),
}
"""Writer and reader of pixels, by extension."""


def check_codec(name: str) -> str:
    """The name itself, if it is one of `CODECS` and can be used here."""
    if name not in CODECS:
        raise CxrError("usage", f"expected a codec of {', '.join(CODECS)}; got {name!r}")
    if name == "jxl":
        try:
            import imagecodecs  # noqa: F401
        except ImportError as error:
            raise CxrError(
                "missing_codec", f"expected imagecodecs for JPEG XL samples, it can't be imported; {_ADD_JXL}"
            ) from error
    return name
