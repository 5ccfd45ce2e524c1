"""Facts about models trained from several seeds."""

import math

import numpy as np
import pytest
from raddino_probes import ProbeError, across_seeds, bootstrap_by_patient, paired_difference

RNG = np.random.default_rng(0)
PATIENTS = np.repeat(np.arange(60), 2)
TARGETS = (RNG.random((120, 2)) < 0.4).astype(float)


def scores(strength: float, noise: float, seeds: int, rng: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    shared = strength * TARGETS + RNG.normal(size=TARGETS.shape)
    return np.stack([shared + noise * rng.normal(size=TARGETS.shape) for _ in range(seeds)])


def difference(of: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return of[1] - of[0]  # type: ignore[no-any-return]


def test_the_value_is_the_mean_over_seeds_of_what_each_seed_says() -> None:
    a, b = scores(0.5, 0.3, 3, RNG), scores(1.5, 0.3, 3, RNG)
    found = across_seeds("auroc", TARGETS, [a, b], PATIENTS, difference)
    each = [
        np.mean([paired_difference("auroc", TARGETS[:, k], b[s, :, k], a[s, :, k], PATIENTS).value for k in range(2)])
        for s in range(3)
    ]
    np.testing.assert_allclose(found.seeds, each)
    assert found.value == pytest.approx(np.mean(each))
    assert found.patients == 60
    assert found.low < found.value < found.high


def test_seeds_that_agree_leave_the_interval_of_the_patients() -> None:
    one = scores(1.0, 0.0, 1, RNG)
    found = across_seeds("auroc", TARGETS, [np.repeat(one, 5, axis=0)], PATIENTS, lambda of: of[0], replicates=4000)
    assert found.seed_error == pytest.approx(0)
    alone = across_seeds("auroc", TARGETS[:, :1], np.repeat(one, 5, 0)[None, ..., :1], PATIENTS, lambda of: of[0])
    known = bootstrap_by_patient("auroc", TARGETS[:, 0], one[0, :, 0], PATIENTS)
    assert alone.high - alone.low == pytest.approx(known.high - known.low, rel=0.1)


def test_one_seed_can_not_tell() -> None:
    found = across_seeds("auroc", TARGETS, [scores(0, 1, 1, RNG), scores(9, 1, 1, RNG)], PATIENTS, difference)
    assert found.value > 0.2
    assert math.isnan(found.low)
    assert not found.leaves_out_zero


def test_nineteen_of_twenty_intervals_hold_the_truth_though_seeds_differ() -> None:
    held, trials = 0, 200
    for trial in range(trials):
        rng = np.random.default_rng((7, trial))
        patients = rng.normal(size=(40, 1))
        runs = rng.normal(size=(2, 3, 1, 1))  # each training has an offset of its own
        values = patients + runs + 0.5 * rng.normal(size=(2, 3, 40, 1))
        found = across_seeds(
            lambda _, p: p.mean(), np.zeros((40, 1)), values, np.arange(40), difference, replicates=60, seed=trial
        )
        held += found.low <= 0 <= found.high
    assert 0.9 <= held / trials <= 1


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ProbeError, match=r"predictions \(M, S, N, L\)"):
        across_seeds("auroc", TARGETS, scores(1, 1, 2, RNG), PATIENTS, difference)
