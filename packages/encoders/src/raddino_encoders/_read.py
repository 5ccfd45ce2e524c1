"""One image of any kind to grey pixels: arrays, tensors, pictures and paths of PNG, JPEG, TIFF and DICOM files.

For files as people have them at hand. An archive, with its windows, padding and damage, is cxr-io's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from raddino_encoders._errors import EncoderError

Picture = NDArray[Any] | torch.Tensor | Image.Image | str | Path
"""What `Encoder.preprocess` takes: (H, W) of uint8, uint16 or floats in [0, 1], a picture, or a path."""

_DEEP = {"I;16", "I;16L", "I;16B", "I", "F"}  # Pillow's modes of more than 8 bits


def to_grey(image: Picture, name: str) -> NDArray[Any]:
    """Grey pixels (H, W): uint8, or float32 in [0, 1] of what is deeper.

    Args:
        image: an array, a tensor, also (1, H, W), a Pillow picture, or the path of a file.
        name: for messages.

    Raises:
        EncoderError: another shape, type or range; a file that can't be read.
    """
    if isinstance(image, str | Path):
        image, name = read_image(Path(image)), str(image)
    if isinstance(image, Image.Image):
        image = _of_picture(image)
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
        image = image[0] if image.ndim == 3 and len(image) == 1 else image
    return _checked(np.asarray(image), name)


def read_image(path: Path) -> NDArray[Any]:
    """The pixels of a file: uint8 or uint16 (H, W) as stored, colours as luminance; DICOM as floats in [0, 1].

    DICOM goes through its modality LUT, is inverted where it is MONOCHROME1, and spread from its smallest to its
    largest value.

    Raises:
        EncoderError: no such file, no image, several frames, colour DICOM, a missing codec.
    """
    try:
        with path.open("rb") as file:
            head = file.read(132)
        if head[128:] == b"DICM":
            return _read_dicom(path)
        with Image.open(path) as picture:
            return _of_picture(picture)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise EncoderError(f"{path}: expected a PNG, JPEG, TIFF or DICOM file that can be read ({error})") from error


def _read_dicom(path: Path) -> NDArray[Any]:
    try:
        from pydicom import dcmread
        from pydicom.pixels import apply_modality_lut, pixel_array
    except ImportError as error:
        raise EncoderError(f"{path}: DICOM needs pydicom; pip install 'raddino-encoders[dicom]'") from error
    try:
        ds = dcmread(path)
        pixels = np.asarray(apply_modality_lut(pixel_array(ds), ds), np.float32)
    except Exception as error:  # pydicom and its codecs raise anything on what is damaged
        raise EncoderError(f"{path}: expected a DICOM file that can be decoded ({error})") from error
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.ndim != 2 or not high > low:
        raise EncoderError(
            f"{path}: expected one grey frame with an image in it, got shape {pixels.shape}, {low} to {high}"
        )
    unit = (pixels - low) / (high - low)
    return 1 - unit if ds.PhotometricInterpretation == "MONOCHROME1" else unit


def _of_picture(picture: Image.Image) -> NDArray[Any]:
    return np.asarray(picture if picture.mode in _DEEP else picture.convert("L"))


def _checked(image: NDArray[Any], name: str) -> NDArray[Any]:
    if image.ndim != 2 or not image.size:
        raise EncoderError(f"{name}: expected a grey image (H, W), got shape {image.shape}")
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:  # of either byte order
        return image.astype(np.float32) / np.float32(65535)
    if image.dtype.kind != "f":
        raise EncoderError(f"{name}: expected uint8, uint16 or floats in [0, 1], got {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise EncoderError(f"{name}: expected floats in [0, 1], got {low:g} to {high:g}; rescale it")
    return image.astype(np.float32)
