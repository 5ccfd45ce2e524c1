"""Facts about PNG, JPEG, TIFF and NIfTI."""

import gzip
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import cxr_io
import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

RAMP = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)
MINMAX = np.round(RAMP * (65535 / 1279)).astype(np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_keeps_all_its_levels(tmp_path: Path, depth: type, suffix: str) -> None:
    pixels = (RAMP % 256).astype(depth)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), pixels)
    assert np.array_equal(cxr_io.read(path).pixels, np.round(pixels * (65535 / 255)).astype(np.uint16))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 65535), min_size=2, max_size=2, unique=True), st.integers(0, 99))
def test_min_max_keeps_the_order_of_pixels(
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


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_in_colour_channels_reads_as_grey_and_alpha_has_no_say(tmp_path: Path, channels: int) -> None:
    pixels = np.stack([RAMP] * channels, axis=-1)
    pixels[..., 3:] = 7
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    assert np.array_equal(cxr_io.read(tmp_path / "a.png").pixels, MINMAX)


def test_colour_weighs_as_light(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        bars = np.zeros((32, 32, 3), np.uint8)
        bars[:, :8, 0], bars[:, 8:16, 1], bars[:, 16:24, 2] = 255, 255, 255  # blue, green, red, black
        cv2.imwrite(str(tmp_path / name), bars)
        blue, green, red, black = cxr_io.read(tmp_path / name).pixels[0, ::8].astype(float)
        assert (black, green) == (0, 65535)
        assert abs(red / green - 0.299 / 0.587) < 1e-4
        assert abs(blue / green - 0.114 / 0.587) < 1e-4


def test_a_palette_png_is_its_colours(tmp_path: Path) -> None:
    palette = bytes(255 - value for value in range(256) for _ in range(3))
    rows = b"".join(b"\0" + bytes(row) for row in (RAMP % 256).astype(np.uint8))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 40, 32, 8, 3, 0, 0, 0)),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks)))
    assert np.array_equal(cxr_io.read(path).pixels, 65535 - np.round((RAMP % 256) * (65535 / 255)))


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_jpeg_is_read_and_never_half_of_it(tmp_path: Path, kind: list[int]) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.repeat((RAMP // 6).astype(np.uint8)[..., None], 3, axis=2), kind)
    whole = path.read_bytes()
    assert np.abs(cxr_io.read(path).pixels.astype(int) - MINMAX).max() < 4000
    for cut in (2, 30, len(whole) // 4):
        path.write_bytes(whole[:-cut])
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read(path)
        assert caught.value.code == "truncated"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_white_is_zero_is_turned_over(tmp_path: Path, depth: type, order: str) -> None:
    pixels = (RAMP % 256).astype(depth)
    for photometric, sense in (("minisblack", 1), ("miniswhite", -1)):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, byteorder=order)
        expected = pixels if sense == 1 else 255 - pixels
        assert np.array_equal(cxr_io.read(tmp_path / "a.tif").pixels, np.round(expected * (65535 / 255)))


def test_signed_tiff_keeps_its_order(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (RAMP.astype(np.int16) - 600).astype(np.int16))
    assert np.array_equal(cxr_io.read(tmp_path / "a.tif").pixels, MINMAX)
    tifffile.imwrite(tmp_path / "f.tif", RAMP.astype(np.float32))
    with pytest.raises(cxr_io.CxrError, match="8 or 16 bits"):
        cxr_io.read(tmp_path / "f.tif")


def test_pages_of_a_tiff_are_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([RAMP, RAMP[::-1]]), photometric="minisblack")
    with pytest.raises(cxr_io.CxrError, match="frame=0 to 1") as caught:
        cxr_io.read(path)
    assert caught.value.code == "multi_frame"
    assert np.array_equal(cxr_io.read(path, frame=1).pixels, MINMAX[::-1])
    cv2.imwrite(str(tmp_path / "a.png"), RAMP)
    with pytest.raises(cxr_io.CxrError, match="a frame of 0 to 0"):
        cxr_io.read(tmp_path / "a.png", frame=1)


def test_a_picture_that_announces_too_much_is_refused_unread(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + _chunk((b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 16, 6, 0, 0, 0)))
    (tmp_path / "a.png").write_bytes(png + _chunk((b"IEND", b"")))
    cv2.imwrite(str(tmp_path / "a.jpg"), (RAMP // 6).astype(np.uint8))
    jpeg = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(jpeg.replace(struct.pack(">HH", 32, 40), struct.pack(">HH", 60000, 60000)))
    tifffile.imwrite(tmp_path / "a.tif", RAMP, tile=(16, 16))
    tiff = (tmp_path / "a.tif").read_bytes()
    tile = struct.pack("<HHII", 322, 4, 1, 16)
    assert tile in tiff
    (tmp_path / "a.tif").write_bytes(tiff.replace(tile, struct.pack("<HHII", 322, 4, 1, 1 << 30)))
    for name in ("a.png", "a.jpg", "a.tif"):
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read(tmp_path / name)
        assert caught.value.code == "too_large"


def test_a_png_chunk_beyond_the_end_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), RAMP)
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", 1 << 30)
    path.write_bytes(data)
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.read(path)
    assert caught.value.code == "unreadable"


# NIfTI


def nifti(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (0.2, 0.3, 1.0)) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.float32, np.uint8])
def test_a_nifti_slice_is_read_with_its_first_axis_as_columns(tmp_path: Path, name: str, kind: type) -> None:
    pixels = (RAMP % 256).astype(kind)
    found = cxr_io.read(nifti(tmp_path / name, pixels.T[:, :, None]))
    assert np.array_equal(found.pixels, np.round((RAMP % 256) * (65535 / 255)))
    assert np.allclose(found.spacing_mm, (0.3, 0.2))
    assert found.aspect == pytest.approx(1.5)


