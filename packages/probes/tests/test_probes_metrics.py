import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raddino_probes import (
    Interval,
    ProbeError,
    auroc,
    average_precision,
    bootstrap_by_patient,
    measure,
    paired_difference,
    separates,
)
from raddino_probes._bootstrap import build
from scipy.stats import pearsonr
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    mean_absolute_error,
    r2_score,
    recall_score,
    roc_auc_score,
)

# Few distinct predictions, so that ties are the rule.
PAIRS = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40)
FAST = {
    "auroc": roc_auc_score,
    "average_precision": average_precision_score,
    "mae": mean_absolute_error,
    "r2": r2_score,
    "pearson": lambda t, p: pearsonr(t, p).statistic,
}
DECIDED = {
    "f1": f1_score,
    "sensitivity": recall_score,
    "specificity": lambda t, p: recall_score(t, p, pos_label=0),
    "brier": brier_score_loss,
    "ece": lambda t, p: abs(np.mean(t[p == 0])) * np.mean(p == 0) + abs(1 - np.mean(t[p == 1])) * np.mean(p == 1),
}


def _data(n=120, patients=40, seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random(n) < 0.4).astype(float)
    predictions = np.round(targets + rng.normal(size=n), 1)  # ties
    return targets, predictions, rng.integers(0, patients, n)


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_binary_metrics_equal_sklearn_with_ties_and_absent_classes(pairs):
    targets, predictions = np.array(pairs, float).T
    decisions, probabilities = (predictions > 0).astype(float), (predictions + 3) / 6
    if 0 < targets.sum() < len(targets):
        assert auroc(targets, predictions) == pytest.approx(roc_auc_score(targets, predictions), abs=1e-12)
    else:
        assert np.isnan(auroc(targets, predictions))
    if targets.any():
        expected = average_precision_score(targets, predictions)
        assert average_precision(targets, predictions) == pytest.approx(expected, abs=1e-12)
        assert measure("sensitivity", targets, decisions) == pytest.approx(recall_score(targets, decisions))
    else:
        assert np.isnan([average_precision(targets, predictions), measure("sensitivity", targets, decisions)]).all()
    if targets.any() or decisions.any():
        assert measure("f1", targets, decisions) == pytest.approx(f1_score(targets, decisions))
    else:
        assert np.isnan(measure("f1", targets, decisions))
    if not targets.all():
        specificity = recall_score(targets, decisions, pos_label=0)
        assert measure("specificity", targets, decisions) == pytest.approx(specificity)
    expected = np.mean((targets - probabilities) ** 2)
    assert measure("brier", targets, probabilities) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=40))
def test_metrics_of_numbers_equal_sklearn_and_scipy(pairs):
    targets, predictions = np.array(pairs, float).T
    assert measure("mae", targets, predictions) == pytest.approx(mean_absolute_error(targets, predictions))
    if np.ptp(targets):
        assert measure("r2", targets, predictions) == pytest.approx(r2_score(targets, predictions))
    else:
        assert np.isnan(measure("r2", targets, predictions))
    if np.ptp(targets) and np.ptp(predictions):
        expected = pearsonr(targets, predictions).statistic
        assert measure("pearson", targets, predictions) == pytest.approx(expected, abs=1e-9)
    else:
        assert np.isnan(measure("pearson", targets, predictions))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, np.nan]), st.integers(-3, 3)), min_size=2, max_size=60))
def test_unknown_labels_change_no_metric(pairs):
    targets, predictions = np.array(pairs, float).T
    known = ~np.isnan(targets)
    if 0 < targets[known].sum() < known.sum():
        whole = np.ones((1, len(pairs))).T
        for metric in ("auroc", "average_precision"):
            statistics, count = build([(metric, targets, predictions)], np.arange(len(pairs)))
            assert statistics[0](whole[:count])[0] == measure(metric, targets[known], predictions[known])


