"""Facts about reading: sense, LUTs, padding, and what is refused."""

from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid


def write_dicom(path: Path, pixels: np.ndarray, **attributes: object) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PatientID, ds.PatientName = "CR", "secret-id", "Secret^Name"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = int(pixels.dtype == np.int16)
    ds.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.save_as(path, enforce_file_format=True)
    return path


def ramp(dtype: type = np.uint16) -> np.ndarray:
    return np.arange(32 * 40, dtype=dtype).reshape(32, 40)


def test_monochrome1_is_turned_over_and_min_and_max_fill_the_range(tmp_path: Path) -> None:
    two = cxr_io.read(write_dicom(tmp_path / "2.dcm", ramp())).pixels
    one = cxr_io.read(write_dicom(tmp_path / "1.dcm", ramp(), PhotometricInterpretation="MONOCHROME1")).pixels
    assert (two.min(), two.max(), two.dtype) == (0, 65535, np.uint16)
    assert np.array_equal(one, 65535 - two)


def test_signed_pixels_and_a_negative_slope_keep_their_order(tmp_path: Path) -> None:
    signed = (ramp(np.int16) - 600).astype(np.int16)
    assert np.array_equal(
        cxr_io.read(write_dicom(tmp_path / "s.dcm", signed)).pixels,
        cxr_io.read(write_dicom(tmp_path / "u.dcm", ramp())).pixels,
    )
    falling = cxr_io.read(write_dicom(tmp_path / "f.dcm", ramp(), RescaleSlope="-2", RescaleIntercept="7")).pixels
    assert falling[0, 0] == 65535
    assert falling[-1, -1] == 0


def test_the_window_is_applied_before_the_inversion(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "w.dcm", ramp(), WindowCenter="200", WindowWidth="100", PhotometricInterpretation="MONOCHROME1"
    )
    pixels = cxr_io.read(path, intensity="window").pixels
    assert pixels.flat[0] == 65535
    assert pixels.flat[-1] == 0
    assert 0 < pixels.flat[200] < 65535


def test_padding_has_no_say_in_the_range_and_becomes_black(tmp_path: Path) -> None:
    pixels = ramp()
    pixels[:4] = 60000
    for sense in ("MONOCHROME1", "MONOCHROME2"):
        seen = cxr_io.read(
            write_dicom(tmp_path / "p.dcm", pixels, PixelPaddingValue=60000, PhotometricInterpretation=sense)
        ).pixels
        assert (seen[:4] == 0).all()
        assert seen[4:].max() == 65535


def test_percentiles_clip_what_is_rare(tmp_path: Path) -> None:
    pixels = ramp()
    pixels[0, 0] = 65535
    assert cxr_io.read(write_dicom(tmp_path / "x.dcm", pixels)).pixels[-1, -1] < 2000
    assert cxr_io.read(tmp_path / "x.dcm", intensity="percentile").pixels[-1, -1] > 60000


def test_only_what_is_allowed_leaves_the_header(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "m.dcm", ramp(), PatientSex="F", PatientAge="018M", PatientSize="1.7", PatientWeight="70",
        ViewPosition="PA", Manufacturer="Maker", InstitutionName="Secret", PixelSpacing=["0.2", "0.3"],
    )  # fmt: skip
    found = cxr_io.read(path)
    assert found.metadata == {
        "view": "PA", "sex": "F", "age": 1.5, "height_cm": 170.0, "weight_kg": 70.0, "bmi": 24.2,
        "manufacturer": "Maker",
    }  # fmt: skip
    assert found.spacing_mm == (0.2, 0.3)
    assert "secret" not in repr(found)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_png_keeps_its_order(tmp_path: Path, depth: type) -> None:
    pixels = (ramp() % 256).astype(depth)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    assert np.array_equal(cxr_io.read(tmp_path / "a.png").pixels, np.round(pixels * (65535 / 255)).astype(np.uint16))


