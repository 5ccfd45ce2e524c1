"""Facts about the PNG in shards: stored or compressed, any program reads them, and damage is an error."""

import io
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_io import CODECS
from cxr_io._png import png, unpng
from cxr_io._stored_png import fits, read_stored, stored_png
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image


@settings(deadline=None)
@given(arrays(st.sampled_from([np.uint8, np.uint16]), array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_png_keeps_every_pixel_and_pillow_reads_the_same(pixels: np.ndarray) -> None:
    data = png(pixels)
    seen = unpng(data)
    assert seen.dtype == pixels.dtype
    assert np.array_equal(seen, pixels)
    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), pixels)


def test_png_of_noise_whose_sum_overflows_is_read() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4_200, 4_200), np.uint8)
    assert np.array_equal(unpng(png(pixels)), pixels)  # differences of noise are noise: 2 ** 31.07 in all


def test_png_of_other_programs_is_read(tmp_path: Path) -> None:
    pixels = np.add.outer(np.arange(60), np.arange(50)).astype(np.uint16) * 300
    for name, image in (
        ("p.png", Image.fromarray(pixels)),
        ("p8.png", Image.fromarray((pixels >> 8).astype(np.uint8))),
    ):
        image.save(tmp_path / name)
        assert np.array_equal(unpng((tmp_path / name).read_bytes()), np.array(image))
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "rgb.png")
    assert unpng((tmp_path / "rgb.png").read_bytes()).shape == (20, 30, 3)


@settings(deadline=None)
@given(st.data(), st.sampled_from([png, stored_png]))
def test_a_damaged_png_is_an_error_or_the_same_pixels(
    data: st.DataObject, write: Callable[[np.ndarray], bytes]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 65535, (30, 20), dtype=np.uint16)
    whole = write(pixels)
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = bytearray(whole)
    broken[at] ^= data.draw(st.integers(1, 255))
    for content in (bytes(broken), whole[:at]):
        try:
            seen = unpng(content)
        except ValueError:
            continue
        assert seen.size <= 30 * 20 * 4  # what can't be told from another picture isn't a larger one
        if at > 40:  # past the header
            assert np.array_equal(seen, pixels)


def test_png_of_16_bits_is_stored_and_of_8_bits_compressed() -> None:
    pixels = np.zeros((60, 50), np.uint16)
    assert len(CODECS["png"][0](pixels)) > pixels.nbytes
    assert len(CODECS["png"][0](pixels.astype(np.uint8))) < pixels.size / 4


@settings(deadline=None)
@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_stored_png_keeps_every_pixel_and_any_program_reads_it(pixels: np.ndarray) -> None:
    data = stored_png(pixels)
    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), pixels)
    seen = read_stored(data)
    assert seen is not None
    assert seen.dtype == np.uint16
    assert np.array_equal(seen, pixels)
    turned = stored_png(pixels.T)  # in another order in memory
    assert turned == stored_png(np.ascontiguousarray(pixels.T))


@pytest.mark.parametrize("shape", [(31, 1024), (32, 1024), (61, 1024), (62, 1024), (63, 1024), (2, 32767), (1, 32767)])
def test_stored_png_of_one_block_or_several(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 65535, shape, dtype=np.uint16)
    seen = read_stored(stored_png(pixels))
    assert seen is not None
    assert np.array_equal(seen, pixels)
    assert np.array_equal(np.array(Image.open(io.BytesIO(stored_png(pixels)))), pixels)


def test_rows_of_more_than_a_block_are_compressed() -> None:
    pixels = np.zeros((2, 32768), np.uint16)
    assert not fits(pixels)
    assert np.array_equal(unpng(CODECS["png"][0](pixels)), pixels)


def test_the_bytes_of_a_stored_png_are_the_same_everywhere() -> None:
    pixels = (np.arange(300)[:, None] * 211 + np.arange(200) * 307).astype(np.uint16)
    assert sha256(stored_png(pixels)).hexdigest() == "92f1f0907e686b7bd060bdd1907f95339ce79aa67a443b41a0df28742cd97756"


def test_stored_blocks_of_other_programs_are_read() -> None:
    pixels = np.arange(200 * 300, dtype=np.uint16).reshape(200, 300)
    data = stored_png(pixels)
    start, stop = data.index(b"IDAT") + 4, len(data) - 16
    blocks = zlib.compress(zlib.decompress(data[start:stop]), 0)
    for content, seen in ((blocks, pixels), (bytes(stop - start), None)):
        crc = zlib.crc32(b"IDAT" + content).to_bytes(4, "big")
        whole = data[: start - 8] + len(content).to_bytes(4, "big") + b"IDAT" + content + crc + data[-12:]
        assert read_stored(whole) is None
        if seen is None:
            with pytest.raises(ValueError, match="PNG"):
                unpng(whole)
        else:
            assert np.array_equal(unpng(whole), seen)
