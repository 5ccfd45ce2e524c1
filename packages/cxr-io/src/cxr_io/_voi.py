"""What DICOM says of single pixels, as tables over the words that a file may hold (PS3.3 C.11.1, C.11.2, C.7.5.1.1.2).

A table has one entry a word: 256 or 65,536. Words become stored values (bits that are not theirs masked off, sign
extended), those become values by the modality LUT, and those levels in 0..1 by the VOI LUT.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from cxr_io._errors import CxrError
from cxr_io._intensity import LUMA, light

Table = NDArray[np.float64]


def stored_values(ds: Dataset, words: NDArray[Any]) -> NDArray[np.int64]:
    """The stored value of every word that `words` (uint8 or uint16) may hold."""
    bits, signed = int(ds.BitsStored), bool(ds.get("PixelRepresentation"))
    size = 8 * words.itemsize
    if not 1 <= bits <= size:
        raise CxrError("unreadable", f"expected BitsStored of 1 to {size}, got {bits}")
    table = np.arange(1 << size) >> _shift(ds, words, bits) & (1 << bits) - 1
    return _sign_extended(table, bits) if signed else table


def _shift(ds: Dataset, words: NDArray[Any], bits: int) -> int:
    """How far above the lowest bit the stored bits lie.

    The standard now has HighBit one less than BitsStored. Old files keep overlays below the pixels and say so
    by a HighBit above; files whose HighBit is merely wrong hold nothing, or an overlay, in the bits above.
    """
    high = int(ds.get("HighBit", bits - 1))
    shift = high + 1 - bits
    if not 0 < shift <= 8 * words.itemsize - bits:
        return 0
    overlaid = any(ds.get((group, 0x0102)) and ds[group, 0x0102].value >= bits for group in range(0x6000, 0x6020, 2))
    return 0 if overlaid or not (words >> bits).any() else shift


def _sign_extended(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    half = 1 << bits - 1
    return (values ^ half) - half


def padding(ds: Dataset, stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which words are padding: those of PixelPaddingValue, or from there to PixelPaddingRangeLimit.

    Either may be written with the wrong sign, or in all the bits of the word although fewer are stored.
    """
    if ds.get("PixelPaddingValue") is None:
        return np.zeros(len(stored), bool)
    size = len(stored).bit_length() - 1
    whole = np.arange(len(stored))
    signed = bool(ds.get("PixelRepresentation"))
    if signed:
        whole = _sign_extended(whole, size)
    ends = [int(ds.PixelPaddingValue)]
    ends.append(ends[0] if ds.get("PixelPaddingRangeLimit") is None else int(ds.PixelPaddingRangeLimit))
    ends = [end & len(stored) - 1 for end in ends]
    if signed:
        ends = [(end ^ 1 << size - 1) - (1 << size - 1) for end in ends]
    low, high = sorted(ends)
    return ((stored >= low) & (stored <= high)) | ((whole >= low) & (whole <= high))


def modality(ds: Dataset, stored: NDArray[np.int64]) -> Table:
    """Values by the modality LUT: its sequence where there is one, else slope and intercept."""
    if ds.get("ModalityLUTSequence"):
        return _sequence(ds, ds.ModalityLUTSequence[0], stored.astype(np.float64))[0]
    slope, intercept = (
        float(ds.get(name) or neutral) for name, neutral in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    values = np.asarray(stored * slope + intercept, np.float64)
    if not np.isfinite(values).all():
        raise CxrError("unreadable", "expected finite RescaleSlope and RescaleIntercept")
    return values


def has_voi(ds: Dataset) -> bool:
    """Whether the file says how it is to be looked at."""
    return bool(ds.get("VOILUTSequence")) or (
        _first(ds, "WindowCenter") is not None and _first(ds, "WindowWidth") is not None
    )


def voi(ds: Dataset, values: Table) -> Table:
    """Levels in 0..1 by the first VOI LUT, else by the first window (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    if ds.get("VOILUTSequence"):
        entries, bits = _sequence(ds, ds.VOILUTSequence[0], np.rint(values))
        return np.clip(entries / ((1 << bits) - 1), 0, 1)
    centre, width = _first(ds, "WindowCenter"), _first(ds, "WindowWidth")
    function = str(ds.get("VOILUTFunction") or "LINEAR")
    if centre is None or width is None or not np.isfinite((centre, width)).all() or width <= 0:
        raise CxrError("unreadable", "expected WindowCenter and a WindowWidth above 0")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width <= 1:  # a threshold
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def palette(ds: Dataset, stored: NDArray[np.int64]) -> Table:
    """The light of every palette entry."""
    colours = apply_color_lut(stored.reshape(1, -1), ds)[0]
    return np.asarray(colours[:, :3] @ np.array(LUMA))


def grey(samples: NDArray[Any], photometric: str) -> NDArray[Any]:
    """The light (H, W) of samples (H, W, 3), as uint16 where it is worked out and as stored where it is there."""
    if photometric.startswith("YBR"):
        return np.ascontiguousarray(samples[..., 0])
    if photometric != "RGB":
        raise CxrError("unreadable", "expected MONOCHROME, RGB, YBR or PALETTE COLOR pixels, got others")
    return light(samples)


def _sequence(ds: Dataset, item: Dataset, values: Table) -> tuple[Table, int]:
    """A LUT's entries for values, the first and last standing for all beyond; and the bits of an entry."""
    length, first, bits = (int(number) for number in item.LUTDescriptor)
    length = length or 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        little = ds.original_encoding[1]
        entries = np.frombuffer(data, "u1" if len(data) < 2 * length else "<u2" if little else ">u2")
    else:
        entries = np.atleast_1d(np.asarray(data))
    entries = entries.astype(np.int64) & 0xFFFF
    if len(entries) < length or not 1 <= bits <= 16:
        raise CxrError(
            "unreadable", f"expected a LUT of {length} entries of at most 16 bits, got {len(entries)} of {bits}"
        )
    # Signedness of the first value mapped is that of the values it maps, whatever VR it was written with.
    if first >= 1 << 15 and values.min() < 0:
        first -= 1 << 16
    at = np.clip(values - first, 0, length - 1).astype(np.int64)
    return entries[at].astype(np.float64), bits


def _first(ds: Dataset, name: str) -> float | None:
    value = ds.get(name)
    if value is None or value == "":
        return None
    return float(value[0]) if hasattr(value, "__getitem__") and not isinstance(value, str) else float(value)
