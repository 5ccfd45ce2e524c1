import numpy as np
import pytest
from raddino_probes import (
    Findings,
    Inputs,
    LinearHead,
    ProbeError,
    fine_tune,
    measure,
    probe_attentive,
    probe_findings,
)

torch = pytest.importorskip("torch", reason="attentive probes and fine-tuning need raddino-probes[torch]")
NAMES = ("nodule", "hernia")


def _tokens(n, seed):
    """Channel 0 marks one patch among 25, whose channel 1 tells the nodule; another takes it out of the mean."""
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(n, 8, 25))
    sick, place, rows = rng.random(n) < 0.5, rng.integers(0, 25, n), np.arange(n)
    sign = np.where(sick, 4, -4)
    tokens[rows, 0, place] += 6
    tokens[rows, 1, place] += sign
    tokens[rows, 1, (place + 7) % 25] -= sign
    targets = np.stack([sick, rows < 4], 1).astype(float)
    targets[rng.random(n) < 0.1, 0] = np.nan
    return Inputs(tokens.reshape(n, 8, 5, 5).astype(np.float16), targets, rows + 10_000 * seed, NAMES), place


PLACES = [_tokens(n, seed)[1] for n, seed in ((400, 1), (150, 2), (200, 3))]
SPLITS = [_tokens(n, seed)[0] for n, seed in ((400, 1), (150, 2), (200, 3))]
OPTIONS = {"heads": 2, "epochs": 12, "replicates": 50}


@pytest.fixture(scope="module")
def probe():
    return probe_attentive(*SPLITS, **OPTIONS, metrics=("auroc", "brier", "f1"))


def test_attention_finds_what_the_mean_of_the_patches_has_lost(probe):
    means = [Findings({"mean": s.inputs.astype(float).mean((2, 3))}, s.targets, s.patients, s.names) for s in SPLITS]
    linear = probe_findings(*means, replicates=50)
    assert probe.results[0].low > linear.results[0].high
    assert probe.results[0].low > 0.9
    assert {result.metric for result in probe.results} == {"auroc", "brier", "f1"}
    assert probe.results[0].method == "attentive"
    assert probe.reasons[1].endswith("positives in test, at least 10 needed")
    assert probe.heads[1] is None
    assert probe.choices[0]["lr"] in (1e-3, 3e-3, 1e-2, 3e-2)


def test_a_head_is_the_probe_and_its_attention_is_on_the_patch(probe):
    head, test = probe.heads[0], SPLITS[2]
    np.testing.assert_allclose(head.log_odds(test.inputs), probe.predictions["auroc"][:, 0])
    known = ~np.isnan(SPLITS[1].targets[:, 0])
    on_val = head.log_odds(SPLITS[1].inputs)[known]
    value = measure("auroc", SPLITS[1].targets[known, 0], on_val)
    assert value == pytest.approx(probe.choices[0]["val_auroc"], abs=1e-3)
    maps = head.attention(test.inputs)
    np.testing.assert_allclose(maps.sum((1, 2)), 1)
    assert (maps.reshape(200, 25).argmax(1) == PLACES[2]).mean() > 0.8
    with pytest.raises(ProbeError, match=r"expected \(N, 8, h, w\) for this head, got \(200, 5, 5, 8\)"):
        head.log_odds(test.inputs.transpose(0, 2, 3, 1))


def test_test_and_its_targets_never_reach_the_attention(probe):
    flipped = Inputs(SPLITS[2].inputs, 1 - SPLITS[2].targets, SPLITS[2].patients, NAMES)
    other = probe_attentive(*SPLITS[:2], flipped, **OPTIONS)
    np.testing.assert_array_equal(other.predictions["auroc"][:, 0], probe.predictions["auroc"][:, 0])
    assert other.choices[0] == probe.choices[0]


