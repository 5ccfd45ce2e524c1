import functools
import importlib.util

import numpy as np
import pytest
from raddino_probes import (
    Findings,
    Inputs,
    ProbeError,
    Split,
    auroc,
    fine_tune,
    measure,
    probe_attentive,
    probe_binary,
    probe_findings,
    threshold_for_f1,
    threshold_for_specificity,
)
from scipy.special import expit
from sklearn.metrics import f1_score, precision_recall_curve, roc_curve

NAMES = ("effusion", "nodule", "hernia")
BINARY = ("auroc", "average_precision", "f1", "sensitivity", "specificity", "brier", "ece")


def _splits(sizes=(400, 200, 240), missing=0.15, seed=0):
    """The second choice of features knows the nodule, the first the effusion; the hernia is too rare to tell."""
    rng, out = np.random.default_rng(seed), []
    for i, n in enumerate(sizes):
        a, b = rng.normal(size=(n, 8)), rng.normal(size=(n, 5))
        y = np.stack([a[:, 0] + 0.7 * rng.normal(size=n) > 0.8, b[:, 0] + 0.7 * rng.normal(size=n) > 0.5], 1)
        y = np.hstack([y, np.arange(n)[:, None] < 6]).astype(float)
        y[rng.random(y.shape) < missing] = np.nan
        out.append(Findings({"class": a, "mean patch": b}, y, np.arange(n) // 2 + 1000 * i, NAMES))
    return out


@pytest.mark.parametrize("method", ["linear", "logistic", "knn"])
def test_each_finding_gets_the_features_that_val_prefers(method):
    probe = probe_findings(*_splits(), method=method, replicates=200)
    assert [choice.get("features") for choice in probe.choices] == ["class", "mean patch", None]
    by_name = {(result.name, result.metric): result for result in probe.results}
    for name in NAMES[:2]:
        score = by_name[name, "auroc"]
        assert 0.7 < score.low < score.value < score.high
        assert (score.method, score.reason) == (method, "")
    assert by_name["hernia", "auroc"].reason.endswith("positives in test, at least 10 needed")
    assert np.isnan(by_name["hernia", "auroc"].value)
    macro = by_name["macro", "average_precision"]
    assert macro.value == pytest.approx(np.mean([by_name[name, "average_precision"].value for name in NAMES[:2]]))
    assert macro.reason == "mean of 2 of 3 targets"
    assert macro.low < macro.value < macro.high


def test_all_at_once_is_each_alone():
    train, val, test = _splits(missing=0)
    probe = probe_findings(train, val, test, replicates=50)
    for i, features in ((0, "class"), (1, "mean patch")):
        parts = [Split(s.features[features], s.targets[:, i], s.patients) for s in (train, val, test)]
        alone = probe_binary(*parts, replicates=50)
        np.testing.assert_allclose(probe.predictions["auroc"][:, i], alone.predictions, atol=1e-4)
        assert probe.results[i].value == alone.value
        assert probe.choices[i] == {"features": features, **{k: alone.choice[k] for k in ("C", "val_auroc")}}
        head = probe.heads[i]
        np.testing.assert_allclose(head.log_odds(test.features[features]), alone.predictions, atol=1e-4)


def test_logistic_is_the_linear_probe_by_another_solver():
    ours, theirs = (probe_findings(*_splits(), method=method, replicates=10) for method in ("linear", "logistic"))
    np.testing.assert_allclose(ours.predictions["auroc"], theirs.predictions["auroc"], atol=0.02)


def test_neighbours_are_rows_whose_own_finding_is_known():
    train, val, test = _splits()
    probe = probe_findings(train, val, test, method="knn", replicates=10)
    for i in (0, 1):
        name, k = probe.choices[i]["features"], probe.choices[i]["k"]
        keys, queries = (s.features[name] / np.linalg.norm(s.features[name], axis=1)[:, None] for s in (train, test))
        known = np.flatnonzero(~np.isnan(train.targets[:, i]))
        for row in (0, 100, 239):
            similarity = keys[known] @ queries[row]
            nearest = np.argsort(-similarity)[:k]
            weights = np.exp(similarity[nearest] / 0.07)
            expected = weights @ train.targets[known[nearest], i] / weights.sum()
            assert probe.predictions["auroc"][row, i] == pytest.approx(expected)


def test_training_rows_without_any_target_change_nothing():
    train, val, test = _splits()
    more = np.random.default_rng(1).normal(5, 3, size=(50, train.features["class"].shape[1]))
    wider = Findings(
        {name: np.concatenate((x, more[:, : x.shape[1]])) for name, x in train.features.items()},
        np.concatenate((train.targets, np.full((50, len(NAMES)), np.nan))),
        np.concatenate((train.patients, [f"unknown {i}" for i in range(50)])),
        NAMES,
    )
    one, other = (probe_findings(t, val, test, replicates=10) for t in (train, wider))
    assert one.choices == other.choices
    np.testing.assert_array_equal(one.predictions["auroc"], other.predictions["auroc"])


def test_thresholds_and_choices_come_from_val_and_nothing_from_test():
    train, val, test = _splits()
    probe = probe_findings(train, val, test, metrics=BINARY, replicates=50)
    flipped = Findings(test.features, 1 - test.targets, test.patients, NAMES)
    other = probe_findings(train, val, flipped, metrics=BINARY, replicates=50)
    assert probe.choices[:2] == other.choices[:2]
    for metric in BINARY:
        np.testing.assert_array_equal(probe.predictions[metric][:, :2], other.predictions[metric][:, :2])
    odds = probe.predictions["auroc"][:, 0]
    np.testing.assert_allclose(probe.predictions["brier"][:, 0], expit(odds))
    on_val = probe.heads[0].log_odds(val.features["class"])
    known = ~np.isnan(val.targets[:, 0])
    at = threshold_for_specificity(val.targets[known, 0], on_val[known], 0.9)
    np.testing.assert_array_equal(probe.predictions["sensitivity"][:, 0], odds >= at)
    best = threshold_for_f1(val.targets[known, 0], on_val[known])
    np.testing.assert_array_equal(probe.predictions["f1"][:, 0], odds >= best)
    by_metric = {result.metric: result.value for result in probe.results if result.name == "effusion"}
    assert by_metric["specificity"] == pytest.approx(0.9, abs=0.07)
    assert by_metric["f1"] > 0.5


def test_the_threshold_of_f1_is_the_best_there_is():
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.3).astype(float)
    scores = np.round(y + rng.normal(size=200), 1)
    at = threshold_for_f1(y, scores)
    precision, recall, _ = precision_recall_curve(y, scores)
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    assert f1_score(y, scores >= at) == pytest.approx(best)


def test_the_threshold_of_specificity_is_the_lowest_that_keeps_it():
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.3).astype(float)
    scores = np.round(y + rng.normal(size=200), 1)
    at = threshold_for_specificity(y, scores, 0.8)
    false, true, _ = roc_curve(y, scores, drop_intermediate=False)
    assert measure("specificity", y, (scores >= at).astype(float)) >= 0.8
    assert measure("sensitivity", y, (scores >= at).astype(float)) == pytest.approx(true[false <= 0.2 + 1e-9].max())
    assert threshold_for_specificity([0, 1], [5, 5], 0.9) == np.inf


