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
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    UID_dictionary,
)

from cxr_io import _codecs
from cxr_io._codestream import JPEG, announced, jpeg_is_whole
from cxr_io._errors import CxrError
from cxr_io._limits import Limits, truncated

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def syntax_name(syntax: str) -> str:
    """Name and UID of a transfer syntax; no UID that the standard doesn't list, as it may hold anything."""
    return f"{UID(syntax).name} ({syntax})" if syntax in UID_dictionary else "a transfer syntax unknown to DICOM"


def is_decodable(syntax: str) -> bool:
    """Whether files in a transfer syntax can be read here, as installed."""
    return syntax in _NATIVE or (syntax in _codecs.SYNTAXES and _codecs.is_available(syntax))


def decode(ds: Dataset, frame: int, limits: Limits) -> tuple[NDArray[Any], str]:
    """Stored samples (H, W) or (H, W, 3) of a frame, untouched, and the photometric interpretation that they are in."""
    syntax = str(ds.file_meta.TransferSyntaxUID)
    if not is_decodable(syntax):
        remedy = (
            "none is installed; pip install 'cxr-io[codecs]'"
            if syntax in _codecs.SYNTAXES
            else "there is none; convert it"
        )
        raise CxrError("missing_codec", f"expected a decoder for {syntax_name(syntax)}, {remedy}")
    if syntax in _NATIVE:
        _refuse_truncated(ds)
        options: dict[str, Any] = {"view_only": True}
    else:
        _refuse_codestream(ds, syntax, frame, limits)
        _codecs.register()
        options = {"decoding_plugin": _codecs.NAME}
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


def _refuse_codestream(ds: Dataset, syntax: str, frame: int, limits: Limits) -> None:
    if syntax == RLELossless:  # announces nothing, and its decoder stops at the frame's end
        return
    codestream = get_frame(ds.PixelData, frame, number_of_frames=int(ds.get("NumberOfFrames") or 1))
    found = announced(codestream)
    if found is None:
        raise CxrError("unreadable", f"expected a codestream of {syntax_name(syntax)}, got none in PixelData")
    limits.check_image(found.rows, found.columns, found.bytes_each)
    expected = (ds.Rows, ds.Columns, ds.SamplesPerPixel)
    if found[:3] != expected:
        raise CxrError(
            "unreadable", f"expected rows, columns and samples {expected} in the codestream, got {tuple(found[:3])}"
        )
    if codestream.startswith(JPEG) and not jpeg_is_whole(codestream):
        raise truncated("a JPEG in PixelData")