def test_colour_jpeg_becomes_grey(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.repeat((ramp() // 6).astype(np.uint8)[..., None], 3, axis=2))
    assert cxr_io.read(tmp_path / "a.jpg").pixels.shape == (32, 40)


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "x.dcm"
    if kind == "truncated":
        write_dicom(path, ramp())
        path.write_bytes(path.read_bytes()[:-500])
    elif kind == "no_pixels":
        write_dicom(path, ramp())
        ds = pydicom.dcmread(path)
        del ds.PixelData
        ds.save_as(path)
    elif kind == "not_a_radiograph":
        write_dicom(path, ramp(), Modality="CT")
    elif kind == "constant":
        write_dicom(path, np.full((20, 20), 7, np.uint16))
    elif kind == "too_small":
        write_dicom(path, np.zeros((1, 1), np.uint16))
    elif kind == "multi_frame":
        write_dicom(path, ramp(), NumberOfFrames=2)
    elif kind == "too_large":
        write_dicom(path, ramp(), Rows=60000, Columns=60000)
    elif kind == "not_an_image":
        path = tmp_path / "x.txt"
        path.write_text("hello")
    elif kind == "unreadable":
        path = tmp_path / "x.png"
        cv2.imwrite(str(path), ramp())
        path.write_bytes(path.read_bytes()[:80])
    elif kind == "missing_file":
        path = tmp_path / "none.dcm"
    return path


KINDS = [
    "truncated",
    "no_pixels",
    "not_a_radiograph",
    "too_small",
    "multi_frame",
    "too_large",
    "not_an_image",
    "unreadable",
    "missing_file",
]


@pytest.mark.parametrize("kind", [*KINDS, "constant"])
def test_what_is_no_radiograph_has_a_code_and_one_sentence(tmp_path: Path, kind: str) -> None:
    expected = {"too_small": {"too_small", "constant"}}.get(kind, {kind})
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.read(broken(tmp_path, kind))
    assert caught.value.code in expected
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_ct_slice_of_pydicoms_is_refused() -> None:
    with pytest.raises(cxr_io.CxrError, match="modality CT"):
        cxr_io.read(get_testdata_file("CT_small.dcm"))


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG1_UNCI.dcm", "RG1_J2KR.dcm"])
def test_a_real_chest_radiograph_reads_alike_in_every_syntax(name: str) -> None:
    path = _data(name)
    pixels = cxr_io.read(path).pixels
    assert pixels.shape == (1955, 1841)
    reference = pydicom.dcmread(_data("RG1_UNCR.dcm")).pixel_array.astype(float)
    # Read in MONOCHROME2 sense, the picture correlates with the stored values by the sign of its photometric sense.
    sense = -1 if pydicom.dcmread(path, stop_before_pixels=True).PhotometricInterpretation == "MONOCHROME1" else 1
    assert sense * np.corrcoef(pixels.ravel()[::97], reference.ravel()[::97])[0, 1] > 0.99


def _data(name: str) -> str:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom-data with {name} is not installed")
    return str(path)


@settings(deadline=None, max_examples=30)
@given(st.integers(20, 60), st.integers(20, 60), st.integers(16, 80), st.integers(0, 99))
def test_resizing_a_linear_ramp_gives_a_linear_ramp_inside(h: int, w: int, short: int, seed: int) -> None:
    a, b, c = np.random.default_rng(seed).normal(size=3)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    got = cxr_io.resize_bspline(a * x + b * y + c, short)
    assert min(got.shape) == short
    scale_y, scale_x = h / got.shape[0], w / got.shape[1]
    gy, gx = np.mgrid[: got.shape[0], : got.shape[1]]
    want = a * ((gx + 0.5) * scale_x - 0.5) + b * ((gy + 0.5) * scale_y - 0.5) + c
    inner = np.s_[got.shape[0] // 3 : -got.shape[0] // 3, got.shape[1] // 3 : -got.shape[1] // 3]
    assert np.abs(got - want)[inner].max(initial=0) < 2e-3 * (abs(a) * w + abs(b) * h + abs(c) + 1)


@pytest.mark.parametrize("short", [64, 150, 300])
def test_resizing_equals_simpleitks_bspline_borders_included(short: int) -> None:
    sitk = pytest.importorskip("SimpleITK")
    image = np.random.default_rng(0).random((211, 187)).astype(np.float32)
    got = cxr_io.resize_bspline(image, short)
    sy, sx = image.shape[0] / got.shape[0], image.shape[1] / got.shape[1]
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkBSpline)
    resample.SetSize(got.shape[::-1])
    resample.SetOutputSpacing((sx, sy))
    resample.SetOutputOrigin(((sx - 1) / 2, (sy - 1) / 2))
    want = sitk.GetArrayFromImage(resample.Execute(sitk.GetImageFromArray(image)))
    assert np.abs(got - want).max() < 1e-5


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 65535), min_size=2, max_size=2, unique=True), st.integers(0, 99))
def test_min_max_of_png_keeps_the_order_of_pixels(
    tmp_path_factory: pytest.TempPathFactory, ends: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(min(ends), max(ends), (16, 16), dtype=np.uint16, endpoint=True)
    pixels.flat[:2] = ends
    path = tmp_path_factory.getbasetemp() / "order.png"
    cv2.imwrite(str(path), pixels)
    seen = cxr_io.read(path).pixels
    order = np.argsort(pixels.ravel(), kind="stable")
    assert (np.diff(seen.ravel()[order].astype(int)) >= 0).all()
    assert (seen.min(), seen.max()) == (0, 65535)


def test_header_without_preamble_is_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", ramp())
    whole = cxr_io.read(path).pixels
    bare: Dataset = pydicom.dcmread(path)
    plain = Dataset()
    plain.update({element.tag: element for element in bare})
    plain.save_as(tmp_path / "bare.dcm", implicit_vr=True, little_endian=True)
    assert np.array_equal(cxr_io.read(tmp_path / "bare.dcm").pixels, whole)
