"""Facts about reading: sense, LUTs, padding, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

Writer = Callable[..., Path]


def ramp(dtype: type = np.uint16) -> np.ndarray:
    return np.arange(32 * 40, dtype=dtype).reshape(32, 40)


def test_monochrome1_is_turned_over_and_min_and_max_fill_the_range(tmp_path: Path, write_dicom: Writer) -> None:
    two = cxr_io.read(write_dicom(tmp_path / "2.dcm", ramp())).pixels
    one = cxr_io.read(write_dicom(tmp_path / "1.dcm", ramp(), PhotometricInterpretation="MONOCHROME1")).pixels
    assert (two.min(), two.max(), two.dtype) == (0, 65535, np.uint16)
    assert np.array_equal(one, 65535 - two)


def test_signed_pixels_and_a_negative_slope_keep_their_order(tmp_path: Path, write_dicom: Writer) -> None:
    signed = (ramp(np.int16) - 600).astype(np.int16)
    assert np.array_equal(
        cxr_io.read(write_dicom(tmp_path / "s.dcm", signed)).pixels,
        cxr_io.read(write_dicom(tmp_path / "u.dcm", ramp())).pixels,
    )
    falling = cxr_io.read(write_dicom(tmp_path / "f.dcm", ramp(), RescaleSlope="-2", RescaleIntercept="7")).pixels
    assert falling[0, 0] == 65535
    assert falling[-1, -1] == 0


def test_the_window_is_applied_before_the_inversion(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(
        tmp_path / "w.dcm", ramp(), WindowCenter="200", WindowWidth="100", PhotometricInterpretation="MONOCHROME1"
    )
    pixels = cxr_io.read(path, intensity="window").pixels
    assert pixels.flat[0] == 65535
    assert pixels.flat[-1] == 0
    assert 0 < pixels.flat[200] < 65535


def test_padding_has_no_say_in_the_range_and_becomes_black(tmp_path: Path, write_dicom: Writer) -> None:
    pixels = ramp()
    pixels[:4] = 60000
    for sense in ("MONOCHROME1", "MONOCHROME2"):
        seen = cxr_io.read(
            write_dicom(tmp_path / "p.dcm", pixels, PixelPaddingValue=60000, PhotometricInterpretation=sense)
        ).pixels
        assert (seen[:4] == 0).all()
        assert seen[4:].max() == 65535


def test_percentiles_clip_what_is_rare(tmp_path: Path, write_dicom: Writer) -> None:
    pixels = ramp()
    pixels[0, 0] = 65535
    assert cxr_io.read(write_dicom(tmp_path / "x.dcm", pixels)).pixels[-1, -1] < 2000
    assert cxr_io.read(tmp_path / "x.dcm", intensity="percentile").pixels[-1, -1] > 60000


def test_only_what_is_allowed_leaves_the_header(tmp_path: Path, write_dicom: Writer) -> None:
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


def broken(tmp_path: Path, write_dicom: Writer, kind: str) -> Path:
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
def test_what_is_no_radiograph_has_a_code_and_one_sentence(tmp_path: Path, write_dicom: Writer, kind: str) -> None:
    expected = {"too_small": {"too_small", "constant"}}.get(kind, {kind})
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.read(broken(tmp_path, write_dicom, kind))
    assert caught.value.code in expected
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_ct_slice_of_pydicoms_is_refused() -> None:
    with pytest.raises(cxr_io.CxrError, match="modality CT"):
        cxr_io.read(get_testdata_file("CT_small.dcm"))


def test_header_without_preamble_is_read(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", ramp())
    whole = cxr_io.read(path).pixels
    bare: Dataset = pydicom.dcmread(path)
    plain = Dataset()
    plain.update({element.tag: element for element in bare})
    plain.save_as(tmp_path / "bare.dcm", implicit_vr=True, little_endian=True)
    assert np.array_equal(cxr_io.read(tmp_path / "bare.dcm").pixels, whole)


def test_a_dataset_of_file_meta_without_preamble_is_read(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", ramp())
    bare = tmp_path / "bare"
    bare.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(cxr_io.read(bare).pixels, cxr_io.read(path).pixels)


def test_a_dicom_file_whose_preamble_makes_it_a_tiff_is_dicom(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", ramp())
    path.write_bytes(b"II*\0" + path.read_bytes()[4:])
    assert cxr_io.read(path).pixels.shape == (32, 40)


@pytest.mark.parametrize(
    ("frame", "code", "told"), [(None, "multi_frame", "frame=0 to 1"), (2, "usage", "0 to 1"), (-1, "usage", "0 to 1")]
)
def test_of_several_frames_one_must_be_chosen(
    tmp_path: Path, write_dicom: Writer, frame: int | None, code: str, told: str
) -> None:
    frames = np.concatenate([ramp(), ramp()[::-1]])
    path = write_dicom(tmp_path / "a.dcm", frames, Rows=32, NumberOfFrames=2)
    with pytest.raises(cxr_io.CxrError, match=told) as caught:
        cxr_io.read(path, frame=frame)
    assert caught.value.code == code
    assert np.array_equal(cxr_io.read(path, frame=1).pixels, cxr_io.read(path, frame=0).pixels[::-1])


@pytest.mark.parametrize(
    ("attributes", "expected", "source"),
    [
        ({}, None, None),
        ({"NominalScannedPixelSpacing": ["0.1", "0.2"]}, (0.1, 0.2), "NominalScannedPixelSpacing"),
        ({"ImagerPixelSpacing": ["0.2", "0.2"]}, (0.2, 0.2), "ImagerPixelSpacing"),
        ({"ImagerPixelSpacing": ["0.2", "0.2"], "PixelSpacing": ["0.1", "0.1"]}, (0.1, 0.1), "PixelSpacing"),
        (
            {"PixelSpacing": ["0.1", "0.1"], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.1, 0.1),
            "PixelSpacing FIDUCIAL",
        ),
        ({"PixelSpacing": ["0", "0.1"], "ImagerPixelSpacing": ["0.2", "0.2"]}, (0.2, 0.2), "ImagerPixelSpacing"),
    ],
)
def test_spacing_says_where_it_comes_from(
    tmp_path: Path, write_dicom: Writer, attributes: dict[str, object], expected: object, source: str | None
) -> None:
    found = cxr_io.read(write_dicom(tmp_path / "a.dcm", ramp(), **attributes))
    assert (found.spacing_mm, found.spacing_from) == (expected, source)


@pytest.mark.parametrize("attributes", [{"PixelAspectRatio": ["2", "1"]}, {"PixelSpacing": ["0.4", "0.2"]}])
def test_pixels_that_are_not_square_become_square_when_resized(
    tmp_path: Path, write_dicom: Writer, attributes: dict[str, object]
) -> None:
    found = cxr_io.read(write_dicom(tmp_path / "a.dcm", ramp(), **attributes))
    assert found.pixels.shape == (32, 40)
    assert found.aspect == 2
    assert cxr_io.resize_radiograph(found, 20).shape == (32, 20)


def test_a_refusal_repeats_no_text_of_the_file(tmp_path: Path, write_dicom: Writer) -> None:
    for attributes in ({"Modality": "SECRET"}, {"PhotometricInterpretation": "SECRET"}):
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read(write_dicom(tmp_path / "a.dcm", np.stack([ramp()] * 3, -1), **attributes))
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("attributes", [{"SamplesPerPixel": 2}, {"BitsStored": 0}, {"BitsStored": 17}])
def test_impossible_pixels_are_unreadable(tmp_path: Path, write_dicom: Writer, attributes: dict[str, object]) -> None:
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.read(write_dicom(tmp_path / "a.dcm", ramp(), **attributes))
    assert caught.value.code == "unreadable"
