"""dcmtk's dcm2pnm as an oracle: the same grey levels, to its rounding (it cuts off, we round)."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="dcm2pnm (Debian package dcmtk) is not there")
Writer = Callable[..., Path]
RAMP = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)
POLICY = {"minmax": ("+Wm",), "window": ("+Wi", "1")}


def oracle(path: Path | str, out: Path, *options: str) -> np.ndarray:
    subprocess.run(["dcm2pnm", "-O", "+on2", *options, str(path), str(out)], check=True, capture_output=True)
    pixels = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.dtype == np.uint16
    return pixels


def agree(path: Path | str, out: Path, intensity: str) -> bool:
    ours = cxr_io.read(path, intensity=intensity).pixels.astype(int)
    return bool(np.abs(ours - oracle(path, out, *POLICY[intensity])).max() <= 1)


@pytest.mark.parametrize(
    ("name", "intensity"),
    [
        ("RG1_UNCR.dcm", "minmax"),
        ("RG1_UNCR.dcm", "window"),
        ("RG3_UNCI.dcm", "minmax"),
        ("RG3_UNCI.dcm", "window"),
        ("mlut_18.dcm", "minmax"),
        ("image_dfl.dcm", "minmax"),
    ],
)
def test_files_of_pydicoms_agree(tmp_path: Path, name: str, intensity: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom's test files at hand have no {name}")
    assert agree(str(path), tmp_path / "o.png", intensity)


def test_a_voi_lut_agrees(tmp_path: Path) -> None:
    path = get_testdata_file("vlut_04.dcm", download=False)
    if path is None:
        pytest.skip("pydicom's test files at hand have no vlut_04.dcm")
    ours = cxr_io.read(str(path), intensity="window").pixels.astype(int)
    assert np.abs(ours - oracle(str(path), tmp_path / "o.png", "+Wl", "1")).max() <= 1


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        {"BitsStored": 12, "HighBit": 11},
        {"RescaleSlope": "2", "RescaleIntercept": "-10"},
        {"RescaleSlope": "-2", "RescaleIntercept": "2600"},
    ],
    ids=str,
)
@pytest.mark.parametrize("intensity", ["minmax", "window"])
def test_senses_and_windows_agree(
    tmp_path: Path, write_dicom: Writer, attributes: dict[str, object], intensity: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter="700", WindowWidth="400", **attributes)
    assert agree(path, tmp_path / "o.png", intensity)


def test_a_sigmoid_agrees(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter="700", WindowWidth="400", VOILUTFunction="SIGMOID")
    assert agree(path, tmp_path / "o.png", "window")


def test_bits_in_high_places_and_signs_agree(tmp_path: Path, write_dicom: Writer) -> None:
    high = write_dicom(tmp_path / "h.dcm", RAMP << 4 | 0x5, BitsStored=12, HighBit=15)
    assert agree(high, tmp_path / "o.png", "minmax")
    overlaid = write_dicom(tmp_path / "v.dcm", RAMP | 0xA000, BitsStored=12, HighBit=11)
    assert agree(overlaid, tmp_path / "o.png", "minmax")
    signed = (RAMP.astype(np.int16) - 600).astype(np.int16)
    path = write_dicom(tmp_path / "s.dcm", signed, WindowCenter="0", WindowWidth="300")
    assert agree(path, tmp_path / "o.png", "window")


@pytest.mark.parametrize(
    "chosen",
    [
        ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
        RLELossless,
    ],
    ids=lambda uid: uid.keyword,
)  # fmt: skip
def test_syntaxes_that_it_decodes_agree(tmp_path: Path, write_dicom: Writer, chosen: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, chosen, PhotometricInterpretation="MONOCHROME1")
    if chosen == RLELossless:  # dcmtk has a program of its own for it
        plain = tmp_path / "b.dcm"
        subprocess.run(["dcmdrle", str(path), str(plain)], check=True, capture_output=True)
        assert np.array_equal(cxr_io.read(path).pixels, cxr_io.read(plain).pixels)
    else:
        assert agree(path, tmp_path / "o.png", "minmax")


@pytest.mark.parametrize(("program", "keyword"), [("dcmdjpeg", "JPEGLosslessSV1"), ("dcmdjpls", "JPEGLSLossless")])
def test_lossless_jpeg_decodes_as_dcmtk_decodes_it(
    tmp_path: Path, write_dicom: Writer, program: str, keyword: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} (Debian package dcmtk) is not there")
    import pydicom.uid

    path = write_dicom(tmp_path / "a.dcm", RAMP, getattr(pydicom.uid, keyword))
    subprocess.run([program, str(path), str(tmp_path / "b.dcm")], check=True, capture_output=True)
    assert np.array_equal(cxr_io.read(path).pixels, cxr_io.read(tmp_path / "b.dcm").pixels)
