import numpy as np
import pytest
from raddino_probes import ProbeError, age_bands, bootstrap_by_patient, score_groups


def _rows(n=600, seed=0):
    """A model that tells the finding in men and hardly in women."""
    rng = np.random.default_rng(seed)
    who = np.arange(n) // 3
    sex = np.where(who % 2 == 0, "F", "M")
    targets = (rng.random(n) < 0.4).astype(float)
    scores = targets * np.where(sex == "M", 2.5, 0.3) + rng.normal(size=n)
    return targets[:, None], scores[:, None], who, sex


def test_groups_have_their_own_intervals_and_the_gap_its_own():
    targets, scores, who, sex = _rows()
    women, men, gap = score_groups({"auroc": scores}, targets, who, ("effusion",), {"sex": sex})
    assert [women.group, men.group, gap.group] == ["sex=F", "sex=M", "sex: M - F"]
    assert gap.value == pytest.approx(men.value - women.value)
    assert 0 < gap.low < gap.value < gap.high
    assert gap.n == women.n + men.n == 600
    # No patient is both, so the gap's spread is that of the two together.
    spread = np.hypot(women.high - women.low, men.high - men.low)
    assert gap.high - gap.low == pytest.approx(spread, rel=0.1)
    alone = bootstrap_by_patient("auroc", targets[sex == "M", 0], scores[sex == "M", 0], who[sex == "M"])
    assert men.value == pytest.approx(alone.value)
    assert (men.low, men.high) == pytest.approx((alone.low, alone.high), abs=0.01)


def test_the_gap_between_two_views_of_the_same_patients_is_paired():
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(150), 2)
    targets = np.repeat((rng.random(150) < 0.4).astype(float), 2)
    scores = targets + np.repeat(rng.normal(size=150), 2) + 0.05 * rng.normal(size=300)
    view = np.tile(["AP", "PA"], 150)
    one, other, gap = score_groups({"auroc": scores[:, None]}, targets[:, None], who, ("x",), {"view": view})
    assert gap.high - gap.low < 0.3 * (one.high - one.low)
    assert other.n == 150


def test_every_metric_every_attribute_and_too_small_a_group():
    targets, scores, who, sex = _rows()
    source = np.array([None] * 30 + ["small"] * 12 + ["large"] * 558)
    decisions = (scores > 1).astype(float)
    results = score_groups(
        {"auroc": scores, "f1": decisions}, targets, who, ("effusion",), {"sex": sex, "source": source}, method="knn"
    )
    assert [(r.metric, r.group) for r in results] == [
        (metric, group)
        for metric in ("auroc", "f1")
        for group in ("sex=F", "sex=M", "source=large", "source=small", "sex: M - F")
    ]
    assert results[2].n == 558
    assert "in source=small, at least 10 needed" in results[3].reason
    assert np.isnan(results[3].value)
    assert {r.method for r in results} == {"knn"}


def test_numbers_have_groups_too():
    rng = np.random.default_rng(0)
    ages = rng.uniform(20, 90, 300)
    guesses = ages + rng.normal(size=300) * np.where(ages > 60, 10, 2)
    young, _, old, gap = score_groups(
        {"mae": guesses[:, None]}, ages[:, None], np.arange(300), ("age",), {"age": age_bands(ages, (40, 60))}
    )
    assert young.positives is None
    assert old.group == "age=>=60"
    assert gap.group == "age: >=60 - <40" or gap.group == "age: >=60 - 40-59"
    assert gap.low > 4


def test_age_bands_start_at_their_edges():
    assert age_bands([39.9, 40, 59, 60, 80, 91, np.nan]) == ["<40", "40-59", "40-59", "60-79", ">=80", ">=80", ""]


def test_shapes_that_do_not_fit_are_refused():
    targets, scores, who, sex = _rows()
    with pytest.raises(ProbeError, match="groups by sex: expected a label for each of 600 rows, got 599"):
        score_groups({"auroc": scores}, targets, who, ("effusion",), {"sex": sex[1:]})
    with pytest.raises(ProbeError, match=r"targets \(N, 2\), a column for each name, got \(600, 1\)"):
        score_groups({"auroc": scores}, targets, who, ("a", "b"), {"sex": sex})
    with pytest.raises(ProbeError, match=r"predictions of auroc: expected the shape of the targets \(600, 1\)"):
        score_groups({"auroc": scores[:, 0]}, targets, who, ("effusion",), {"sex": sex})
    with pytest.raises(ProbeError, match=r"probabilities 0\.\.1"):
        score_groups({"brier": scores}, targets, who, ("effusion",), {"sex": sex})
    with pytest.raises(ProbeError, match="decisions 0 and 1"):
        score_groups({"f1": scores}, targets, who, ("effusion",), {"sex": sex})
