import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raddino_encoders import EncoderError, load


def _images(count=5):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 65536, (int(rng.integers(20, 90)), 50), dtype=np.uint16) for _ in range(count)]


def test_patches_are_the_raw_pixels_in_their_place():
    encoder = load("pixels:4@28/7")
    x = encoder.preprocess(_images(2))
    patches = encoder.encode(x).patches
    assert patches.shape == (2, 49, 4, 4)
    np.testing.assert_array_equal(patches[1, :, 2, 3].reshape(7, 7), x[1, 0, 14:21, 21:28])


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 28))
def test_class_token_is_standardised_area_means(n):
    encoder = load(f"pixels:{n}@28/7")
    x = encoder.preprocess(_images(3))
    cls = encoder.encode(x).cls.double()
    assert cls.shape == (3, n * n)
    np.testing.assert_allclose(cls.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(cls.std(1, correction=0), 1, atol=1e-5)
    # Exact areas by way of repeated pixels: each of the 28 becomes n, then n equal blocks of 28 are averaged.
    fine = x[:, 0].double().repeat_interleave(n, 1).repeat_interleave(n, 2)
    area = fine.reshape(3, n, 28, n, 28).mean((2, 4)).flatten(1)
    area = (area - area.mean(1, keepdim=True)) / area.std(1, keepdim=True, correction=0)
    np.testing.assert_allclose(cls, area, atol=1e-4)


def test_flat_image_gives_zeros():
    assert (load("pixels:3@28/7").embed([np.full((28, 28), 0.3)]).cls == 0).all()


def test_batches_equal_one_batch_and_progress_counts_images():
    encoder, images, seen = load("pixels:8"), _images(), []
    small = encoder.embed(images, batch_size=2, progress=lambda done, total: seen.append((done, total)))
    whole = encoder.encode(encoder.preprocess(images))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert small.cls.dtype == small.patches.dtype == np.float32
    np.testing.assert_allclose(small.cls, whole.cls, atol=1e-5)
    np.testing.assert_array_equal(small.patches, whole.patches)


def test_patches_can_be_left_out():
    tokens = load("pixels:8").embed(_images(), patches=False)
    assert tokens.cls.shape == (5, 64)
    assert tokens.patches.shape == (5, 0, 0, 0)


def test_images_are_asked_for_once_and_batch_by_batch():
    class Lazy:
        asked: list[int] = []  # noqa: RUF012

        def __len__(self):
            return 3

        def __getitem__(self, i):
            self.asked.append(i)
            return np.zeros((9, 9), np.uint8)

    load("pixels:8").embed(Lazy(), batch_size=2)
    assert Lazy.asked == [0, 1, 2]


def test_wrong_input_and_batch_size_are_refused():
    encoder = load("pixels:8")
    with pytest.raises(EncoderError, match=r"expected \(B, 1, 224, 224\), or .* of 14, got \(1, 3, 224, 224\); use"):
        encoder.encode(torch.zeros(1, 3, 224, 224))
    with pytest.raises(EncoderError, match="batch_size: expected 1 or more, got 0"):
        encoder.embed(_images(), batch_size=0)
    with pytest.raises(EncoderError, match="got none"):
        encoder.embed([])


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("pixels:", "expected pixels:<n>"),
        ("pixels:8@224", "expected pixels:<n>"),
        ("pixels:8@225/14", "multiple of the patch size, got 225/14"),
        ("pixels:300", "n from 1 to the image size 224, got 300"),
        ("pixels:0", "got 0"),
    ],
)
def test_other_forms_are_refused(spec, says):
    with pytest.raises(EncoderError, match=says):
        load(spec)


def test_hog_tells_the_direction_of_edges_and_knows_its_sizes():
    pytest.importorskip("skimage", reason="needs scikit-image")
    encoder = load("hog:16")
    stripes = np.tile((np.arange(224) // 8 % 2 * 255).astype(np.uint8), (224, 1))
    tokens = encoder.embed([stripes, stripes.T])
    assert tokens.cls.shape == (2, encoder.embed_dim)
    assert tokens.patches.shape == (2, 9, 14, 14)
    upright, lying = tokens.patches[:, :, 7, 7].argmax(1)
    assert {int(upright), int(lying)} == {0, 4}
    for argument in ("", "15", "1", "224"):
        with pytest.raises(EncoderError, match="a divisor of 224 from 2 to 112"):
            load(f"hog:{argument}")


@pytest.mark.parametrize("spec", ["pixels:32", "hog:16"])
def test_formulas_are_computed_in_float32_whatever_is_asked_for(spec: str) -> None:
    faint = 0.70 + 0.05 * np.random.default_rng(0).random((1, 1, 224, 224), dtype=np.float32)
    whole, half = (load(spec, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    x = torch.from_numpy(faint)
    torch.testing.assert_close(half.encode(x).cls, whole.encode(x).cls, rtol=0, atol=0)
