"""Facts about the way from a stored word to a grey level: bits, modality LUT, VOI, padding, sense and colour."""

from collections.abc import Callable
from pathlib import Path

import cxr_io
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

Writer = Callable[..., Path]
RAMP = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)
MINMAX = np.round(RAMP * (65535 / 1279)).astype(np.uint16)


@pytest.fixture
def read(tmp_path: Path, write_dicom: Writer) -> Callable[..., np.ndarray]:
    """Writes pixels and attributes as DICOM and reads them back by a policy."""

    def read(pixels: np.ndarray, intensity: str = "minmax", **attributes: object) -> np.ndarray:
        return cxr_io.read(write_dicom(tmp_path / "a.dcm", pixels, **attributes), intensity=intensity).pixels

    return read


Read = Callable[..., np.ndarray]


def lut(first: int, bits: int, entries: list[int]) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = entries
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return Sequence([item])


# Bits


def test_bits_above_those_stored_are_masked_off(read: Read) -> None:
    overlaid = RAMP | np.where(RAMP % 3 == 0, 0xF000, 0).astype(np.uint16)
    assert np.array_equal(read(overlaid, BitsStored=12, HighBit=11), MINMAX)


def test_signed_values_of_fewer_bits_are_extended(read: Read) -> None:
    stored = (RAMP.astype(np.int16) - 600) & 0x0FFF  # the upper four bits empty, as some writers leave them
    assert np.array_equal(read(stored.astype(np.int16), BitsStored=12, HighBit=11), MINMAX)


def test_a_high_bit_is_believed_only_where_the_bits_above_are_in_use(read: Read) -> None:
    assert np.array_equal(read(RAMP << 4 | 0x5, BitsStored=12, HighBit=15), MINMAX)
    assert np.array_equal(read(RAMP, BitsStored=12, HighBit=15), MINMAX)


def test_an_overlay_above_the_pixels_unmasks_a_wrong_high_bit(tmp_path: Path, write_dicom: Writer) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP | 0x8000, BitsStored=12, HighBit=15)
    ds = pydicom.dcmread(path)
    ds.add_new(0x60000102, "US", 15)
    ds.save_as(path)
    assert np.array_equal(cxr_io.read(path).pixels, MINMAX)


def test_eight_sixteen_and_thirty_two_bits_allocated_read_alike(read: Read) -> None:
    small = RAMP % 200
    expected = read(small)
    assert np.array_equal(read(small.astype(np.uint8)), expected)
    assert np.array_equal(read(small.astype(np.uint32), BitsStored=16, HighBit=15), expected)
    with pytest.raises(cxr_io.CxrError, match="at most 16 bits"):
        read(small.astype(np.uint32))


# Modality


def test_the_modality_lut_sequence_goes_before_slope_and_intercept(read: Read) -> None:
    falling = list(range(1279, -1, -1))
    assert np.array_equal(read(RAMP, ModalityLUTSequence=lut(0, 16, falling), RescaleSlope="3"), 65535 - MINMAX)


def test_values_outside_a_lut_take_its_ends(read: Read) -> None:
    pixels = read(RAMP, ModalityLUTSequence=lut(500, 16, list(range(100, 200))))
    assert (pixels[RAMP <= 500] == 0).all()
    assert (pixels[RAMP >= 599] == 65535).all()


def test_a_short_lut_is_unreadable(read: Read) -> None:
    broken = lut(0, 16, [0, 1, 2])
    broken[0].LUTDescriptor = [300, 0, 16]
    with pytest.raises(cxr_io.CxrError, match="300 entries"):
        read(RAMP, ModalityLUTSequence=broken)


# VOI