def test_a_nifti_volume_is_refused_by_read_and_read_by_read_volume(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 4, (20, 30, 5)).astype(np.uint8)
    path = nifti(tmp_path / "a.nii.gz", array)
    with pytest.raises(cxr_io.CxrError, match="read_volume") as caught:
        cxr_io.read(path)
    assert caught.value.code == "volume"
    volume = cxr_io.read_volume(path)
    assert np.array_equal(volume.array, array)
    assert volume.array.dtype == np.uint8
    assert np.allclose(volume.spacing_mm, (0.2, 0.3, 1.0))
    assert np.allclose(volume.affine, np.diag([0.2, 0.3, 1.0, 1.0]))


def test_numbers_that_are_no_grey_levels_are_unreadable(tmp_path: Path) -> None:
    pixels = RAMP.T.astype(np.float32)
    pixels[3, 3] = np.nan
    with pytest.raises(cxr_io.CxrError, match="finite numbers"):
        cxr_io.read(nifti(tmp_path / "a.nii", pixels[:, :, None]))


@pytest.mark.parametrize(
    ("offset", "change", "code"),
    [
        (42, struct.pack("<hh", 32000, 32000), "too_large"),  # dim
        (108, struct.pack("<f", 1e12), "too_large"),  # vox_offset: a bomb must be decompressed to get there
        (108, struct.pack("<f", float("nan")), "too_large"),
        (70, struct.pack("<h", 9999), "unreadable"),  # datatype
    ],
)
def test_a_nifti_header_is_not_believed(tmp_path: Path, offset: int, change: bytes, code: str) -> None:
    data = bytearray(nifti(tmp_path / "a.nii", np.zeros((4, 5, 6), np.int16)).read_bytes())
    data[offset : offset + len(change)] = change
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.read_volume(path)
    assert caught.value.code == code


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), RAMP)
    for path, code in ((tmp_path / "a.png", "not_an_image"), (tmp_path / "none.nii", "missing_file")):
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read_volume(path)
        assert caught.value.code == code


def test_without_nibabel_the_pip_line_is_told(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", RAMP.T[:, :, None])
    code = (
        "import sys; sys.modules['nibabel'] = None\n"
        f"import cxr_io\ntry:\n    cxr_io.read({str(path)!r})\nexcept cxr_io.CxrError as error:\n"
        "    print(error.code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("missing_codec")
    assert "pip install 'cxr-io[nifti]'" in done.stdout
