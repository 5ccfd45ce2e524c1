import numpy as np
import pytest
from raddino_probes import ProbeError, Split, few_shot, probe_binary
from raddino_probes._shots import _draw


def _splits(sizes=(600, 200, 300), seed=0):
    rng, out = np.random.default_rng(seed), []
    for i, n in enumerate(sizes):
        x = rng.normal(size=(n, 16))
        targets = (x[:, :4].sum(1) + rng.normal(size=n) > 0.5).astype(float)
        targets[rng.random(n) < 0.1] = np.nan
        out.append(Split(x, targets, np.arange(n) // 3 + 1000 * i))
    return out


def test_more_shots_know_more_and_differ_less():
    curve = few_shot(*_splits(), name="effusion", shots=(1, 8, 64), draws=8, replicates=200)
    assert [(r.name, r.group, r.metric) for r in curve] == [
        ("effusion", "1 shot", "auroc"), ("effusion", "8 shots", "auroc"), ("effusion", "64 shots", "auroc"),
    ]  # fmt: skip
    values, widths = [r.value for r in curve], [r.high - r.low for r in curve]
    assert values == sorted(values)
    assert widths == sorted(widths, reverse=True)
    assert all(r.low < r.value < r.high for r in curve)
    whole = probe_binary(*_splits(), replicates=200)
    assert values[0] < values[2] < whole.value + 0.02
    assert (curve[0].n, curve[0].positives) == (whole.n, whole.positives)


def test_a_draw_has_as_many_patients_of_each_class_each_with_one_image():
    train = _splits()[0]
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = _draw(train, 16, rng)
        assert len(rows) == 32
        assert np.unique(train.patients[rows]).size == 32
        assert train.targets[rows].tolist() == [1.0] * 16 + [0.0] * 16


def test_draws_differ_and_a_seed_repeats_them():
    once, again, other = (few_shot(*_splits(), shots=(4,), draws=3, replicates=50, seed=s) for s in (0, 0, 1))
    assert once == again
    assert once != other


def test_more_shots_than_patients_is_a_reason():
    few, many = few_shot(*_splits(), shots=(2, 512), draws=2, replicates=50)
    assert few.estimable
    assert many.reason == "fewer than 512 patients of each class in train"
    assert np.isnan([many.value, many.low]).all()


def test_too_few_to_measure_is_a_reason_at_every_n():
    train, val, test = _splits()
    rare = Split(test.features, (np.arange(len(test)) < 9).astype(float), test.patients)
    assert {r.reason for r in few_shot(train, val, rare, shots=(1, 2))} == {"9 positives in test, at least 10 needed"}


def test_no_shots_no_draws_and_shared_patients_are_refused():
    train, val, test = _splits()
    for options in ({"shots": (0, 1)}, {"draws": 0}):
        with pytest.raises(ProbeError, match="1 or more"):
            few_shot(train, val, test, **options)
    with pytest.raises(ProbeError, match="both train and val"):
        few_shot(train, train, test)
