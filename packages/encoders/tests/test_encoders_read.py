"""Pictures, tensors and files of any depth give one input; DICOM becomes MONOCHROME2."""

import numpy as np
import pytest
import torch
from PIL import Image
from raddino_encoders import EncoderError, load

ENCODER = load("pixels:4@28/7")
EIGHT = np.random.default_rng(0).integers(0, 256, (40, 36), dtype=np.uint8)
DEEP = EIGHT.astype(np.uint16) * 257


def _input(*images):
    return ENCODER.preprocess(list(images)).numpy()


@pytest.mark.parametrize("name", ["a.png", "b.tif", "c.png"])
def test_files_give_what_their_arrays_give(tmp_path, name):
    image = DEEP if name == "c.png" else EIGHT
    Image.fromarray(image).save(tmp_path / name)
    np.testing.assert_array_equal(_input(tmp_path / name, str(tmp_path / name)), _input(image, image))


def test_big_endian_tiff_and_colours_are_read(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile to write big-endian TIFF")
    tifffile.imwrite(tmp_path / "big.tif", DEEP, byteorder=">")
    np.testing.assert_array_equal(_input(tmp_path / "big.tif"), _input(DEEP))
    Image.fromarray(np.repeat(EIGHT[..., None], 3, 2)).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(_input(tmp_path / "colour.png"), _input(EIGHT))


def test_pictures_tensors_and_arrays_are_one():
    tensors = torch.from_numpy(EIGHT), torch.from_numpy(EIGHT)[None], torch.from_numpy(EIGHT / np.float32(255))
    expected = _input(EIGHT)
    for image in (Image.fromarray(EIGHT), *tensors[:2]):
        np.testing.assert_array_equal(_input(image), expected)
    np.testing.assert_allclose(_input(tensors[2], DEEP), _input(EIGHT, EIGHT), atol=3 / 255)
    for alone in (EIGHT, torch.from_numpy(EIGHT), Image.fromarray(EIGHT)):
        np.testing.assert_array_equal(ENCODER.preprocess(alone), expected)
    np.testing.assert_array_equal(ENCODER.preprocess(np.stack([EIGHT, EIGHT])), _input(EIGHT, EIGHT))


def test_dicom_is_spread_and_turned_to_monochrome2(tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom to read DICOM")
    from pydicom.data import get_testdata_file

    path = get_testdata_file("RG1_UNCR.dcm", download=False)
    if path is None:
        pytest.skip("needs pydicom-data with a radiograph")
    ds = pydicom.dcmread(path)
    assert ds.PhotometricInterpretation == "MONOCHROME1"
    raw = ds.pixel_array.astype(np.float32)
    expected = (raw.max() - raw) / np.ptp(raw)
    np.testing.assert_allclose(_input(path), _input(expected), atol=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"words", b"\0" * 128 + b"DICM and no more"])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "x.dcm"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EncoderError, match=r"x\.dcm: expected a"):
        ENCODER.preprocess([path])


def test_nan_and_integers_of_other_depths_are_refused():
    holed = (EIGHT / np.float32(255)).copy()
    holed[3, 4] = np.nan
    for image in (holed, torch.from_numpy(holed)):
        with pytest.raises(EncoderError, match=r"image 1: .*got nan"):
            ENCODER.preprocess([EIGHT, image])
    with pytest.raises(EncoderError, match="image 0: expected uint8, uint16 or floats"):
        ENCODER.preprocess([torch.zeros(4, 4, dtype=torch.int32)])
    x = ENCODER.preprocess([EIGHT, EIGHT])
    x[1, 0, 2, 2] = torch.nan
    with pytest.raises(EncoderError, match=r"NaN or infinity in images \[1\]"):
        ENCODER.encode(x)