def test_tokens_that_would_mislead_are_refused():
    train, val, test = SPLITS
    broken = test.inputs.copy()
    broken[7, 0, 0, 0] = np.nan
    with pytest.raises(ProbeError, match="got NaN or infinity in row 7"):
        probe_attentive(Inputs(broken, test.targets, test.patients, NAMES), val, train, epochs=1)
    with pytest.raises(ProbeError, match=r"train: expected patch tokens \(N, D, h, w\), got \(400, 8, 25\)"):
        probe_attentive(Inputs(train.inputs.reshape(400, 8, 25), train.targets, train.patients, NAMES), val, test)
    with pytest.raises(ProbeError, match="of one length in all splits"):
        probe_attentive(train, Inputs(val.inputs[:, :4], val.targets, val.patients, NAMES), test)
    with pytest.raises(ProbeError, match="both train and val"):
        probe_attentive(train, train, test)
    with pytest.raises(ProbeError, match=r"expected targets \(199, 2\)"):
        Inputs(test.inputs[1:], test.targets, test.patients[1:], NAMES)
    with pytest.raises(ProbeError, match="map uncertain labels to NaN"):
        Inputs(test.inputs, test.targets - 1, test.patients, NAMES)


def _images(n, seed):
    """A stripe whose direction tells the finding, which random weights hardly see."""
    rng = np.random.default_rng(seed)
    sick = rng.random(n) < 0.5
    waves = np.sin(np.arange(12) * np.pi / 2 + rng.uniform(0, 6, (n, 1)))
    images = np.where(sick[:, None, None], waves[:, None, :], waves[:, :, None]) + 3 * rng.normal(size=(n, 12, 12))
    targets = np.stack([sick, np.arange(n) < 4], 1).astype(float)
    return Inputs(images[:, None].astype(np.float32), targets, np.arange(n) + 10_000 * seed, NAMES)


def _encoder():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers)


IMAGES = [_images(n, seed) for n, seed in ((300, 1), (120, 2), (160, 3))]


def _frozen(encoder):
    with torch.no_grad():
        features = [encoder(torch.from_numpy(s.inputs)).numpy() for s in IMAGES]
    return [Findings({"class": x}, s.targets, s.patients, NAMES) for x, s in zip(features, IMAGES, strict=True)]


def test_fine_tuning_begins_at_the_probe_and_goes_beyond_it():
    encoder = _encoder()
    linear = probe_findings(*_frozen(encoder), replicates=50)
    still = fine_tune(encoder, *IMAGES, heads=linear.heads, epochs=0, replicates=50)
    np.testing.assert_allclose(still.predictions["auroc"][:, 0], linear.predictions["auroc"][:, 0], atol=1e-4)
    tuned = fine_tune(encoder, *IMAGES, heads=linear.heads, learning_rate=1e-2, head_learning_rate=1e-2, replicates=50)
    assert tuned.results[0].value > linear.results[0].value + 0.05
    assert tuned.choices[0]["epoch"] > 0
    assert (tuned.results[0].method, tuned.heads[1]) == ("fine-tuned", None)
    # The encoder that was handed in is the one that was chosen.
    features = _frozen(encoder)[2].features["class"]
    np.testing.assert_allclose(tuned.heads[0].log_odds(features), tuned.predictions["auroc"][:, 0], atol=1e-4)


def test_an_epoch_that_is_worse_on_val_is_not_chosen():
    encoder = _encoder()
    linear = probe_findings(*_frozen(encoder), replicates=50)
    ruined = fine_tune(encoder, *IMAGES, heads=linear.heads, learning_rate=100.0, epochs=2, replicates=50)
    assert ruined.choices[0]["val_auroc"] >= linear.choices[0]["val_auroc"] - 1e-6


def test_encoders_and_heads_that_do_not_fit_are_refused():
    with pytest.raises(ProbeError, match=r"expected features \(B, D\), got \(1, 8, 10, 10\)"):
        fine_tune(torch.nn.Conv2d(1, 8, 3), *IMAGES)
    short = LinearHead("class", np.zeros(3), 0.0, np.zeros(3), np.ones(3))
    with pytest.raises(ProbeError, match="expected linear heads on 8 features"):
        fine_tune(_encoder(), *IMAGES, heads=[short])
