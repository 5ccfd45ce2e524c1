"""One decoder plugin for pydicom, for every compressed transfer syntax, by imagecodecs.

One permissive library decodes them all, and the same pixels come out on every machine whatever else is installed.
pydicom's own list has for lossless JPEG only GDCM, a whole toolkit, and pylibjpeg-libjpeg, which is under the GPL; for
RLE it has decoders that are unbounded or that panic on damaged files.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

NAME = "cxr_io"
_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
_JPEGLS = (JPEGLSLossless, JPEGLSNearLossless)
_JPEG2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
SYNTAXES = frozenset((RLELossless, *_JPEG, *_JPEGLS, *_JPEG2000))
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("imagecodecs>=2024.9",))


def is_available(_syntax: str) -> bool:
    """Whether imagecodecs is installed; it is not imported before a file needs it."""
    return find_spec("imagecodecs") is not None


def decode(source: bytes, runner: Any) -> bytes:
    """One frame's samples, colour by pixel, in the colours that were encoded."""
    import imagecodecs

    syntax = runner.transfer_syntax
    if syntax == RLELossless:
        return _run_lengths(source, runner)
    pixels: NDArray[Any]
    if syntax in _JPEG:
        # Equal spaces in and out: nothing is transformed. libjpeg's own guess from the markers would be.
        same = "YCBCR" if runner.samples_per_pixel > 1 else None
        pixels = imagecodecs.jpeg8_decode(source, colorspace=same, outcolorspace=same)
    elif syntax in _JPEGLS:
        pixels = imagecodecs.jpegls_decode(source)
    else:  # OpenJPEG for HTJ2K too: imagecodecs' OpenJPH returns noise for damaged files and says nothing
        pixels = imagecodecs.jpeg2k_decode(source, numthreads=1)
    if str(runner.photometric_interpretation) in ("YBR_RCT", "YBR_ICT"):  # undone by the decoder
        runner.set_option("photometric_interpretation", "RGB")
    runner.set_option("bits_allocated", pixels.itemsize * 8)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    return pixels.tobytes()


def _run_lengths(source: bytes, runner: Any) -> bytes:
    """RLE Lossless (PS3.5 G): a PackBits plane for every byte of every sample, the most significant first."""
    from imagecodecs import packbits_decode

    count, *starts = struct.unpack_from("<16I", source)
    samples, width = runner.samples_per_pixel, runner.bits_allocated // 8
    if count != samples * width:
        raise ValueError(f"expected {samples * width} segments, got {count}")
    ends = [*starts[1:count], len(source)]
    pixels = np.empty((samples, runner.rows * runner.columns, width), np.uint8)
    for plane, (start, end) in enumerate(zip(starts, ends, strict=False)):
        found = packbits_decode(source[start:end], out=pixels.shape[1])
        pixels[plane // width, :, width - 1 - plane % width] = np.frombuffer(found, np.uint8)
    if samples > 1:
        runner.set_option("planar_configuration", 1)
    return pixels.tobytes()


def register() -> None:
    """Make pydicom know this decoder; again is no harm."""
    for syntax in SYNTAXES:
        decoder = get_decoder(syntax)
        if NAME not in decoder.available_plugins and not any(NAME in line for line in decoder.missing_dependencies):
            decoder.add_plugin(NAME, (__name__, decode.__name__))
