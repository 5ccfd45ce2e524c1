import numpy as np
import pytest
from raddino_probes import Findings, LinearHead, ProbeError, mean_maps, patch_maps, probe_findings


def _tokens(n, seed):
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(n, 6, 4, 5)).astype(np.float16)
    sick = rng.random(n) < 0.5
    tokens[sick, 2, 3, 1] += 8  # the finding is in one patch
    return tokens, sick.astype(float)


def test_the_map_of_a_head_on_mean_patches_divides_its_log_odds():
    sets = [_tokens(n, seed) for n, seed in ((200, 0), (100, 1), (100, 2))]
    parts = [
        Findings({"mean patch": t.astype(float).mean((2, 3))}, y[:, None], np.arange(len(y)) + 1000 * i, ("nodule",))
        for i, (t, y) in enumerate(sets)
    ]
    probe = probe_findings(*parts, replicates=20)
    tokens, sick = sets[2]
    maps = patch_maps(probe.heads[0], tokens)
    assert maps.shape == (100, 4, 5)
    np.testing.assert_allclose(maps.mean((1, 2)), probe.predictions["auroc"][:, 0], atol=1e-9)
    means = mean_maps(maps, np.where(sick, "nodule", "none"))
    hottest = np.unravel_index((means["nodule"] - means["none"]).argmax(), (4, 5))
    assert hottest == (3, 1)


def test_a_patients_map_is_the_mean_of_theirs_and_the_unknown_are_left_out():
    maps = np.arange(16.0).reshape(4, 2, 2)
    found = mean_maps(maps, ["p1", "p1", None, ""])
    assert list(found) == ["p1"]
    np.testing.assert_array_equal(found["p1"], maps[:2].mean(0))


def test_blocks_of_images_give_the_same_maps(monkeypatch):
    head = LinearHead("mean patch", np.ones(6), 1.0, np.zeros(6), np.full(6, 2.0))
    tokens, _ = _tokens(20, 0)
    whole = patch_maps(head, tokens)
    monkeypatch.setattr("raddino_probes._maps._BLOCK", 7)
    np.testing.assert_array_equal(patch_maps(head, tokens), whole)
    np.testing.assert_allclose(whole[3], tokens[3].astype(float).sum(0) / 2 + 1)


def test_tokens_and_groups_of_another_shape_are_refused():
    head = LinearHead("class", np.ones(6), 0.0, np.zeros(6), np.ones(6))
    for tokens in (np.zeros((2, 5, 3, 3)), np.zeros((2, 6))):
        with pytest.raises(ProbeError, match=r"expected \(N, 6, h, w\)"):
            patch_maps(head, tokens)
    with pytest.raises(ProbeError, match="a label for each of 2 maps"):
        mean_maps(np.zeros((2, 3, 3)), ["a"])
