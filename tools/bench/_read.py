"""Reading one file against the usual script: pydicom, SimpleITK's B-spline, min-max to 8 bits, PNG."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench._interleave import interleave
from tools.bench._resize import simpleitk

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read() -> str:
    """A DICOM file of 2544 x 3056 pixels to an 8-bit PNG of short side 518, raw and as lossless JPEG 2000."""
    import cv2
    import numpy as np
    import pydicom
    from cxr_io import read, resize_radiograph
    from imagecodecs import jpeg2k_decode, jpeg2k_encode

    cv2.setNumThreads(1)

    def ours(path: Path) -> NDArray[Any]:
        small = resize_radiograph(read(path), 518)
        return _png(np.rint(small / 257).astype(np.uint8))

    def script(path: Path) -> NDArray[Any]:
        pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
        grid = (round(pixels.shape[0] * 518 / min(pixels.shape)), round(pixels.shape[1] * 518 / min(pixels.shape)))
        small = simpleitk(pixels, *grid)()
        return _png(np.rint((small - small.min()) / np.ptp(small) * 255).astype(np.uint8))

    def _png(pixels: NDArray[Any]) -> NDArray[Any]:
        cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return pixels

    with tempfile.TemporaryDirectory() as place:
        raw, packed = Path(place) / "raw.dcm", Path(place) / "packed.dcm"
        pixels = _phantom()
        _write(raw, pixels, pydicom.uid.ExplicitVRLittleEndian, pixels.tobytes())
        codestream = bytes(jpeg2k_encode(pixels, codecformat="j2k", reversible=True))
        _write(packed, pixels, pydicom.uid.JPEG2000Lossless, pydicom.encaps.encapsulate([codestream]))
        apart = np.abs(ours(raw).astype(int) - script(raw))
        if apart.max() > 1 or (apart > 0).mean() > 0.01:
            raise RuntimeError(f"expected the same PNG of both, got a difference of {apart.max()} grey levels")
        lines = []
        for name, path in (("raw", raw), ("J2K", packed)):
            mine, theirs = interleave(lambda path=path: ours(path), lambda path=path: script(path), 5)  # type: ignore[misc]
            lines.append(f"{name} {theirs / mine:.1f} x ({mine * 1e3:.0f} ms against {theirs * 1e3:.0f} ms)")
        codec, _ = interleave(lambda: jpeg2k_decode(codestream, numthreads=1), lambda: None, 3)
        return f"{', '.join(lines)} pydicom + SimpleITK; decoding J2K alone is {codec * 1e3:.0f} ms of it"


def _phantom() -> NDArray[Any]:
    """Twelve bits of smooth anatomy with the noise of a detector, from a seed."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.random((24, 20)).astype(np.float32), (2544, 3056), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth * 3000 + 500 + rng.normal(0, 15, smooth.shape), 0, 4095), np.uint16)


def _write(path: Path, pixels: NDArray[Any], syntax: str, data: bytes) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    meta.TransferSyntaxUID = syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PhotometricInterpretation, ds.SamplesPerPixel = "CR", "MONOCHROME2", 1
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = data
    ds["PixelData"].VR = "OB" if ds.file_meta.TransferSyntaxUID.is_encapsulated else "OW"
    ds["PixelData"].is_undefined_length = ds.file_meta.TransferSyntaxUID.is_encapsulated
    ds.save_as(path, enforce_file_format=True)
