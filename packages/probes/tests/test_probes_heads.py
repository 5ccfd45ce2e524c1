import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raddino_probes import STRENGTHS, ProbeError, fit_heads, fit_heads_singly, standardise
from sklearn.linear_model import LogisticRegression


def _rows(n=400, dims=12, labels=4, missing=0.2, seed=0):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, dims)) @ rng.normal(size=(dims, dims))
    x, _ = standardise(mixed * rng.uniform(0.1, 30, dims))
    y = (x[:, :1] + x[:, 1:2] + rng.normal(size=(n, labels)) > np.linspace(0, 2, labels)).astype(float)
    y[rng.random(y.shape) < missing] = np.nan
    return x, y


@pytest.mark.parametrize(("n", "dims"), [(400, 12), (150, 400)])
def test_every_head_is_the_optimum_that_newton_finds_alone(n, dims):
    x, y = _rows(n, dims)
    heads = fit_heads(x, y)
    for label in range(y.shape[1]):
        known = ~np.isnan(y[:, label])
        for i in (0, 6, 12):
            model = LogisticRegression(C=STRENGTHS[i], solver="newton-cholesky", tol=1e-10, max_iter=200)
            model.fit(x[known], y[known, label])
            np.testing.assert_allclose(heads.weights[:, label, i], model.coef_[0], atol=1e-4)
            np.testing.assert_allclose(heads.log_odds(x)[:, label, i], model.decision_function(x), atol=1e-4)


def test_separable_labels_converge_at_any_strength():
    x, _ = _rows(60, 100)
    y = (x[:, :1] > 0).astype(float)
    heads = fit_heads(x, y, (1e-6, 1.0, 1e5))
    assert (np.diff(np.linalg.norm(heads.weights[:, 0], axis=0)) > 0).all()
    assert ((heads.log_odds(x)[:, 0, 2] > 0) == (y[:, 0] == 1)).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 5))
@example(7730, 21, 4)  # one head arrives exactly and waits for the others
@example(6749, 17, 5)
def test_together_is_the_same_as_alone(seed, dims, labels):
    x, y = _rows(60, dims, labels, seed=seed)
    usable = [i for i in range(labels) if np.unique(y[~np.isnan(y[:, i]), i]).size == 2]
    if usable:
        together = fit_heads(x, y[:, usable], (0.01, 1.0))
        for place, i in enumerate(usable):
            for j, strength in enumerate((0.01, 1.0)):
                alone = fit_heads(x, y[:, [i]], (strength,))
                np.testing.assert_allclose(together.weights[:, place, j], alone.weights[:, 0, 0], atol=1e-4)


def test_unknown_rows_weigh_nothing():
    x, y = _rows()
    y[:100] = np.nan
    changed = x.copy()
    changed[:100] += 5
    np.testing.assert_allclose(fit_heads(x, y).weights, fit_heads(changed, y).weights, atol=1e-4)


def test_blocks_of_labels_give_the_same_heads(monkeypatch):
    x, y = _rows()
    whole = fit_heads(x, y)
    monkeypatch.setattr("raddino_probes._heads._BLOCK", 400 * 13 * 2)
    np.testing.assert_allclose(fit_heads(x, y).weights, whole.weights, atol=1e-5)


def test_the_reference_agrees_within_its_own_tolerance():
    x, y = _rows()
    np.testing.assert_allclose(fit_heads_singly(x, y).log_odds(x), fit_heads(x, y).log_odds(x), atol=0.05)


def test_what_does_not_converge_is_an_error(monkeypatch):
    monkeypatch.setattr("raddino_probes._lbfgs._STEPS", 2)
    with pytest.raises(ProbeError, match=r"converge in 2 steps, \d+ did not"):
        fit_heads(*_rows())


@pytest.mark.parametrize(
    ("x", "y", "strengths", "says"),
    [
        (np.eye(3), [0, 1, 0], (1.0,), r"targets \(N, L\), got \(3, 3\) and \(3,\)"),
        (np.eye(3), [[0], [1]], (1.0,), r"\(2, 1\)"),
        (np.eye(3), [[0], [1], [-1]], (1.0,), r"got \[-1.0\]"),
        (np.eye(3), [[0, 1], [1, 1], [0, np.nan]], (1.0,), r"none in columns \[1\]"),
        (np.eye(3), [[0], [1], [0]], (), "one or more numbers above 0"),
        (np.eye(3), [[0], [1], [0]], (1.0, 0.0), "above 0"),
    ],
)
def test_heads_that_cannot_be_trained_are_refused(x, y, strengths, says):
    for fit in (fit_heads, fit_heads_singly):
        with pytest.raises(ProbeError, match=says):
            fit(x, y, strengths)
