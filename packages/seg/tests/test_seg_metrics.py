"""Facts about the metrics: those of MONAI and scikit-image to 1e-6, in millimetres, with a rule for what is empty."""

import monai.metrics
import numpy as np
import pytest
import raddino_seg
import skimage.measure
import skimage.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raddino_seg import SegError
from raddino_seg._surface import outline

SETTINGS = settings(deadline=None, max_examples=60)


@st.composite
def regions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two regions of one size that are not empty: blobs, specks, or nearly everything."""
    height, width = draw(st.integers(2, 24)), draw(st.integers(2, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.02, 0.3, 0.6, 0.97]))
    pair = rng.random((2, height, width)) < share
    if draw(st.booleans()):
        pair = np.maximum.accumulate(pair, axis=1) & np.maximum.accumulate(pair[:, ::-1], axis=1)[:, ::-1]
    pair[:, height // 2, draw(st.integers(0, width - 1))] = True
    return pair[0], pair[1]


SPACING = st.tuples(st.floats(0.1, 2), st.floats(0.1, 2))


def batch(region: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(region)[None, None].float()


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI 1.5 of itself
@SETTINGS
@given(regions(), SPACING)
def test_every_metric_is_monais(pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float]) -> None:
    a, b = pair
    x, y = batch(a), batch(b)
    assert raddino_seg.dice(a, b) == pytest.approx(monai.metrics.compute_dice(x, y).item(), abs=1e-6)
    assert raddino_seg.iou(a, b) == pytest.approx(monai.metrics.compute_iou(x, y).item(), abs=1e-6)
    options = {"include_background": True, "spacing": list(spacing)}
    # MONAI's distances are float32: its rounding grows with the image.
    near = max(1e-6, 1e-6 * float(np.hypot(a.shape[0] * spacing[0], a.shape[1] * spacing[1])))
    for percentile in (95, 100):
        theirs = monai.metrics.compute_hausdorff_distance(x, y, percentile=percentile, **options).item()
        assert raddino_seg.hausdorff(a, b, spacing, percentile) == pytest.approx(theirs, rel=1e-6, abs=near)
    theirs = monai.metrics.compute_average_surface_distance(x, y, symmetric=True, **options).item()
    assert raddino_seg.average_surface_distance(a, b, spacing) == pytest.approx(theirs, rel=1e-6, abs=near)


@SETTINGS
@given(regions())
def test_every_metric_is_scikit_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    edges = outline(a), outline(b)
    assert raddino_seg.hausdorff(a, b, (1, 1), 100) == pytest.approx(skimage.metrics.hausdorff_distance(*edges))
    pieces, count = skimage.measure.label(b, connectivity=2, return_num=True)
    found = [a[pieces == k].mean() >= 0.5 for k in range(1, count + 1)]
    assert raddino_seg.object_sensitivity(a, b) == pytest.approx(np.mean(found), abs=1e-6)
    (_, false), (missed, both) = skimage.metrics.contingency_table(b.astype(int), a.astype(int)).toarray()
    assert raddino_seg.iou(a, b) == pytest.approx(both / (both + false + missed), abs=1e-6)
    assert raddino_seg.dice(a, b) == pytest.approx(2 * both / (2 * both + false + missed), abs=1e-6)


@SETTINGS
@given(regions(), SPACING, st.floats(0.1, 10))
def test_metrics_are_symmetric_bounded_and_scale_with_the_spacing(
    pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float], factor: float
) -> None:
    a, b = pair
    for overlap in (raddino_seg.dice, raddino_seg.iou):
        assert 0 <= overlap(a, b) == overlap(b, a) <= 1
        assert overlap(a, a) == 1
    for distance in (raddino_seg.hausdorff, raddino_seg.average_surface_distance):
        value = distance(a, b, spacing)
        assert value == pytest.approx(distance(b, a, spacing))
        assert distance(a, a, spacing) == 0
        larger = distance(a, b, (factor * spacing[0], factor * spacing[1]))
        assert larger == pytest.approx(factor * value)
        assert value <= np.hypot(a.shape[0] * spacing[0], a.shape[1] * spacing[1])


def square(*corners: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    for y, x in corners:
        mask[y : y + 4, x : x + 4] = True
    return mask


def test_an_empty_mask_is_not_counted_if_rightly_so_and_costs_the_diagonal_if_not() -> None:
    some, none = square((3, 3)), square()
    for distance in (raddino_seg.hausdorff, raddino_seg.average_surface_distance):
        assert np.isnan(distance(none, none, (0.5, 0.5)))
        assert distance(none, some, (2, 1)) == distance(some, none, (2, 1)) == 50
    for overlap in (raddino_seg.dice, raddino_seg.iou):
        assert np.isnan(overlap(none, none))
        assert overlap(none, some) == overlap(some, none) == 0
    assert np.isnan(raddino_seg.object_sensitivity(some, none))
    assert raddino_seg.object_sensitivity(none, some) == 0


def test_an_object_is_found_if_half_of_it_is_covered() -> None:
    truth = square((2, 2), (2, 10), (12, 12))
    prediction = square((2, 2), (2, 12))
    assert raddino_seg.object_sensitivity(prediction, truth) == pytest.approx(2 / 3)
    prediction[:, 12] = False
    assert raddino_seg.object_sensitivity(prediction, truth) == pytest.approx(1 / 3)
    touching = np.eye(6, dtype=bool)
    assert raddino_seg.object_sensitivity(touching, touching) == 1


def scene() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (6, 12, 12)).astype(np.uint8)
    return np.where(rng.random(truth.shape) < 0.7, truth, 0).astype(np.uint8), truth


def test_label_maps_and_their_planes_score_alike_by_structure_and_over_all() -> None:
    prediction, truth = scene()
    options = {"classes": ["a", "b"], "patients": list("uvwxyz"), "metrics": raddino_seg.METRICS}
    spacing = [(0.2, 0.3)] * 6
    first = raddino_seg.evaluate(prediction, truth, spacing=spacing, **options)
    second = raddino_seg.evaluate(
        *(np.stack([m == 1, m == 2], 1) for m in (prediction, truth)), spacing=spacing, **options
    )
    assert first == second
    assert list(first) == list(raddino_seg.METRICS)
    for scores in first.values():
        assert list(scores) == ["a", "b", "mean"]
        assert scores["mean"].value == pytest.approx((scores["a"].value + scores["b"].value) / 2)
        assert all(score.low <= score.value <= score.high for score in scores.values())


def test_a_structure_that_is_nowhere_has_no_score() -> None:
    prediction, truth = (np.minimum(m, 1) for m in scene())
    scores = raddino_seg.evaluate(prediction, truth, classes=["a", "b"], patients=list("uvwxyz"))["dice"]
    assert scores["b"].n == 0
    assert np.isnan(scores["b"].value)
    assert scores["mean"].value == scores["a"].value


def test_an_image_without_the_class_is_not_counted() -> None:
    truth = np.zeros((2, 4, 4), np.uint8)
    truth[0, 0] = 1
    score = raddino_seg.evaluate(truth, truth, classes=["x"], patients=["a", "b"])["dice"]["x"]
    assert (score.value, score.n) == (1.0, 1)


def test_images_of_one_patient_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((40, 8, 8)) < 0.5).astype(np.uint8)
    prediction = np.where(rng.random((40, 8, 8)) < rng.random((40, 1, 1)), truth, 0).astype(np.uint8)
    patients = [str(i) for i in range(40)]
    alone = raddino_seg.evaluate(prediction, truth, classes=["x"], patients=patients)["dice"]["x"]
    four = (np.tile(prediction, (4, 1, 1)), np.tile(truth, (4, 1, 1)))
    twice = raddino_seg.evaluate(*four, classes=["x"], patients=patients * 4)["dice"]["x"]
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.2)


def test_repeated_draws_have_the_mean_of_them_all_and_an_interval_for_both_kinds_of_chance() -> None:
    rng = np.random.default_rng(0)
    steady = np.repeat(rng.normal(0.8, 0.05, (1, 50, 1)), 5, axis=0)
    shaken = steady + rng.normal(0, 0.2, (5, 1, 1))
    patients = [str(i) for i in range(50)]
    one, same, wide = (raddino_seg.summarise(v, ["x"], patients)["x"] for v in (steady[0], steady, shaken))
    assert same.value == pytest.approx(one.value)
    assert same.high - same.low == pytest.approx(one.high - one.low, rel=0.2)
    assert wide.value == pytest.approx(shaken.mean())
    assert wide.high - wide.low > 4 * (one.high - one.low)


def test_millimetres_are_refused_by_name_where_the_spacing_is_not_known() -> None:
    prediction, truth = scene()
    options = {"classes": ["a", "b"], "patients": list("uvwxyz"), "metrics": ["dice", "hd95"]}
    with pytest.raises(SegError, match="hd95 is in millimetres: expected the spacing of each of 6 images, got none"):
        raddino_seg.evaluate(prediction, truth, **options)
    for missing in (None, (0.0, 1.0), (float("nan"), 1.0)):
        spacing = [(1.0, 1.0), *[missing] * 2, *[(1.0, 1.0)] * 3]
        with pytest.raises(SegError, match=r"the spacing of image 1 is .* \(2 of 6 have none\)"):
            raddino_seg.evaluate(prediction, truth, spacing=spacing, **options)


def test_what_cannot_be_compared_is_refused() -> None:
    prediction, truth = scene()
    classes = ["a", "b"]
    with pytest.raises(SegError, match="of one shape"):
        raddino_seg.measure("dice", prediction[:, :5], truth, classes)
    with pytest.raises(SegError, match=r"mask values 0\.\.1"):
        raddino_seg.measure("dice", prediction, truth, ["a"])
    with pytest.raises(SegError, match="expected a metric of dice, iou"):
        raddino_seg.measure("auroc", prediction, truth, classes)
    with pytest.raises(SegError, match="a patient for each of 6 images, got 1"):
        raddino_seg.evaluate(prediction, truth, classes=classes, patients=["x"])
