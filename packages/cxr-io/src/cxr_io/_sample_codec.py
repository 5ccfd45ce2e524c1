"""Sample codecs: how the pixels of an image are kept in a shard; both are lossless, and the extension tells which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError
from cxr_io._png import png, unpng
from cxr_io._stored_png import fits, stored_png


def jxl(image: NDArray[Any]) -> bytes:
    """Lossless JPEG XL of a grey image (H, W), uint8 or uint16; effort 1, the fastest."""
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


def _png(image: NDArray[Any]) -> bytes:
    return stored_png(image) if image.dtype == np.uint16 and fits(image) else png(image)


CODECS: dict[str, tuple[Callable[[NDArray[Any]], bytes], Callable[[bytes], NDArray[Any]]]] = {
    "png": (_png, unpng),
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
                "missing_codec",
                "expected imagecodecs for JPEG XL samples, it can't be imported; pip install 'cxr-io[codecs]'",
            ) from error
    return name
