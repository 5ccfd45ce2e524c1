import numpy as np
import pytest
from raddino_probes import (
    ProbeError,
    average_precision,
    bootstrap_by_patient,
    compare_findings,
    holm,
    paired_difference,
    score_findings,
)
from raddino_probes._bootstrap import build
from raddino_probes._resample import multiplicities, resample
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score


def _cohort(rng, patients=200, prevalence=0.3, separation=1.2):
    """Targets, scores of two equally good models, and patients with 1 to 5 images that resemble each other.

    Labels and scores share a patient's own effect within their class, so that images are far from independent while
    the AUROC of the population is known: `Phi(separation / sqrt(2))`.
    """
    who = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
    sick = rng.random(patients) < prevalence
    targets = np.where(rng.random(len(who)) < 0.9, sick[who], rng.random(len(who)) < prevalence).astype(float)
    shared = rng.normal(size=(patients, 2)) * np.sqrt(0.5)
    noise = rng.normal(size=(len(who), 2)) * np.sqrt(0.5)
    return targets, separation * targets[:, None] + shared[who] + noise, who


def test_replicates_equal_a_naive_loop_over_sklearn():
    rng = np.random.default_rng(0)
    targets, scores, who = _cohort(rng, 80)
    scores = np.round(scores[:, 0], 1)  # ties
    statistics, count = build([("auroc", targets, scores), ("average_precision", targets, scores)], who)
    drawn = resample(statistics, count, replicates=60, seed=7).draws
    times = np.concatenate(list(multiplicities(count, 60, 7)), axis=1)
    for i in range(60):
        rows = np.repeat(np.arange(len(who)), times[who, i].astype(int))
        assert drawn[0, i] == pytest.approx(roc_auc_score(targets[rows], scores[rows]), abs=1e-9)
        assert drawn[1, i] == pytest.approx(average_precision_score(targets[rows], scores[rows]), abs=1e-9)


def test_as_many_patients_are_drawn_as_there_are_whatever_the_block(monkeypatch):
    whole = np.concatenate(list(multiplicities(30, 50, 3)), axis=1)
    assert (whole.sum(0) == 30).all()
    monkeypatch.setattr("raddino_probes._resample._BLOCK", 30 * 7)
    np.testing.assert_array_equal(np.concatenate(list(multiplicities(30, 50, 3)), axis=1), whole)


def test_bca_equals_scipys_on_one_image_a_patient():
    rng = np.random.default_rng(1)
    errors = rng.exponential(size=40) ** 2
    ours = bootstrap_by_patient("mae", np.zeros(40), errors, np.arange(40), replicates=20_000, kind="bca")
    same = np.random.default_rng(0)  # scipy draws the same resamples from it
    theirs = stats.bootstrap((errors,), np.mean, n_resamples=20_000, method="BCa", rng=same).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    percentile = bootstrap_by_patient("mae", np.zeros(40), errors, np.arange(40), replicates=20_000)
    assert ours.high > 1.04 * percentile.high


def test_bca_of_what_never_varies_is_a_point():
    same = bootstrap_by_patient("auroc", [0, 0, 1, 1] * 5, [0, 0, 1, 1] * 5, np.arange(20) // 2, kind="bca")
    assert (same.value, same.low, same.high) == (1, 1, 1)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ProbeError, match="expected one of percentile, bca, got 'normal'"):
        bootstrap_by_patient("auroc", [0, 1], [0, 1], [0, 1], kind="normal")


def test_several_seeds_are_one_interval_of_their_mean():
    targets, scores, who = _cohort(np.random.default_rng(0))
    both = bootstrap_by_patient("auroc", targets, scores.T, who)
    alone = [bootstrap_by_patient("auroc", targets, column, who) for column in scores.T]
    assert both.value == pytest.approx(np.mean([one.value for one in alone]))
    assert both.high - both.low < max(one.high - one.low for one in alone)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["percentile", "bca"])
