"""A pydicom decoder for the JPEG family by imagecodecs: baseline, extended (8 and 12 bit) and lossless.

pydicom's own list has no permissive decoder for lossless JPEG that is a codec alone: GDCM is a whole toolkit, and
pylibjpeg-libjpeg is under the GPL. libjpeg-turbo, inside imagecodecs (BSD), decodes all three.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

NAME = "cxr_io"
SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("imagecodecs>=2024.9",))


def is_available(_syntax: str) -> bool:
    """Whether imagecodecs is installed; it is not imported before a file needs it."""
    return find_spec("imagecodecs") is not None


def decode(source: bytes, runner: Any) -> bytes:
    """One frame's samples as they were encoded: no colour transformation, colour by pixel."""
    from imagecodecs import jpeg8_decode

    colour = runner.samples_per_pixel > 1
    # Equal spaces in and out: nothing is transformed. libjpeg's own guess from the markers would be.
    same = "YCBCR" if colour else None
    pixels = np.asarray(jpeg8_decode(source, colorspace=same, outcolorspace=same))
    runner.set_option("bits_allocated", pixels.itemsize * 8)
    if colour:
        runner.set_option("planar_configuration", 0)
    return pixels.tobytes()


def register() -> None:
    """Make pydicom know this decoder; again is no harm."""
    for syntax in SYNTAXES:
        decoder = get_decoder(syntax)
        if NAME not in decoder.available_plugins and not any(NAME in line for line in decoder.missing_dependencies):
            decoder.add_plugin(NAME, (__name__, decode.__name__))
