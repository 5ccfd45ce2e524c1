"""Files that several tests write."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)  # fmt: skip

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
LOSSLESS = (
    RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL,
)  # fmt: skip
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
SYNTAXES = (*NATIVE, *LOSSLESS, *LOSSY)


def dicom(pixels: np.ndarray, **attributes: object) -> FileDataset:
    """A computed radiograph of pixels (H, W) or (H, W, 3), explicit little endian; attributes replace what it has."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PatientID, ds.PatientName = "CR", "secret-id", "Secret^Name"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    if pixels.ndim == 3:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if pixels.itemsize == 2 else "OB"
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


def save(ds: FileDataset, pixels: np.ndarray, path: Path, syntax: str) -> Path:
    """Write a data set of `dicom`'s in any of `SYNTAXES`; 8 bits are needed for baseline, at most 12 for extended."""
    import imagecodecs

    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
        ds.set_original_encoding(is_implicit_vr=False, is_little_endian=False)
    elif syntax == RLELossless:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(syntax, generate_instance_uid=False)
    elif syntax not in NATIVE:
        encoded = {
            JPEGLossless: lambda: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4),
            JPEGLosslessSV1: lambda: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1),
            JPEGBaseline8Bit: lambda: imagecodecs.jpeg8_encode(pixels, level=95),
            JPEGExtended12Bit: lambda: imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12),
            JPEGLSLossless: lambda: imagecodecs.jpegls_encode(pixels),
            JPEGLSNearLossless: lambda: imagecodecs.jpegls_encode(pixels, level=2),
            JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True),
            JPEG2000: lambda: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=80),
            HTJ2KLossless: lambda: imagecodecs.htj2k_encode(pixels),
            HTJ2KLosslessRPCL: lambda: imagecodecs.htj2k_encode(pixels),
            HTJ2K: lambda: imagecodecs.htj2k_encode(pixels, level=0.0001, reversible=False),
        }[syntax]()
        ds.PixelData = encapsulate([bytes(encoded)])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def write_dicom() -> Callable[..., Path]:
    """`write_dicom(path, pixels, syntax=..., **attributes)` writes a computed radiograph and returns its path."""

    def write(path: Path, pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **attributes: object) -> Path:
        return save(dicom(pixels, **attributes), pixels, path, syntax)

    return write


@pytest.fixture(params=SYNTAXES, ids=lambda syntax: syntax.keyword)
def syntax(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def syntaxes() -> tuple[str, ...]:
    return SYNTAXES
