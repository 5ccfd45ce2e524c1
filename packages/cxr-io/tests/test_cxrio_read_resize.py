"""Facts about resizing: SimpleITK's B-spline, linear, exact, and RAD-DINO's order of steps."""

import os
import subprocess
import sys

import cxr_io
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SIDES = st.integers(2, 60)


def simpleitk(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    sitk = pytest.importorskip("SimpleITK")
    sy, sx = image.shape[0] / rows, image.shape[1] / columns
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkBSpline)
    resample.SetSize((columns, rows))
    resample.SetOutputSpacing((sx, sy))
    resample.SetOutputOrigin(((sx - 1) / 2, (sy - 1) / 2))
    return sitk.GetArrayFromImage(resample.Execute(sitk.GetImageFromArray(image)))


@pytest.mark.parametrize("shape", [(211, 187), (20, 17), (40, 300)])
@pytest.mark.parametrize("short", [5, 64, 150, 300])
def test_resizing_equals_simpleitks_bspline_borders_included(shape: tuple[int, int], short: int) -> None:
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    got = cxr_io.resize_bspline(image, short)
    assert np.abs(got - simpleitk(image, *got.shape)).max() < 1e-6
    words = (image * 65535).astype(np.uint16)
    assert np.abs(cxr_io.resize_bspline(words, short) - simpleitk(words.astype(np.float64), *got.shape)).max() < (
        0.6 if got.min() > 0 and got.max() < 1 else 65535  # where nothing overshoots, nothing is clipped
    )


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


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, st.integers(1, 90), st.integers(0, 65535))
def test_a_constant_stays_that_constant(h: int, w: int, short: int, value: int) -> None:
    assert (cxr_io.resize_bspline(np.full((h, w), value, np.uint16), short) == value).all()


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, st.integers(1, 90), st.integers(0, 99))
def test_resizing_is_linear_and_knows_no_direction(h: int, w: int, short: int, seed: int) -> None:
    one, two = np.random.default_rng(seed).random((2, h, w))
    both = cxr_io.resize_bspline(2 * one - 3 * two, short)
    assert np.allclose(both, 2 * cxr_io.resize_bspline(one, short) - 3 * cxr_io.resize_bspline(two, short), atol=1e-5)
    assert np.allclose(cxr_io.resize_bspline(one.T, short), cxr_io.resize_bspline(one, short).T, atol=1e-6)
    assert np.allclose(cxr_io.resize_bspline(one[::-1], short), cxr_io.resize_bspline(one, short)[::-1], atol=1e-6)


def test_the_same_size_is_the_same_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (50, 70), dtype=np.uint16)
    assert np.array_equal(cxr_io.resize_bspline(pixels, 50), pixels)


@pytest.mark.slow
def test_integers_resize_to_the_same_bits_on_any_number_of_threads_and_processor() -> None:
    code = (
        "import numpy as np, cxr_io, hashlib\n"
        "pixels = np.random.default_rng(0).integers(0, 65536, (900, 700), dtype=np.uint16)\n"
        "print(hashlib.sha256(cxr_io.resize_bspline(pixels, 200).tobytes()).hexdigest())"
    )
    found = set()
    for settings_ in ({"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"}, {"OPENBLAS_CORETYPE": "Nehalem"}):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **settings_}, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("shape", "short", "code"), [((3, 4, 5), 8, "usage"), ((1, 9), 8, "usage"), ((9, 9), 0, "usage")]
)
def test_what_can_not_be_resized_is_refused(shape: tuple[int, ...], short: int, code: str) -> None:
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.resize_bspline(np.zeros(shape, np.uint16), short)
    assert caught.value.code == code


def test_a_strip_does_not_become_a_giant() -> None:
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.resize_bspline(np.zeros((16, 100_000), np.uint8), 518)
    assert caught.value.code == "too_large"


def test_a_radiograph_is_resized_before_min_max_as_rad_dinos() -> None:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 2, (40, 50)) * 65535, np.ones((9, 9))).astype(np.uint16)  # its edges overshoot
    got = cxr_io.resize_radiograph(cxr_io.Radiograph(pixels), 100)
    raw = simpleitk(pixels.astype(np.float64), *got.shape)
    assert (raw.min() < 0, raw.max() > 65535) == (True, True)
    assert (got.min(), got.max()) == (0, 65535)
    theirs = np.round((raw - raw.min()) / np.ptp(raw) * 255)
    ours = np.round(got / 257)
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.01


@pytest.mark.parametrize("intensity", ["window", "percentile"])
def test_other_policies_keep_their_range_and_clip_what_overshoots(intensity: str) -> None:
    pixels = np.full((50, 60), 20000, np.uint16)
    pixels[20:30, 20:40] = 40000
    got = cxr_io.resize_radiograph(cxr_io.Radiograph(pixels), 25, intensity=intensity)
    assert got.max() < 46000
    edge = np.where(np.arange(60) < 30, 0, 65535).astype(np.uint16)
    got = cxr_io.resize_radiograph(cxr_io.Radiograph(np.tile(edge, (50, 1))), 35, intensity=intensity)
    assert (got.min(), got.max()) == (0, 65535)


def test_a_radiograph_whose_only_detail_is_lost_is_constant() -> None:
    pixels = np.full((4000, 4000), 9, np.uint16)
    with pytest.raises(cxr_io.CxrError) as caught:
        cxr_io.resize_radiograph(cxr_io.Radiograph(pixels), 8)
    assert caught.value.code == "constant"
