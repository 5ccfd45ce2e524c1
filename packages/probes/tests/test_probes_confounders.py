import numpy as np
import pytest
from raddino_probes import (
    ProbeError,
    Split,
    confounder_matrix,
    probe_beyond,
    probe_binary,
    probe_continuous,
    remove_confounders,
)
from sklearn.linear_model import LinearRegression

SIZES = (500, 250, 300)


def _splits(own=1.0, seed=0, binary=True):
    """Features that know the view, the age and, as far as `own` says, something of the target beyond them."""
    rng, parts, known = np.random.default_rng(seed), [], []
    mix = rng.normal(size=(3, 12))
    for i, n in enumerate(SIZES):
        view, age, rest = rng.integers(0, 2, n), rng.uniform(20, 90, n), rng.normal(size=n)
        target = 1.5 * view + 0.02 * age + own * rest + 0.5 * rng.normal(size=n)
        features = np.stack([view, age / 20, own * rest], 1) @ mix + 0.3 * rng.normal(size=(n, 12))
        targets = (target > np.median(target)).astype(float) if binary else target
        parts.append(Split(features, targets, np.arange(n) + 1000 * i))
        known.append(np.stack([view, age], 1))
    return parts, tuple(known)


@pytest.mark.parametrize("probe", [probe_binary, probe_continuous])
def test_features_that_know_more_gain_over_the_confounders(probe):
    parts, known = _splits(own=1.5, binary=probe is probe_binary)
    found = probe_beyond(*parts, known, probe=probe, replicates=300)
    assert found.gain.low > 0.05
    value = (lambda s: s.value) if probe is probe_binary else (lambda s: s.r2.value)
    assert value(found.together) - value(found.confounders) == pytest.approx(found.gain.value)
    assert value(found.together) > max(value(found.confounders), value(found.residual))
    assert value(found.residual) > (0.6 if probe is probe_binary else 0.1)


def test_features_that_know_only_the_confounders_gain_nothing():
    parts, known = _splits(own=0.0)
    found = probe_beyond(*parts, known, replicates=300)
    assert found.features.low > 0.6
    assert found.residual.low < 0.5 < found.residual.high
    assert found.gain.low <= 0


def test_residuals_are_those_of_a_regression_on_the_training_rows():
    (train, val, _), known = _splits()
    own, other = remove_confounders(train.features, known[0], (val.features, known[1]))
    model = LinearRegression().fit(known[0], train.features)
    np.testing.assert_allclose(own, train.features - model.predict(known[0]) + train.features.mean(0), atol=1e-9)
    np.testing.assert_allclose(other, val.features - model.predict(known[1]) + train.features.mean(0), atol=1e-9)
    assert np.abs(np.corrcoef(own.T, known[0].T)[:12, 12:]).max() < 1e-9


def test_columns_of_words_numbers_and_gaps_become_a_matrix():
    matrix = confounder_matrix({"age": [50, None, 70], "view": ["PA", None, "AP"], "bmi": [20.0, 21.0, 25.0]})
    assert matrix.tolist() == [[50, 0, 0, 0, 1, 20], [60, 1, 1, 0, 0, 21], [70, 0, 0, 1, 0, 25]]


def test_what_is_not_estimable_has_no_gain():
    (train, val, test), known = _splits()
    rare = Split(test.features, (np.arange(len(test)) < 5).astype(float), test.patients)
    assert np.isnan(probe_beyond(train, val, rare, known, replicates=50).gain.value)


def test_confounders_that_cannot_serve_are_refused():
    parts, known = _splits()
    with pytest.raises(ProbeError, match="some variance in val, got the same in all 250 rows"):
        probe_beyond(*parts, (known[0], np.ones((250, 2)), known[2]))
    with pytest.raises(ProbeError, match=r"confounders \(N, K\), got \(500, 12\) and \(499, 2\)"):
        probe_beyond(*parts, (known[0][1:], *known[1:]))
    with pytest.raises(ProbeError, match="columns of one length"):
        confounder_matrix({"age": [1, 2], "view": ["PA"]})
    with pytest.raises(ProbeError, match=r"got \{\}"):
        confounder_matrix({})
    with pytest.raises(ProbeError, match="expected some numbers in age"):
        confounder_matrix({"age": [None, float("nan")]})
