"""Facts about transfer syntaxes: each is read, a missing decoder is named, no bomb is allocated for."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cxr_io
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)  # fmt: skip

Writer = Callable[..., Path]
# Largest difference by the lossy encoders above, as a part of the range.
LOSS = {JPEGBaseline8Bit: 0.02, JPEGExtended12Bit: 0.02, JPEGLSNearLossless: 0.002, JPEG2000: 0.02, HTJ2K: 0.01}


def picture(syntax: str, seed: int = 0) -> tuple[np.ndarray, dict[str, int]]:
    """A smooth picture with some noise, and its attributes: 8 bits for baseline JPEG, 12 for all others."""
    y, x = np.mgrid[:64, :80]
    noise = np.random.default_rng(seed).integers(0, 5, x.shape)
    pixels = (x * 20 + y * 30 + noise).astype(np.uint16)
    if syntax == JPEGBaseline8Bit:
        return (pixels // 16).astype(np.uint8), {}
    return pixels, {"BitsStored": 12, "HighBit": 11}


def test_every_syntax_is_read(tmp_path: Path, write_dicom: Writer, syntax: str) -> None:
    pixels, attributes = picture(syntax)
    got = cxr_io.read(write_dicom(tmp_path / "a.dcm", pixels, syntax, **attributes)).pixels
    want = cxr_io.read(write_dicom(tmp_path / "b.dcm", pixels, **attributes)).pixels
    assert pydicom.dcmread(tmp_path / "a.dcm").file_meta.TransferSyntaxUID == syntax
    assert np.abs(got.astype(int) - want).max() <= 65535 * LOSS.get(syntax, 0)


@pytest.mark.parametrize("chosen", [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_colour_survives_compression(tmp_path: Path, write_dicom: Writer, chosen: str) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    photometric = "YBR_RCT" if chosen == JPEG2000Lossless else "RGB"
    packed = write_dicom(tmp_path / "c.dcm", colour, chosen, PhotometricInterpretation=photometric)
    assert np.array_equal(cxr_io.read(packed).pixels, cxr_io.read(write_dicom(tmp_path / "d.dcm", colour)).pixels)


@pytest.mark.parametrize("chosen", [RLELossless, JPEG2000Lossless])  # JPEG-LS has a signed file in the table
def test_signed_pixels_survive_compression(tmp_path: Path, write_dicom: Writer, chosen: str) -> None:
    signed = (picture(chosen)[0].astype(np.int16) - 900).astype(np.int16)
    got = cxr_io.read(write_dicom(tmp_path / "e.dcm", signed, chosen)).pixels
    assert np.array_equal(got, cxr_io.read(write_dicom(tmp_path / "f.dcm", signed)).pixels)


def test_a_syntax_that_has_no_decoder_is_named(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", picture(RLELossless)[0], RLELossless)
    for uid, told in ((MPEG2MPML, f"{MPEG2MPML.name} .{MPEG2MPML}.*convert it"), ("1.2.3.4", "unknown to DICOM")):
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = uid
        ds.save_as(tmp_path / "b.dcm")
        with pytest.raises(cxr_io.CxrError, match=told) as caught:
            cxr_io.read(tmp_path / "b.dcm")
        assert caught.value.code == "missing_codec"


def test_a_decoder_that_is_not_installed_is_named_with_its_pip_line(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", picture(JPEG2000)[0], JPEG2000)
    # An interpreter that finds no imagecodecs, as after a plain `pip install cxr-io`.
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'imagecodecs' else find(name, *more)\n"
        f"import cxr_io\ntry:\n    cxr_io.read({str(path)!r})\nexcept cxr_io.CxrError as error:\n"
        "    print(error.code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("missing_codec")
    assert "JPEG 2000 Image Compression (1.2.840.10008.1.2.4.91)" in done.stdout
    assert "pip install 'cxr-io[codecs]'" in done.stdout


def test_a_file_cut_short_is_never_half_a_picture(tmp_path: Path, write_dicom: Writer, syntax: str) -> None:
    pixels, attributes = picture(syntax)
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax, **attributes)
    whole, good = path.read_bytes(), cxr_io.read(path).pixels
    for cut in (1, 2, 9, 60, len(whole) // 3, len(whole) // 2):
        path.write_bytes(whole[:-cut])
        try:
            assert np.array_equal(cxr_io.read(path).pixels, good)  # padding alone is missing
        except cxr_io.CxrError as error:
            assert error.code in ("truncated", "no_pixels")  # noqa: PT017 -- either is right, a picture is not


@pytest.mark.parametrize(
    "chosen", [RLELossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGExtended12Bit, JPEGLSLossless, JPEG2000, HTJ2K]
)
def test_a_codestream_cut_short_is_never_half_a_picture(tmp_path: Path, write_dicom: Writer, chosen: str) -> None:
    pixels, attributes = picture(chosen)
    path = write_dicom(tmp_path / "a.dcm", pixels, chosen, **attributes)
    ds = pydicom.dcmread(path)
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    for cut in (4, 20, len(frame) // 2, len(frame) - 8):
        ds.PixelData = encapsulate([frame[:-cut]])
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read(path)
        assert caught.value.code in ("truncated", "unreadable")


# Bombs: what is announced is refused before it is allocated.


@pytest.mark.parametrize("chosen", [JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless])
def test_a_codestream_larger_than_its_header_is_refused(tmp_path: Path, write_dicom: Writer, chosen: str) -> None:
    pixels, attributes = picture(chosen)
    path = write_dicom(tmp_path / "a.dcm", pixels, chosen, **attributes)
    data = path.read_bytes()
    small = (64).to_bytes(2, "big") + (80).to_bytes(2, "big")
    if chosen == JPEG2000Lossless:
        small = (80).to_bytes(4, "big") + (64).to_bytes(4, "big")
    for side, code in ((60000, "too_large"), (65, "unreadable")):
        path.write_bytes(data.replace(small, side.to_bytes(len(small) // 2, "big") * 2, 1))
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read(path)
        assert caught.value.code == code


def test_a_deflated_bomb_is_too_large(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", picture(DeflatedExplicitVRLittleEndian)[0], DeflatedExplicitVRLittleEndian)
    whole = path.read_bytes()
    meta = whole[: 132 + 12 + int.from_bytes(whole[140:144], "little")]
    deflate = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    blank = b"\x09\x00\x01\x00UN\x00\x00" + (1 << 30).to_bytes(4, "little") + b"\0" * ((1 << 20) - 12)
    with path.open("wb") as file:
        file.write(meta + deflate.compress(blank))
        for _ in range(300):
            file.write(deflate.compress(b"\0" * (1 << 20)))
        file.write(deflate.flush())
    assert path.stat().st_size < 4 << 20
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.read(path)
    assert caught.value.code == "too_large"


def test_run_lengths_stop_at_the_frames_end(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", picture(RLELossless)[0].astype(np.uint8), RLELossless)
    ds = pydicom.dcmread(path)
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + b"\0" * 56
    for frame in (header + b"\x81\x00" * 1_000_000, header + b"\x81\x00", header[:40], b"\x02" + header[1:]):
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read(path)
        assert caught.value.code == "unreadable"


def test_a_file_beyond_the_limit_is_not_opened(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", picture(ExplicitVRLittleEndian)[0])
    with path.open("r+b") as file:
        file.truncate(300 << 20)  # a hole: it takes no space
    with pytest.raises(cxr_io.CxrError, match="256 MiB") as caught:
        cxr_io.read(path)
    assert caught.value.code == "too_large"


def test_many_bytes_a_pixel_are_counted(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.zeros((20, 20, 3), np.uint16), Rows=9000, Columns=9000)
    with pytest.raises(cxr_io.CxrError, match="decoded image") as caught:
        cxr_io.read(path)
    assert caught.value.code == "too_large"