def test_a_linear_window_is_the_standards_formula(read: Read) -> None:
    c, w = 700.0, 400.0
    x = RAMP.astype(float)
    expected = np.clip((x - (c - 0.5)) / (w - 1) + 0.5, 0, 1)
    assert np.array_equal(read(RAMP, "window", WindowCenter=c, WindowWidth=w), np.round(expected * 65535))
    exact = np.clip((x - c) / w + 0.5, 0, 1)
    got = read(RAMP, "window", WindowCenter=c, WindowWidth=w, VOILUTFunction="LINEAR_EXACT")
    assert np.array_equal(got, np.round(exact * 65535))
    sigmoid = 1 / (1 + np.exp(-4 * (x - c) / w))
    got = read(RAMP, "window", WindowCenter=c, WindowWidth=w, VOILUTFunction="SIGMOID")
    assert np.array_equal(got, np.round(sigmoid * 65535))


def test_a_window_acts_on_rescaled_values(read: Read) -> None:
    plain = read(RAMP, "window", WindowCenter=700, WindowWidth=401)
    scaled = read(RAMP, "window", WindowCenter=1390, WindowWidth=801, RescaleSlope="2", RescaleIntercept="-10")
    assert np.abs(plain.astype(int) - scaled).max() <= 65535 / 400


def test_a_window_wider_than_the_values_keeps_its_own_range(read: Read) -> None:
    pixels = read(RAMP, "window", WindowCenter=1279.5, WindowWidth=2560)
    assert pixels.min() < 30
    assert 32000 < pixels.max() < 33500


def test_of_several_windows_the_first_is_taken(read: Read) -> None:
    first = read(RAMP, "window", WindowCenter=300, WindowWidth=100)
    assert np.array_equal(read(RAMP, "window", WindowCenter=[300, 900], WindowWidth=[100, 500]), first)


def test_a_voi_lut_goes_before_a_window_and_fills_its_own_bits(read: Read) -> None:
    entries = [round(1023 * (i / 1279) ** 2) for i in range(1280)]
    got = read(
        RAMP, "window", VOILUTSequence=lut(0, 10, entries), WindowCenter=100, WindowWidth=10,
        RescaleSlope="1", RescaleIntercept="0",
    )  # fmt: skip
    assert np.array_equal(got, np.round(np.array(entries)[RAMP] / 1023 * 65535))


def test_a_voi_lut_of_negative_values_finds_its_first(read: Read) -> None:
    signed = (RAMP.astype(np.int16) - 600).astype(np.int16)
    got = read(signed, "window", VOILUTSequence=lut(65536 - 600, 16, list(range(0, 12800, 10))))
    assert np.array_equal(got, np.round(np.arange(0, 12800, 10)[RAMP] / 65535 * 65535))


def test_a_window_of_one_is_a_threshold_and_of_nothing_unreadable(read: Read) -> None:
    pixels = read(RAMP, "window", WindowCenter=640, WindowWidth=1)
    assert set(np.unique(pixels)) == {0, 65535}
    assert pixels.flat[640] == 65535
    assert pixels.flat[639] == 0
    with pytest.raises(cxr_io.CxrError, match="WindowWidth above 0"):
        read(RAMP, "window", WindowCenter=640, WindowWidth=0)


def test_a_window_that_shows_one_level_is_constant(read: Read) -> None:
    with pytest.raises(cxr_io.CxrError) as caught:
        read(RAMP, "window", WindowCenter=50000, WindowWidth=10)
    assert caught.value.code == "constant"


def test_without_a_window_the_policy_is_minmax(read: Read) -> None:
    assert np.array_equal(read(RAMP, "window"), MINMAX)
    assert np.array_equal(read(RAMP, "window", WindowCenter=5), MINMAX)


# Percentiles


def test_percentiles_are_numpys(read: Read) -> None:
    pixels = (np.random.default_rng(0).random((50, 60)) ** 3 * 60000).astype(np.uint16)
    low, high = np.percentile(pixels, (0.5, 99.5))
    expected = np.round(np.clip((pixels - low) / (high - low), 0, 1) * 65535)
    assert np.abs(read(pixels, "percentile") - expected).max() <= 1


# Padding