@pytest.mark.parametrize("metric", ["auroc", "average_precision", "mae"])
def test_intervals_cover_the_truth_as_often_as_they_say(metric, kind):
    rng = np.random.default_rng(2)
    labels = (rng.random(2_000_000) < 0.3).astype(float)
    truth = {
        "auroc": stats.norm.cdf(1.2 / np.sqrt(2)),
        "average_precision": average_precision(labels, 1.2 * labels + rng.normal(size=len(labels))),
        "mae": np.sqrt(2 / np.pi),
    }[metric]
    hits, cohorts = 0, 1000
    for _ in range(cohorts):
        targets, scores, who = _cohort(rng)
        if metric == "mae":
            targets = 1.2 * targets  # what is left of the scores is standard normal
        at = bootstrap_by_patient(metric, targets, scores[:, 0], who, replicates=999, kind=kind)
        hits += at.low <= truth <= at.high
    assert 0.93 <= hits / cohorts <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["auroc", "average_precision"])
def test_two_equally_good_models_differ_one_time_in_twenty(metric):
    rng = np.random.default_rng(3)
    apart, cohorts = 0, 1000
    for _ in range(cohorts):
        targets, scores, who = _cohort(rng)
        at = paired_difference(metric, targets, scores[:, 0], scores[:, 1], who, replicates=999)
        apart += not at.low <= 0 <= at.high
    assert 0.03 <= apart / cohorts <= 0.07


def test_holm_is_the_textbooks():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    assert holm([0.04]).tolist() == [0.04]
    assert holm([]).size == 0


def test_comparisons_are_paired_and_corrected_and_leave_out_what_is_rare():
    rng = np.random.default_rng(0)
    targets, scores, who = _cohort(rng)
    rare = (np.arange(len(who)) < 9).astype(float)
    columns = np.stack([targets, targets, rare], 1)
    better = np.stack([scores[:, 0] + 2 * targets, scores[:, 0], scores[:, 0]], 1)
    worse = np.stack([scores[:, 0], scores[:, 1], scores[:, 1]], 1)
    names = ("better", "same", "rare")
    apart, same, nothing = compare_findings("auroc", columns, better, worse, who, names)
    expected = paired_difference("auroc", targets, better[:, 0], worse[:, 0], who, replicates=2000)
    assert (apart.difference, apart.low, apart.high) == (expected.value, expected.low, expected.high)
    assert apart.difference == pytest.approx(apart.a - apart.b)
    assert apart.p == pytest.approx(2 / 2001)
    assert apart.p_holm == pytest.approx(4 / 2001)
    assert same.p_holm == same.p > 0.05
    assert nothing.reason == "9 positives in test, at least 10 needed"
    assert np.isnan([nothing.a, nothing.difference, nothing.p, nothing.p_holm]).all()
    (only,) = compare_findings("auroc", columns[:, 2:], better[:, 2:], worse[:, 2:], who, ("rare",))
    assert np.isnan(only.p)


def test_p_values_and_intervals_agree():
    targets, scores, who = _cohort(np.random.default_rng(5))
    for shift in (0, 0.2, 0.4, 0.8):
        a = scores[:, 0] + shift * targets
        (at,) = compare_findings("auroc", targets[:, None], a[:, None], scores[:, 1:], who, ("finding",))
        assert (at.p < 0.05) == (not at.low <= 0 <= at.high)


def test_a_macro_mean_is_of_the_same_resamples():
    targets, scores, who = _cohort(np.random.default_rng(0))
    results = score_findings({"auroc": scores}, np.stack([targets, targets], 1), who, ("a", "b"))
    seeds = bootstrap_by_patient("auroc", targets, scores.T, who)
    macro = results[-1]
    assert (macro.name, macro.positives) == ("macro", None)
    assert (macro.value, macro.low, macro.high) == pytest.approx((seeds.value, seeds.low, seeds.high), abs=1e-12)
    assert len(score_findings({"auroc": scores[:, :1]}, targets[:, None], who, ("a",))) == 1
