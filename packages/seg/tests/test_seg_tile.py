"""Facts about prediction at an image's own size."""

import numpy as np
import pytest
import raddino_seg
from hypothesis import given, settings
from hypothesis import strategies as st
from raddino_seg import SegError


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_what_each_window_says_of_a_pixel_is_what_the_whole_says(height: int, width: int, data: st.DataObject) -> None:
    side = data.draw(st.integers(1, min(height, width)))
    overlap = data.draw(st.sampled_from([0.0, 0.3, 0.5]))
    image = np.random.default_rng(0).random((height, width)).astype(np.float32)
    sizes = []

    def chances(windows):  # type: ignore[no-untyped-def]
        sizes.append({window.shape for window in windows})
        assert len(windows) <= 8
        return np.stack([np.stack([window, 1 - window]) for window in windows])

    found = raddino_seg.predict_tiled(chances, image, side, overlap)
    assert np.allclose(found, np.stack([image, 1 - image]), atol=1e-5)
    assert set().union(*sizes) == {(side, side)}


def test_windows_overlap_as_asked_and_are_no_more_than_needed() -> None:
    count = 0

    def chances(windows):  # type: ignore[no-untyped-def]
        nonlocal count
        count += len(windows)
        return np.zeros((len(windows), 1, 100, 100), np.float32)

    for shape, overlap, expected in (
        ((100, 100), 0.5, 1),
        ((150, 100), 0.5, 2),
        ((151, 100), 0.5, 3),
        ((200, 200), 0.0, 4),
    ):
        count = 0
        raddino_seg.predict_tiled(chances, np.zeros(shape), 100, overlap)
        assert count == expected


def test_a_pixel_counts_most_at_the_centre_of_a_window() -> None:
    rounds = iter((0.0, 1.0))
    found = raddino_seg.predict_tiled(
        lambda windows: np.stack([np.full((1, 10, 10), next(rounds), np.float32) for _ in windows]),
        np.zeros((15, 10)), 10,
    )[0, :, 5]  # fmt: skip
    assert (found[:5] == 0).all()
    assert (found[10:] == 1).all()
    assert (np.diff(found) >= 0).all()


def test_the_likeliest_of_classes_and_background_is_the_mask() -> None:
    chances = np.array([[[0.2, 0.5, 0.6]], [[0.1, 0.4, 0.7]]], np.float32)
    assert raddino_seg.decide(chances, overlapping=False).tolist() == [[0, 1, 2]]
    assert raddino_seg.decide(chances, overlapping=True).tolist() == [[[False, False, True]], [[False, False, True]]]


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SegError, match="windows from 1 to its short side"):
        raddino_seg.predict_tiled(lambda w: np.zeros((len(w), 1, 9, 9), np.float32), np.zeros((8, 20)), 9)
    with pytest.raises(SegError, match="overlap from 0 and below 1"):
        raddino_seg.predict_tiled(lambda w: np.zeros((len(w), 1, 4, 4), np.float32), np.zeros((8, 20)), 4, 1.0)