@pytest.mark.parametrize("sense", ["MONOCHROME1", "MONOCHROME2"])
def test_a_range_of_padding_is_kept_out(read: Read, sense: str) -> None:
    pixels = RAMP + 100
    pixels[0], pixels[1] = 3, 90
    got = read(pixels, PixelPaddingValue=0, PixelPaddingRangeLimit=90, PhotometricInterpretation=sense)
    assert (got[:2] == 0).all()
    assert (got[2:].min(), got[2:].max()) == (0, 65535)


@pytest.mark.parametrize("written", [-2000, 63536])
def test_signed_padding_is_found_whatever_sign_it_was_written_with(
    tmp_path: Path, write_dicom: Writer, written: int
) -> None:
    pixels = (RAMP.astype(np.int16) - 600).astype(np.int16)
    pixels[:2] = -2000
    path = write_dicom(tmp_path / "a.dcm", pixels)
    ds = pydicom.dcmread(path)
    ds.add_new("PixelPaddingValue", "SS" if written < 0 else "US", written)
    ds.save_as(path)
    got = cxr_io.read(path).pixels
    assert (got[:2] == 0).all()
    assert got[2:].min() == 0
    assert got[3, 0] > 1000


def test_padding_in_all_bits_of_the_word_is_found_though_fewer_are_stored(read: Read) -> None:
    pixels = RAMP.copy()
    pixels[:2] = 65535
    got = read(pixels, BitsStored=12, HighBit=11, PixelPaddingValue=65535)
    assert (got[:2] == 0).all()
    assert got[-1, -1] == 65535


def test_padding_alone_is_no_image(read: Read) -> None:
    with pytest.raises(cxr_io.CxrError, match="padding alone"):
        read(np.full((20, 20), 7, np.uint16), PixelPaddingValue=7)


# Sense


@pytest.mark.parametrize(
    ("photometric", "shape", "turned"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "INVERSE", True),  # the same fact twice, as DX has it
        ("MONOCHROME1", "IDENTITY", True),  # a contradiction: the older attribute, which all files have, holds
    ],
)
def test_the_sense_is_turned_once(read: Read, photometric: str, shape: str | None, turned: bool) -> None:
    attributes = {"PresentationLUTShape": shape} if shape else {}
    got = read(RAMP, PhotometricInterpretation=photometric, **attributes)
    assert np.array_equal(got, 65535 - MINMAX if turned else MINMAX)


# Colour


def test_grey_in_three_channels_reads_as_grey(read: Read) -> None:
    grey = (RAMP % 256).astype(np.uint8)
    expected = read(grey)
    colour = np.stack([grey] * 3, axis=-1)
    assert np.array_equal(read(colour), expected)
    neutral = np.stack([grey, *[np.full_like(grey, 128)] * 2], axis=-1)
    assert np.array_equal(read(neutral, PhotometricInterpretation="YBR_FULL"), expected)
    planes = np.ascontiguousarray(np.moveaxis(colour, -1, 0)).reshape(32, 40, 3)
    assert np.array_equal(read(planes, PlanarConfiguration=1), expected)


def test_a_palette_reads_as_the_light_of_its_colours(read: Read) -> None:
    index = (RAMP % 256).astype(np.uint8)
    red, green, blue = (np.random.default_rng(k).permutation(256).astype(np.uint16) * 257 for k in range(3))
    tables = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, table in (("Red", red), ("Green", green), ("Blue", blue))
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", table.tobytes()))
    }
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = ((light - light.min()) / np.ptp(light) * 65535)[index]
    got = read(index, PhotometricInterpretation="PALETTE COLOR", **tables)
    assert np.abs(got - expected).max() <= 1


# RAD-DINO's PNGs


def test_the_high_byte_of_minmax_is_rad_dinos(read: Read) -> None:
    pixels = (np.random.default_rng(0).random((200, 300)) * 4095).astype(np.uint16)
    theirs = np.round((pixels - pixels.min()) / np.ptp(pixels) * 255)
    ours = np.round(read(pixels) / 257)
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.01
