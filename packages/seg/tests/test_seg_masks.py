"""Facts about masks and their codes, the mean mask, few-shot draws and label propagation."""

import numpy as np
import pytest
import raddino_seg
from raddino_seg import SegError


def test_values_of_their_own_become_a_label_map_and_foreign_ones_are_named() -> None:
    masks = np.array([[[0, 255], [255, 0]]], np.uint8)
    assert raddino_seg.from_values(masks, (255,)).tolist() == [[[0, 1], [1, 0]]]
    masks[0, 0, 0] = 7
    with pytest.raises(SegError, match="expected mask values 0, 255; got 7"):
        raddino_seg.from_values(masks, (255,))


def test_bits_become_planes_and_a_bit_too_many_is_refused() -> None:
    fields = np.array([[[0, 1], [2, 3]]], np.uint16)
    planes = raddino_seg.from_bits(fields, 2)
    assert planes[0].tolist() == [[[False, True], [False, True]], [[False, False], [True, True]]]
    with pytest.raises(SegError, match="expected 1 bits, got the value 3"):
        raddino_seg.from_bits(fields, 1)


def test_the_mean_mask_is_the_commonest_value_of_each_pixel() -> None:
    masks = np.array([[[1, 2]], [[1, 0]], [[0, 2]]], np.uint8)
    assert raddino_seg.mean_mask(masks).tolist() == [[1, 2]]
    planes = np.stack([masks == 1, masks == 2], 1)
    assert raddino_seg.mean_mask(planes).tolist() == [[[True, False]], [[False, True]]]


def test_draws_are_repeated_by_their_seed_with_one_image_a_patient() -> None:
    patients = [f"p{i // 3}" for i in range(30)]
    draws = raddino_seg.draw_shots(patients, 5, 4)
    again = raddino_seg.draw_shots(np.array(patients), 5, 4)
    assert all(np.array_equal(a, b) for a, b in zip(draws, again, strict=True))
    assert len({tuple(rows) for rows in draws}) == 4
    for rows in draws:
        assert len({patients[row] for row in rows}) == 5
    (everything,) = raddino_seg.draw_shots(patients, None, 4)
    assert len(everything) == 30
    with pytest.raises(SegError, match="from 1 to the 10 patients in train; got 4 draws of 11"):
        raddino_seg.draw_shots(patients, 11, 4)


def parts(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Two structures side by side in a background, at places of their own; tokens know what they show."""
    rng = np.random.default_rng(0)
    cells = np.zeros((n, 8, 8), np.uint8)
    for cell in cells:
        y, x = rng.integers(0, 5, 2)
        cell[y : y + 3, x : x + 2], cell[y : y + 3, x + 2 : x + 4] = 1, 2
    directions = rng.normal(size=(3, 16))
    tokens = directions[cells].transpose(0, 3, 1, 2) + 0.2 * rng.normal(size=(n, 16, 8, 8))
    return tokens.astype(np.float32), cells.repeat(4, 1).repeat(4, 2)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_one_annotated_image_segments_others_whose_tokens_are_like_its_own(planes: bool, layers: int) -> None:
    tokens, truth = parts()
    masks = np.stack([truth == 1, truth == 2], 1) if planes else truth
    if layers == 2:
        tokens = np.stack([tokens, np.random.default_rng(1).normal(size=tokens.shape).astype(np.float32) / 5], 1)
    found = raddino_seg.propagate(tokens[:1], masks[:1], tokens[1:], classes=("a", "b"), size=(32, 32))
    assert found.shape == masks[1:].shape
    assert found.dtype == masks.dtype
    assert np.nanmean(raddino_seg.measure("dice", found, masks[1:], ["a", "b"])) > 0.85
    blind = np.repeat(masks[:1], 7, axis=0)
    assert np.nanmean(raddino_seg.measure("dice", blind, masks[1:], ["a", "b"])) < 0.5


def test_examples_that_do_not_fit_are_refused() -> None:
    tokens, truth = parts()
    options = {"classes": ("a", "b"), "size": (32, 32)}
    with pytest.raises(SegError, match=r"tokens \(M, 1, 16, 8, 8\) of the images; got 1 masks and tokens \(1, 1, 9"):
        raddino_seg.propagate(tokens[:1, :9], truth[:1], tokens, **options)
    with pytest.raises(SegError, match="got 2 masks"):
        raddino_seg.propagate(tokens[:1], truth[:2], tokens, **options)
    with pytest.raises(SegError, match="1 to 64 neighbours, got 65"):
        raddino_seg.propagate(tokens[:1], truth[:1], tokens, neighbours=65, **options)
