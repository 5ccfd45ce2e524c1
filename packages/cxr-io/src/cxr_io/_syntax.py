"""From a data set to one frame's stored samples, in every transfer syntax that has a decoder here.

What is announced, by the header and by the codestream itself, is checked before a decoder allocates for it.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    UID_dictionary,
)

from cxr_io import _jpeg
from cxr_io._codestream import announced
from cxr_io._errors import CxrError
from cxr_io._limits import check_pixels

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
# One decoder a syntax, whatever else is installed: the same pixels on every machine, and bounds that are known.
_PLUGINS = {
    RLELossless: "pylibjpeg",  # pydicom's own makes 128 bytes of 2, whatever the frame holds
    **dict.fromkeys(_jpeg.SYNTAXES, _jpeg.NAME),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), "pyjpegls"),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), "pylibjpeg"),
}


def syntax_name(syntax: str) -> str:
    """Name and UID of a transfer syntax; no UID that the standard doesn't list, as it may hold anything."""
    return f"{UID(syntax).name} ({syntax})" if syntax in UID_dictionary else "a transfer syntax unknown to DICOM"


def is_decodable(syntax: str) -> bool:
    """Whether files in a transfer syntax can be read here, as installed."""
    if syntax in _PLUGINS:
        _jpeg.register()
        return _PLUGINS[UID(syntax)] in get_decoder(syntax).available_plugins
    return syntax in _NATIVE


def decode(ds: Dataset, frame: int) -> tuple[NDArray[Any], str]:
    """Stored samples (H, W) or (H, W, 3) of a frame, untouched, and the photometric interpretation that they are in."""
    syntax = str(ds.file_meta.TransferSyntaxUID)
    if not is_decodable(syntax):
        remedy = (
            "none is installed; pip install 'cxr-io[codecs]'" if syntax in _PLUGINS else "there is none; convert it"
        )
        raise CxrError("missing_codec", f"expected a decoder for {syntax_name(syntax)}, {remedy}")
    if syntax in _NATIVE:
        _refuse_truncated(ds)
        options: dict[str, Any] = {"view_only": True}
    else:
        _refuse_codestream(ds, syntax, frame)
        options = {"decoding_plugin": _PLUGINS[UID(syntax)]}
    # The table of intensities masks unused bits; pydicom would copy the picture for it.
    array, properties = get_decoder(syntax).as_array(
        ds, index=frame, raw=True, correct_unused_bits=False, allow_excess_frames=False, **options
    )
    return array, str(properties["photometric_interpretation"])


def _refuse_truncated(ds: Dataset) -> None:
    bits = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated * int(ds.get("NumberOfFrames") or 1)
    if ds.PhotometricInterpretation == "YBR_FULL_422":  # two colours for every four samples of light
        bits = bits * 2 // 3
    expected = math.ceil(bits / 8)
    if len(ds.PixelData) < expected:
        raise CxrError("truncated", f"expected {expected:,} bytes of pixels, got {len(ds.PixelData):,}; copy it again")


def _refuse_codestream(ds: Dataset, syntax: str, frame: int) -> None:
    if syntax == RLELossless:  # announces nothing, and its decoder stops at the frame's end
        return
    found = announced(get_frame(ds.PixelData, frame, number_of_frames=int(ds.get("NumberOfFrames") or 1)))
    if found is None:
        raise CxrError("unreadable", f"expected a codestream of {syntax_name(syntax)}, got none in PixelData")
    check_pixels(found.rows, found.columns, found.bytes_each)
    expected = (ds.Rows, ds.Columns, ds.SamplesPerPixel)
    if found[:3] != expected:
        raise CxrError(
            "unreadable", f"expected rows, columns and samples {expected} in the codestream, got {tuple(found[:3])}"
        )
