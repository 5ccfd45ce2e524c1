"""From a file to a DICOM data set, without trusting it: bounded in size, deflated or not, with a preamble or not."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cxr_io._errors import CxrError
from cxr_io._limits import Limits, truncated

# Elements that a data set without preamble starts with: file meta information, or the first of the identification.
_FIRST = {(group, element) for group in (2, 8) for element in (0, 1, 5, 8, 0x12, 0x13, 0x14, 0x15, 0x16, 0x18)}


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file's first 132 bytes are a preamble with DICM, or a data set that starts without one."""
    if head[128:132] == b"DICM":
        return True
    return any(
        (int.from_bytes(head[0:2], order), int.from_bytes(head[2:4], order)) in _FIRST for order in ("little", "big")
    )


@contextmanager
def untrusted() -> Iterator[None]:
    """Turn whatever a damaged file makes pydicom or a decoder raise into a rejection.

    Neither promises a set of exceptions, and what they say may quote the file, so that only their kind is told.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except CxrError:
            raise
        except OSError as error:
            raise CxrError("unreadable", f"expected a readable file; {error.strerror or 'it ends early'}") from error
        except Exception as error:
            raise CxrError(
                "unreadable", f"expected a DICOM image that can be parsed and decoded; it raised {type(error).__name__}"
            ) from error


class OpenDataset:
    """A DICOM file that is being read: `header` is what comes before the pixels, from which on `file` has the rest."""

    def __init__(self, path: Path, limits: Limits) -> None:
        limits.check_file(path.stat().st_size)
        self._limits = limits
        self.file: BinaryIO = path.open("rb")
        try:
            self.header = self._read_header()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> OpenDataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def whole(self) -> Dataset:
        """The header with the rest of the file added; refuses one without PixelData, or without its end."""
        if not self.file.read(1):
            raise CxrError("no_pixels", "expected an image, got a DICOM file without PixelData")
        self.file.seek(-1, os.SEEK_CUR)
        rest = read_dataset(self.file, *self.header.original_encoding)
        if not rest:  # pydicom leaves out an element that ends early
            raise truncated("PixelData")
        self.header.update(rest)
        if "PixelData" not in self.header:
            raise CxrError("no_pixels", "expected an image, got a DICOM file without PixelData")
        return self.header

    def _read_header(self) -> Dataset:
        read_preamble(self.file, force=True)
        meta = FileMetaDataset(
            read_dataset(
                self.file,
                is_implicit_VR=False,
                is_little_endian=True,
                stop_when=lambda tag, _vr, _length: tag.group != 2,
            )
        )
        deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
        if deflated:
            self.file = _inflated(self.file, self._limits)
        else:
            self.file.seek(0)
        header = pydicom.dcmread(self.file, stop_before_pixels=True, force=True)
        if deflated:
            header.file_meta = meta
        if "TransferSyntaxUID" not in header.file_meta:
            header.file_meta.TransferSyntaxUID = {
                (True, True): ImplicitVRLittleEndian,
                (False, True): ExplicitVRLittleEndian,
                (False, False): ExplicitVRBigEndian,
            }[header.original_encoding]
        return header


def _inflated(file: BinaryIO, limits: Limits) -> BinaryIO:
    with file:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(file.read(), limits.decoded_bytes + 1)
    limits.check_decoded("deflated data set", len(data))
    if not inflater.eof:
        raise truncated("a deflated data set")
    return BytesIO(data)
