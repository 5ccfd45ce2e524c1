"""Properties of reading that hold for any picture, and what damage may and may not do."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEGBaseline8Bit

Writer = Callable[..., Path]
PROPERTY = settings(deadline=None, max_examples=40)
SEEDS = st.integers(0, 2**32 - 1)
BITS = st.integers(2, 15)
POLICIES = st.sampled_from(["minmax", "percentile"])


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, write_dicom: Writer) -> Callable[..., np.ndarray]:
    """Writes pixels and attributes as DICOM and reads them back by a policy."""
    path = tmp_path_factory.mktemp("properties") / "a.dcm"

    def read(pixels: np.ndarray, intensity: str = "minmax", **attributes: object) -> np.ndarray:
        return cxr_io.read(write_dicom(path, pixels, **attributes), intensity=intensity).pixels

    return read


Read = Callable[..., np.ndarray]


def picture(seed: int, bits: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 1 << bits, (17, 19), dtype=np.uint16)
    pixels.flat[:2] = 0, (1 << bits) - 1
    return pixels


@PROPERTY
@given(SEEDS, BITS, POLICIES)
def test_monochrome1_of_a_picture_is_monochrome2_of_the_inverted(read: Read, seed: int, bits: int, policy: str) -> None:
    pixels = picture(seed, bits)
    turned = ((1 << bits) - 1 - pixels).astype(np.uint16)
    one = read(pixels, policy, PhotometricInterpretation="MONOCHROME1").astype(int)
    assert np.abs(one - read(turned, policy)).max() <= (0 if policy == "minmax" else 1)


@PROPERTY
@given(SEEDS, BITS, POLICIES, st.integers(0, 2**16 - 1))
def test_how_values_are_stored_does_not_matter(read: Read, seed: int, bits: int, policy: str, overlay: int) -> None:
    pixels = picture(seed, bits)
    expected = read(pixels, policy)
    assert np.array_equal(read(pixels, policy, BitsStored=bits, HighBit=bits - 1), expected)
    above = np.uint16(overlay << bits & 0xFFFF)
    assert np.array_equal(read(pixels | above, policy, BitsStored=bits, HighBit=bits - 1), expected)
    signed = (pixels.astype(np.int32) - (1 << bits - 1)).astype(np.int16)
    assert np.array_equal(read(signed, policy), expected)
    assert np.array_equal(read(signed, policy, BitsStored=bits, HighBit=bits - 1), expected)
    assert np.array_equal(read(pixels.astype(np.uint32), policy, BitsStored=16, HighBit=15), expected)
    if bits <= 8:
        assert np.array_equal(read(pixels.astype(np.uint8), policy), expected)


@PROPERTY
@given(SEEDS, BITS, POLICIES, st.floats(0.001, 1000), st.floats(-2000, 2000))
def test_slope_and_intercept_leave_the_picture(
    read: Read, seed: int, bits: int, policy: str, slope: float, intercept: float
) -> None:
    pixels = picture(seed, bits)
    got = read(pixels, policy, RescaleSlope=f"{slope:.8g}", RescaleIntercept=f"{intercept:.8g}").astype(int)
    assert np.abs(got - read(pixels, policy)).max() <= 1


@PROPERTY
@given(SEEDS, BITS, st.integers(0, 2**15 - 1), st.booleans())
def test_padding_changes_no_other_pixel(read: Read, seed: int, bits: int, padding: int, turned: bool) -> None:
    pixels = picture(seed, bits) + np.uint16(1)
    holes = np.random.default_rng(seed).random(pixels.shape) < 0.3
    holes.flat[:2] = False
    pixels[pixels == padding] = 1
    pixels.flat[1] = 1 << bits if padding != 1 << bits else (1 << bits) + 1
    sense = {"PhotometricInterpretation": "MONOCHROME1"} if turned else {}
    plain = np.where(holes, pixels.flat[0], pixels)  # the holes filled with what is there already
    padded = np.where(holes, padding, pixels).astype(np.uint16)
    if padding in (pixels.flat[0], pixels.flat[1]):
        return
    got = read(padded, PixelPaddingValue=padding, **sense)
    assert (got[holes] == 0).all()
    assert np.array_equal(got[~holes], read(plain.astype(np.uint16), **sense)[~holes])


# Damage

FUZZ = """
import json, pathlib, random, resource, sys, time, warnings
import cxr_io
warnings.simplefilter("error")
seed, rounds, *paths = sys.argv[1:]
rng, codes, slowest = random.Random(int(seed)), {}, 0.0
for path in paths:
    whole = open(path, "rb").read()
    place = path + ".damaged" + path[path.index("."):]
    for _ in range(int(rounds)):
        data = bytearray(whole)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)):]
        else:
            for _ in range(rng.choice((1, 1, 2, 5, 20))):
                at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 1000))
                data[at] = data[at] ^ 1 << rng.randrange(8) if rng.random() < 0.5 else rng.choice((0, 127, 255))
        open(place, "wb").write(data)
        start = time.monotonic()
        try:
            cxr_io.read(place, intensity=rng.choice(cxr_io.POLICIES))
            code = "read"
        except cxr_io.CxrError as error:
            code = error.code
        slowest = max(slowest, time.monotonic() - start)
        codes[code] = codes.get(code, 0) + 1
# What rusage tells begins at the peak of the process that started this one.
status = pathlib.Path("/proc/self/status")
if status.exists():
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"codes": codes, "slowest": slowest, "peak": peak}))
"""


def damage(paths: list[Path], rounds: int) -> dict[str, int]:
    """Read damaged copies in a process of their own, which must end well; how often each code came."""
    arguments = ["0", str(rounds), *map(str, paths)]
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["slowest"] < 20
    assert found["peak"] < 1000
    return dict(found["codes"])


def test_damaged_dicom_is_a_rejection_and_nothing_worse(
    tmp_path: Path, write_dicom: Writer, syntaxes: tuple[str, ...]
) -> None:
    y, x = np.mgrid[:64, :80]
    pixels = (x * 20 + y * 30 + x * y % 50).astype(np.uint16)
    paths = []
    for number, syntax in enumerate(syntaxes):
        eight = syntax == JPEGBaseline8Bit
        attributes: dict[str, object] = {} if eight else {"BitsStored": 12, "HighBit": 11}
        path = write_dicom(
            tmp_path / f"{number}.dcm", (pixels // 16).astype(np.uint8) if eight else pixels, syntax,
            WindowCenter="1000", WindowWidth="2000", PixelSpacing=["0.1", "0.1"], PatientAge="050Y", **attributes,
        )  # fmt: skip
        paths.append(path)
    codes = damage(paths, 80)
    assert sum(codes.values()) == 80 * len(syntaxes)
    assert codes["unreadable"] > 100


def test_damaged_pictures_are_rejections_and_nothing_worse(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :80]
    pixels = (x * 20 + y * 30 + x * y % 50).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), pixels)
    cv2.imwrite(str(tmp_path / "a.jpg"), (pixels // 16).astype(np.uint8))
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(pixels.T[:, :, None], np.eye(4)), tmp_path / name)
    codes = damage([tmp_path / name for name in ("a.png", "a.tif", "a.jpg", "a.nii", "a.nii.gz")], 100)
    assert codes["unreadable"] > 100