def test_metrics_equal_torchmetrics():
    torch = pytest.importorskip("torch", reason="torchmetrics needs torch")
    functional = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    rng = np.random.default_rng(0)
    targets = (rng.random(500) < 0.3).astype(float)
    probabilities = np.clip(np.round(0.3 * targets + 0.7 * rng.random(500), 2), 0, 1)
    p, t = torch.tensor(probabilities), torch.tensor(targets).long()
    assert auroc(targets, probabilities) == pytest.approx(functional.binary_auroc(p, t).item(), abs=1e-6)
    expected = functional.binary_average_precision(p, t).item()
    assert average_precision(targets, probabilities) == pytest.approx(expected, abs=1e-6)
    expected = functional.binary_f1_score(p, t, threshold=0.5).item()
    assert measure("f1", targets, (probabilities > 0.5).astype(float)) == pytest.approx(expected, abs=1e-6)


def test_calibration_error_is_the_gap_of_each_bin_by_its_rows():
    # Two bins: 4 rows said 0.3 of which half are positive, 1 row said 1 and is.
    value = measure("ece", [1, 1, 0, 0, 1], [0.3, 0.3, 0.3, 0.3, 1.0])
    assert value == pytest.approx(0.8 * 0.2)
    rng = np.random.default_rng(0)
    probabilities = rng.random(200_000)
    assert measure("ece", (rng.random(200_000) < probabilities).astype(float), probabilities) < 0.01
    assert measure("ece", (rng.random(200_000) < probabilities**2).astype(float), probabilities) > 0.1


def test_an_absent_class_gives_nan():
    assert np.isnan(auroc([1, 1], [0.2, 0.3]))
    assert np.isnan(auroc([0, 0], [0.2, 0.3]))
    assert np.isnan(average_precision([0, 0], [0.2, 0.3]))
    assert average_precision([1, 1], [0.2, 0.3]) == 1


@pytest.mark.parametrize("metric", FAST)
def test_vectorised_bootstrap_equals_a_loop_over_sklearn(metric):
    targets, predictions, patients = _data()
    fast = bootstrap_by_patient(metric, targets, predictions, patients, replicates=200, seed=3)
    loop = bootstrap_by_patient(FAST[metric], targets, predictions, patients, replicates=200, seed=3)
    for a, b in zip((fast.value, fast.low, fast.high), (loop.value, loop.low, loop.high), strict=True):
        assert a == pytest.approx(b, abs=1e-9)
    assert fast.low < fast.value < fast.high


@pytest.mark.parametrize("metric", DECIDED)
def test_the_bootstrap_of_decisions_equals_a_loop_over_sklearn(metric):
    targets, predictions, patients = _data()
    fast = bootstrap_by_patient(metric, targets, predictions > 0.5, patients, replicates=200)
    loop = bootstrap_by_patient(DECIDED[metric], targets, predictions > 0.5, patients, replicates=200)
    for a, b in zip(fast.numbers, loop.numbers, strict=True):
        assert a == pytest.approx(b, abs=1e-9)


def test_blocks_of_replicates_give_the_same_interval(monkeypatch):
    whole = bootstrap_by_patient("auroc", *_data(), replicates=100)
    monkeypatch.setattr("raddino_probes._resample._BLOCK", 40 * 7)
    assert bootstrap_by_patient("auroc", *_data(), replicates=100) == whole


def test_the_public_function_is_the_fast_metric_of_its_name():
    assert bootstrap_by_patient(auroc, *_data()) == bootstrap_by_patient("auroc", *_data())


def test_copies_of_a_patients_image_do_not_narrow_the_interval():
    targets, predictions, _ = _data(60)
    patients = np.arange(60)
    once = bootstrap_by_patient("auroc", targets, predictions, patients)
    copies = [np.repeat(x, 5) for x in (targets, predictions, patients)]
    many = bootstrap_by_patient("auroc", *copies)
    assert (many.low, many.high) == pytest.approx((once.low, once.high), abs=1e-9)
    assert many.value == pytest.approx(once.value, abs=1e-12)
    by_image = bootstrap_by_patient("auroc", *copies[:2], np.arange(300))
    assert by_image.high - by_image.low < 0.7 * (once.high - once.low)


