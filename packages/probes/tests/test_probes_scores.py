import re
from pathlib import Path

import numpy as np
import pytest
from raddino_probes import ProbeError, Split, auroc, check_no_leakage, probe_binary, probe_continuous
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.preprocessing import StandardScaler


def _splits(sizes=(300, 120, 150), dims=20, binary=True, noise=1.0, seed=0):
    rng, out = np.random.default_rng(seed), []
    scales = rng.uniform(0.1, 30, dims)
    for i, n in enumerate(sizes):
        x = rng.normal(size=(n, dims))
        y = x[:, 0] + x[:, 1] + noise * rng.normal(size=n)
        out.append(Split(x * scales, (y > 0.5).astype(float) if binary else 50 + 10 * y, np.arange(n) // 2 + 1000 * i))
    return out


def _with(split, **changes):
    return Split(**{"features": split.features, "targets": split.targets, "patients": split.patients, **changes})


def test_linear_probe_is_sklearns_logistic_regression_chosen_on_val():
    train, val, test = _splits()
    score = probe_binary(train, val, test)
    scaler = StandardScaler().fit(train.features)
    x_train, x_val, x_test = (scaler.transform(s.features) for s in (train, val, test))
    fits = {c: LogisticRegression(C=c, max_iter=1000).fit(x_train, train.targets) for c in np.logspace(-5, 1, 13)}
    on_val = {c: roc_auc_score(val.targets, m.decision_function(x_val)) for c, m in fits.items()}
    best = max(on_val, key=on_val.get)
    assert score.choice["C"] == pytest.approx(best)
    assert score.choice["val_auroc"] == pytest.approx(on_val[best], abs=1e-3)
    np.testing.assert_allclose(score.predictions, fits[best].decision_function(x_test), atol=0.01)
    assert score.value == pytest.approx(auroc(test.targets, score.predictions))
    assert score.low < score.value < score.high
    assert (score.n, score.positives, score.estimable) == (150, int(test.targets.sum()), True)


def test_knn_votes_are_softmax_weighted_cosines():
    train, val, test = _splits((40, 30, 60))
    score = probe_binary(train, val, test, method="knn")
    unit = [s.features / np.linalg.norm(s.features, axis=1, keepdims=True) for s in (train, test)]
    k = score.choice["k"]
    for i in (0, 7, 59):
        similarity = unit[0] @ unit[1][i]
        nearest = np.argsort(-similarity)[:k]
        weights = np.exp(similarity[nearest] / 0.07)
        assert score.predictions[i] == pytest.approx(weights @ train.targets[nearest] / weights.sum())


def test_knn_neighbours_are_capped_at_the_training_rows():
    score = probe_binary(*_splits((15, 60, 60)), method="knn")
    assert score.choice["k"] in (10, 15)


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_noise_scores_chance_and_signal_does_not(method):
    signal = probe_binary(*_splits(dims=4, noise=0.1), method=method)
    train, val, test = _splits(dims=4)
    rng = np.random.default_rng(5)
    noise = probe_binary(
        *(_with(s, features=rng.normal(size=s.features.shape)) for s in (train, val, test)), method=method
    )
    assert signal.low > 0.6
    assert noise.low < 0.5 < noise.high


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_test_targets_never_reach_the_model(method):
    train, val, test = _splits()
    flipped = probe_binary(train, val, _with(test, targets=1 - test.targets), method=method)
    score = probe_binary(train, val, test, method=method)
    np.testing.assert_array_equal(flipped.predictions, score.predictions)
    assert flipped.value == pytest.approx(1 - score.value)


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_unknown_targets_change_nothing(method):
    train, val, test = _splits()
    padded = []
    for i, split in enumerate((train, val, test)):
        extra = np.random.default_rng(i).normal(size=(3, 20)) * 100
        padded.append(
            Split(
                np.vstack([split.features, extra]),
                np.append(split.targets, [np.nan] * 3),
                np.append(split.patients, [9000 + i] * 3),
            )
        )
    score, more = probe_binary(train, val, test, method=method), probe_binary(*padded, method=method)
    assert (more.value, more.low, more.high, more.n) == (score.value, score.low, score.high, score.n)
    assert len(more.predictions) == 153
    assert np.isfinite(more.predictions).all()


def test_dead_feature_columns_do_no_harm():
    splits = _splits()
    dead = [_with(s, features=np.hstack([s.features, np.full((len(s), 1), 0.1)])) for s in splits]
    assert probe_binary(*dead).value == pytest.approx(probe_binary(*splits).value, abs=1e-6)


@pytest.mark.parametrize(
    ("which", "targets", "reason"),
    [
        (0, np.zeros(300), "no positives in train"),
        (1, np.ones(120), "no negatives in val"),
        (2, np.r_[np.ones(9), np.zeros(141)], "9 positives in test, at least 10 needed"),
        (2, np.r_[np.ones(141), np.zeros(9)], "9 negatives in test, at least 10 needed"),
        (2, np.full(150, np.nan), "0 negatives in test, at least 10 needed"),
    ],
)
def test_too_little_evidence_gives_a_reason_and_no_number(which, targets, reason):
    splits = _splits()
    splits[which] = _with(splits[which], targets=targets)
    score = probe_binary(*splits)
    assert not score.estimable
    assert score.reason == reason
    assert np.isnan([score.value, score.low, score.high, *score.predictions]).all()


def test_ten_of_each_are_enough():
    train, val, test = _splits()
    assert probe_binary(train, val, _with(test, targets=np.r_[np.ones(10), np.zeros(140)])).estimable


@pytest.mark.parametrize("dims", [20, 400])
def test_continuous_probe_is_sklearns_ridge_chosen_on_val(dims):
    train, val, test = _splits(dims=dims, binary=False)
    score = probe_continuous(train, val, test)
    scaler = StandardScaler().fit(train.features)
    x_train, x_val, x_test = (scaler.transform(s.features) for s in (train, val, test))
    fits = {a: Ridge(alpha=a).fit(x_train, train.targets) for a in np.logspace(-1, 6, 8)}
    on_val = {a: r2_score(val.targets, m.predict(x_val)) for a, m in fits.items()}
    best = max(on_val, key=on_val.get)
    assert score.choice["alpha"] == pytest.approx(best)
    assert score.choice["val_r2"] == pytest.approx(on_val[best])
    np.testing.assert_allclose(score.predictions, fits[best].predict(x_test), rtol=1e-6)
    assert score.mae.value == pytest.approx(np.abs(test.targets - score.predictions).mean())
    assert score.r2.value == pytest.approx(r2_score(test.targets, score.predictions))
    assert score.pearson.low < score.pearson.value < score.pearson.high
    assert score.n == 150


@pytest.mark.parametrize(
    ("which", "targets", "reason"),
    [
        (0, np.full(300, 5.0), "no two different targets in train"),
        (1, np.full(120, np.nan), "no two different targets in val"),
        (2, np.full(150, 5.0), "no two different targets in test"),
        (2, np.r_[np.arange(9), np.full(141, np.nan)], "9 known targets in test, at least 10 needed"),
    ],
)
def test_numbers_without_spread_are_not_estimable(which, targets, reason):
    splits = _splits(binary=False)
    splits[which] = _with(splits[which], targets=targets)
    score = probe_continuous(*splits)
    assert (score.estimable, score.reason) == (False, reason)
    assert np.isnan([score.mae.value, score.r2.low, *score.predictions]).all()


@pytest.mark.parametrize("probe", [probe_binary, probe_continuous])
def test_a_patient_in_two_splits_is_refused(probe):
    train, val, test = _splits()
    shared = _with(test, patients=np.append(test.patients[:-1], train.patients[0]))
    with pytest.raises(ProbeError, match="got 1 in both train and test: 0; split by patient"):
        probe(train, val, shared)


def test_patients_are_compared_as_text_and_in_every_pair():
    train, val, test = _splits()
    with pytest.raises(ProbeError, match="both val and test: 1000, 1001"):
        check_no_leakage(train, val, _with(test, patients=np.array([str(1000 + i) for i in range(150)])))
    check_no_leakage(train, val, test)


@pytest.mark.parametrize(
    ("features", "targets", "patients", "says"),
    [
        (np.eye(3), [0, 1], [1, 2, 3], r"per row of features \(3\), got targets \(2,\)"),
        (np.eye(3), [0, 1, 0], [1, 2], r"patients \(2,\)"),
        (np.zeros(3), [0, 1, 0], [1, 2, 3], r"expected \(N, D\)"),
        (np.zeros((0, 3)), [], [], r"expected \(N, D\)"),
        ([[0, 1], [np.nan, 1]], [0, 1], [1, 2], "NaN or infinity in 1 rows, first row 1"),
        (np.ones((3, 2)), [0, 1, 0], [1, 2, 3], "the same vector in all 3 rows"),
        (np.eye(2), [0, np.inf], [1, 2], "got infinity"),
        (np.eye(2), ["yes", "no"], [1, 2], "targets: expected numbers"),
    ],
)
def test_splits_that_would_mislead_are_refused(features, targets, patients, says):
    with pytest.raises(ProbeError, match=says):
        Split(features, targets, patients)


def test_other_labels_methods_and_lengths_are_refused():
    train, val, test = _splits()
    with pytest.raises(ProbeError, match="map uncertain labels to NaN"):
        probe_binary(_with(train, targets=train.targets - 1), val, test)
    with pytest.raises(ProbeError, match="expected one of linear, knn, logistic, got 'svm'"):
        probe_binary(train, val, test, method="svm")
    with pytest.raises(ProbeError, match="one length in all splits"):
        probe_binary(train, val, _with(test, features=test.features[:, :5]))


def test_the_readme_example_runs(capsys):
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    exec(compile(code, "README.md", "exec"), {})
    said = capsys.readouterr().out
    for name in ("effusion", "nodule", "macro"):
        assert re.search(rf"(?m)^{name} +auroc +0\.\d+ \(0\.\d+-0\.\d+\) +\d+ ", said)
    assert "'features': 'class'" in said
    assert "Research software, not a medical device." in text