def test_features_need_not_be_of_one_length_and_dead_choices_lose():
    train, val, test = _splits()
    rng = np.random.default_rng(1)
    with_noise = [
        Findings({"noise": rng.normal(size=(len(s), 3)), **s.features}, s.targets, s.patients, NAMES)
        for s in (train, val, test)
    ]
    assert [c.get("features") for c in probe_findings(*with_noise, replicates=10).choices[:2]] == [
        "class",
        "mean patch",
    ]


def test_nothing_to_tell_is_reasons_and_no_numbers():
    train, val, test = _splits()
    empty = Findings(train.features, np.where(train.targets == 1, np.nan, train.targets), train.patients, NAMES)
    probe = probe_findings(empty, val, test)
    assert probe.reasons == ["no positives in train"] * 3
    assert np.isnan([result.value for result in probe.results]).all()
    assert probe.heads == [None] * 3


def test_findings_that_would_mislead_are_refused():
    train, val, test = _splits()
    with pytest.raises(ProbeError, match="got 1 in both train and test"):
        probe_findings(train, val, Findings(test.features, test.targets, np.r_[0, test.patients[1:]], NAMES))
    with pytest.raises(ProbeError, match="same findings"):
        probe_findings(train, val, Findings(test.features, test.targets, test.patients, ("a", "b", "c")))
    with pytest.raises(ProbeError, match="one length in all splits"):
        probe_findings(train, val, Findings({"class": test.features["class"]}, test.targets, test.patients, NAMES))
    with pytest.raises(ProbeError, match="metrics of findings, got 'mae'"):
        probe_findings(train, val, test, metrics=("mae",))
    with pytest.raises(ProbeError, match="expected one of linear, knn, logistic, got 'svm'"):
        probe_findings(train, val, test, method="svm")
    with pytest.raises(ProbeError, match=r"expected targets \(240, 2\)"):
        Findings(test.features, test.targets, test.patients, NAMES[:2])
    with pytest.raises(ProbeError, match="one or more named matrices"):
        Findings({}, test.targets, test.patients, NAMES)
    with pytest.raises(ProbeError, match="features 'class': expected finite"):
        Findings({"class": np.full((240, 2), np.nan)}, test.targets, test.patients, NAMES)
    with pytest.raises(ProbeError, match="map uncertain labels to NaN"):
        Findings(test.features, test.targets - 1, test.patients, NAMES)


def test_without_torch_an_attentive_probe_says_what_to_install():
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    parts = [Inputs(np.zeros((4, 2, 1, 1)), np.zeros((4, 1)), np.arange(4) + 10 * i, ("x",)) for i in range(3)]
    for probe in (probe_attentive, functools.partial(fine_tune, None)):
        with pytest.raises(ProbeError, match=r"pip install 'raddino-probes\[torch\]'"):
            probe(*parts)


def test_a_score_as_a_line_of_a_table_says_the_same():
    train, val, test = (Split(s.features["class"], s.targets[:, 0], s.patients) for s in _splits())
    score = probe_binary(train, val, test, replicates=50)
    (line,) = score.results("effusion")
    assert (line.name, line.metric, line.interval, line.n) == ("effusion", "auroc", score.interval, score.n)
    assert line.value == auroc(*(x[~np.isnan(test.targets)] for x in (test.targets, score.predictions)))