def test_interval_of_a_mean_error_has_the_width_theory_gives():
    rng = np.random.default_rng(0)
    errors = rng.exponential(size=400)
    interval = bootstrap_by_patient("mae", np.zeros(400), errors, np.arange(400), replicates=4000)
    half = 1.96 * errors.std() / 20
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.08)


def test_level_widens_and_seed_repeats():
    narrow = bootstrap_by_patient("auroc", *_data(), level=0.5)
    wide = bootstrap_by_patient("auroc", *_data(), level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert narrow == bootstrap_by_patient("auroc", *_data(), level=0.5)
    assert narrow != bootstrap_by_patient("auroc", *_data(), level=0.5, seed=1)


def test_unknown_targets_are_left_out():
    targets, predictions, patients = _data()
    more = [np.append(x, y) for x, y in ((targets, [np.nan] * 2), (predictions, [9, np.nan]), (patients, [99, 98]))]
    assert bootstrap_by_patient("auroc", *more) == bootstrap_by_patient("auroc", targets, predictions, patients)


def test_a_model_does_not_differ_from_itself_and_beats_a_worse_one():
    targets, good, patients = _data()
    assert paired_difference("auroc", targets, good, good, patients) == Interval(0, 0, 0)
    noise = np.random.default_rng(9).normal(size=len(targets))
    ahead = paired_difference("auroc", targets, good, noise, patients)
    behind = paired_difference("auroc", targets, noise, good, patients)
    assert ahead.low > 0
    assert (behind.value, behind.low) == pytest.approx((-ahead.value, -ahead.high))
    assert ahead.value == pytest.approx(auroc(targets, good) - auroc(targets, noise))


def test_pairing_is_sharper_than_two_intervals():
    targets, good, patients = _data(400, 200)
    slightly = good + np.random.default_rng(1).normal(size=400) * 0.5
    a, b = (bootstrap_by_patient("auroc", targets, p, patients) for p in (good, slightly))
    paired = paired_difference("auroc", targets, good, slightly, patients)
    assert paired.high - paired.low < 0.7 * ((a.high - a.low) + (b.high - b.low)) / 2


def test_undefined_in_most_replicates_gives_no_interval():
    # Four different patients in four draws: 4! / 4^4, 9 % of the replicates.
    picky = lambda t, p: float(len(t)) if len(np.unique(t)) == 4 else np.nan  # noqa: E731
    interval = bootstrap_by_patient(picky, [0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 3])
    assert interval.value == 4
    assert np.isnan([interval.low, interval.high]).all()
    constant = bootstrap_by_patient("pearson", [0, 1, 2, 3], [5, 5, 5, 5], [0, 1, 2, 3])
    assert np.isnan([constant.value, constant.low, constant.high]).all()


def test_separate_means_no_overlap():
    low, high, nothing = Interval(0.5, 0.4, 0.6), Interval(0.8, 0.7, 0.9), Interval(np.nan, np.nan, np.nan)
    assert separates(low, high)
    assert separates(high, low)
    assert not separates(low, Interval(0.65, 0.6, 0.7))
    assert not separates(low, nothing)
    assert str(high) == "0.800 (0.700-0.900)"


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("auc", [0, 1], [0, 1], [0, 1]), {}, "expected one of auroc, average_precision, f1"),
        (("auroc", [0, 1], [0, 1, 2], [0, 1]), {}, "equal lengths"),
        (("auroc", [0, 1], [0, np.nan], [0, 1]), {}, "got NaN"),
        (("auroc", [0, -1], [0, 1], [0, 1]), {}, r"expected 0 and 1, NaN for unknown, got \[-1.0\]"),
        (("auroc", [np.nan, np.nan], [0, 1], [0, 1]), {}, r"got \(0,\)"),
        (("auroc", [0, 1], [0, 1], [7, 7]), {}, "at least two patients"),
        (("auroc", [0, 1], [0, 1], [0, 1]), {"replicates": 0}, "1 or more, got 0"),
        (("auroc", [0, 1], [0, 1], [0, 1]), {"level": 95}, "between 0 and 1, got 95"),
    ],
)
def test_meaningless_requests_are_refused(arguments, options, says):
    with pytest.raises(ProbeError, match=says):
        bootstrap_by_patient(*arguments, **options)
