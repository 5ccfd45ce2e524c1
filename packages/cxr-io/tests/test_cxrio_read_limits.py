"""Facts about the most that is taken on of one file: pixels, bytes, and bytes once it is decompressed."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import nibabel
import numpy as np
import pytest
import tifffile
from cxr_io import CxrError, Limits
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless

SIDE = 64
RAMP = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
Writer = Callable[..., Path]


def written(kind: str, folder: Path, write_dicom: Writer) -> Path:
    path = folder / f"a.{kind}"
    if kind == "png":
        cv2.imwrite(str(path), RAMP)
    elif kind == "tif":
        tifffile.imwrite(path, RAMP)
    elif kind == "nii":
        nibabel.save(nibabel.Nifti1Image(RAMP.reshape(SIDE, SIDE, 1), np.eye(4)), path)  # type: ignore[attr-defined]
    else:
        syntaxes = {
            "native.dcm": ExplicitVRLittleEndian,
            "deflated.dcm": DeflatedExplicitVRLittleEndian,
            "encapsulated.dcm": JPEGLSLossless,
        }
        write_dicom(path, RAMP, syntaxes[kind])
    return path


KINDS = ("png", "tif", "nii", "native.dcm", "deflated.dcm", "encapsulated.dcm")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_keeps_to_the_limits(kind: str, tmp_path: Path, write_dicom: Writer) -> None:
    path = written(kind, tmp_path, write_dicom)
    size = path.stat().st_size
    room = SIDE * SIDE * 2 + 4096  # a header in what is deflated
    assert cxr_io.read(path, limits=Limits(SIDE * SIDE, size, room)).pixels.shape == (SIDE, SIDE)
    for limits in (Limits(SIDE * SIDE - 1, size, room), Limits(file_bytes=size - 1), Limits(decoded_bytes=SIDE * SIDE)):
        with pytest.raises(CxrError, match="expected") as caught:
            cxr_io.read(path, limits=limits)
        assert caught.value.code == "too_large"


def test_limits_can_be_raised(tmp_path: Path, write_dicom: Writer) -> None:
    path = written("png", tmp_path, write_dicom)
    with path.open("r+b") as file:
        file.truncate(257 << 20)  # a hole after the picture
    with pytest.raises(CxrError, match="a file of at most 256 MiB, got 257"):
        cxr_io.read(path)
    assert cxr_io.read(path, limits=Limits(file_bytes=300 << 20)).pixels.shape == (SIDE, SIDE)


def test_a_volume_has_limits_of_its_own(tmp_path: Path, write_dicom: Writer) -> None:
    path = written("nii", tmp_path, write_dicom)
    assert cxr_io.read_volume(path).array.shape == (SIDE, SIDE, 1)
    with pytest.raises(CxrError, match="a volume of at most"):
        cxr_io.read_volume(path, limits=Limits(decoded_bytes=2 * SIDE * SIDE - 1))


@pytest.mark.parametrize("name", ["pixels", "file_bytes", "decoded_bytes"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(CxrError, match=f"1 or more {name}, got 0"):
        Limits(**{name: 0})


def test_an_ingest_keeps_to_its_limits_and_records_them(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    cv2.imwrite(str(source / "small.png"), RAMP)
    cv2.imwrite(str(source / "large.png"), np.tile(RAMP, (2, 1)))
    options = {"short_side": 32, "key": "a key for these tests", "workers": 0}
    summary = cxr_io.ingest(source, out, limits=Limits(pixels=SIDE * SIDE), **options)  # type: ignore[arg-type]
    assert (summary.accepted, summary.reasons) == (1, {"too_large": 1})
    recorded = json.loads((out / "index.json").read_text())["preprocessing"]["limits"]
    assert recorded == {"pixels": SIDE * SIDE, "file_bytes": 256 << 20, "decoded_bytes": 256 << 20}
    with pytest.raises(CxrError, match="was begun with limits"):
        cxr_io.ingest(source, out, **options)  # type: ignore[arg-type]
    summary = cxr_io.ingest(source, tmp_path / "all", **options)  # type: ignore[arg-type]
    assert (summary.accepted, summary.rejected) == (2, 0)
