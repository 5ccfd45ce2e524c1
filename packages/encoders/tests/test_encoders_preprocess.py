import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from raddino_encoders import EncoderError, Preprocessing, load

UNIT = Preprocessing(56, mean=(0.0,), std=(1.0,))
SIDES = st.integers(1, 150)


def _image(height=90, width=60, seed=0):
    return np.random.default_rng(seed).random((height, width)).astype(np.float32)


def test_all_depths_of_one_picture_give_one_input():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    eight, sixteen, real = (UNIT.images([x], "letterbox") for x in (image, image.astype(np.uint16) * 257, image / 255))
    np.testing.assert_allclose(sixteen, real, atol=1e-6)
    np.testing.assert_allclose(eight, sixteen, atol=1.1 / 255)  # 8 bits are rounded after each axis, as Pillow does


def test_shrinking_is_pils_antialiased_cubic():
    image = (_image(200, 200) * 255).astype(np.uint8)
    ours = UNIT.images([image], "letterbox")[0, 0].numpy() * 255
    pil = np.asarray(Image.fromarray(image).resize((56, 56), Image.Resampling.BICUBIC))
    assert np.abs(ours - pil).max() < 1.5  # PIL rounds to whole grey values twice


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES)
def test_letterbox_keeps_the_whole_image_and_its_aspect(height, width):
    x = UNIT.images([np.ones((height, width), np.float32)], "letterbox")[0, 0]
    inside = x > 0.5
    rows, columns = int(inside.any(1).sum()), int(inside.any(0).sum())
    assert max(rows, columns) == 56
    assert min(rows, columns) == max(round(56 * min(height, width) / max(height, width)), 1)
    assert inside.sum() == rows * columns


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, st.sampled_from(["letterbox", "crop"]))
def test_masks_land_where_their_images_land(height, width, fit):
    mask = np.zeros((height, width), np.uint8)
    mask[: (height + 1) // 2, : (width + 1) // 2] = 1
    x = UNIT.images([mask.astype(np.float32)], fit)[0, 0].numpy()
    m = UNIT.masks([mask], fit)[0]
    assert m.dtype == np.uint8
    sure = np.abs(x - 0.5) > 0.499  # away from the blurred edge
    np.testing.assert_array_equal(m[sure], x[sure] > 0.5)


def test_crop_fills_the_square_and_cuts_the_long_ends():
    image = np.zeros((168, 56), np.float32)
    image[56:112] = 1
    assert (UNIT.images([image], "crop") == 1).all()


def test_crop_after_a_larger_short_side_zooms_in():
    image = np.zeros((80, 80), np.float32)
    image[12:68, 12:68] = 1
    zoomed = Preprocessing(56, (0.0,), (1.0,), short_side=80)
    assert (zoomed.images([image], "crop") == 1).all()
    assert (zoomed.images([image], "letterbox") == 0).any()


def test_grey_is_repeated_and_normalised_per_channel():
    x = Preprocessing(56, (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)).images([np.full((8, 8), 0.5)], "letterbox")
    assert x.shape == (1, 3, 56, 56)
    np.testing.assert_allclose(x[0, :, 0, 0], [0.8, 0.3, 0.1], rtol=1e-5)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"image 1: expected a grey image \(H, W\), got shape \(4, 4, 3\)"),
        (np.zeros((4, 4), np.int16), "image 1: expected uint8, uint16 or floats"),
        (np.full((4, 4), 1.5), r"image 1: expected floats in \[0, 1\], got 1.5"),
        (np.full((4, 4), np.nan), "got nan"),
        (np.zeros((0, 4), np.uint8), "grey image"),
    ],
)
def test_other_images_are_refused_by_their_number(image, says):
    with pytest.raises(EncoderError, match=says):
        load("pixels:4").preprocess([np.zeros((4, 4), np.uint8), image])


def test_no_images_unknown_fit_and_real_masks_are_refused():
    encoder = load("pixels:4")
    with pytest.raises(EncoderError, match="at least one"):
        encoder.preprocess([])
    with pytest.raises(EncoderError, match="at least one"):
        encoder.preprocess_masks([])
    with pytest.raises(EncoderError, match="letterbox, crop, stretch, got 'squash'"):
        encoder.preprocess([_image()], fit="squash")
    with pytest.raises(EncoderError, match="mask 0: expected integers"):
        encoder.preprocess_masks([_image()])


def test_a_sliver_keeps_its_picture():
    sliver = np.zeros((200, 1), np.float32)
    sliver[:100] = 1
    x = UNIT.images([sliver], "letterbox")[0, 0]
    assert (x[:27].amax(1) > 0.9).all()
    assert (x[29:] < 0.1).all()
