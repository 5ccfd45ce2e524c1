"""Facts about training on cached tokens: what is learnt, what is repeated, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import raddino_seg
import torch
from raddino_seg import Training


def scene(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens whose first channel says which half of each image is class 1, in noise; masks of 24 x 24."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((n, 24, 24), np.uint8)
    tokens = rng.normal(size=(n, 8, 6, 6)).astype(np.float32)
    for i in range(n):
        edge = int(rng.integers(1, 6))
        truth[i, :, : 4 * edge] = 1
        tokens[i, 0, :, :edge] += 30
    return tokens, truth


def dice_of(prediction: np.ndarray, truth: np.ndarray) -> raddino_seg.Score:
    patients = list(map(str, range(len(truth))))
    return raddino_seg.evaluate(prediction, truth, classes=["left"], patients=patients)["dice"]["left"]


def test_a_linear_head_learns_what_a_linear_head_can() -> None:
    tokens, truth = scene()
    decoder = raddino_seg.train(
        tokens[:30],
        truth[:30],
        classes=["left"],
        training=Training(epochs=30, batch_size=4),
        validation=(tokens[30:], truth[30:]),
    )
    score = dice_of(decoder.predict(tokens[30:], (24, 24)), truth[30:])
    assert score.value > 0.97
    blind = np.repeat(raddino_seg.mean_mask(truth[:30])[None], 10, axis=0)
    assert dice_of(blind, truth[30:]).high < score.low


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_random_numbers_alone() -> None:
    tokens, truth = scene(12)
    before = torch.random.get_rng_state()
    first, second = (raddino_seg.train(tokens, truth, classes=["left"], training=Training(epochs=2)) for _ in range(2))
    other = raddino_seg.train(tokens, truth, classes=["left"], training=Training(epochs=2, seed=1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_best_epoch_by_validation_is_kept() -> None:
    tokens, truth = scene(24)
    wrong = Training(epochs=8, batch_size=4, learning_rate=3.0)
    kept = raddino_seg.train(tokens, truth, classes=["left"], training=wrong, validation=(tokens, truth))
    last = raddino_seg.train(tokens, truth, classes=["left"], training=wrong)
    best, end = (dice_of(model.predict(tokens, (24, 24)), truth).value for model in (kept, last))
    assert best >= end


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_tokens_of_any_precision_give_nearly_the_same(dtype: type) -> None:
    tokens, truth = scene(12)
    training = Training(epochs=20, batch_size=4)
    decoder = raddino_seg.train(tokens.astype(dtype), truth, classes=["left"], training=training)
    assert dice_of(decoder.predict(tokens.astype(dtype), (24, 24)), truth).value > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: (t[:5], m), "a mask for each of 5 images, got 8"),
        (lambda t, m: (t, m + 1), r"mask values 0..1 for 1 classes, got 1..2 in image 0"),
        (lambda t, m: (t, m.astype(np.int16) - 1), "got -1..0"),
        (lambda t, m: (t, m * 0), "'left' .* is in none of 8"),
        (lambda t, m: (t, m.astype(float)), "integer label maps"),
        (lambda t, m: (t, m[:0]), "at least one image"),
        (lambda t, m: (t, np.stack([m, m], 1) > 0), "a plane for each of 1 classes, got 2"),
        (lambda t, m: (t * np.nan, m), "finite"),
        (lambda t, m: (t[0], m), r"\(N, D, h, w\)"),
        (lambda t, m: (t.astype(int), m), "floating-point"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(change, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(raddino_seg.SegError, match=message):
        raddino_seg.train(*change(*scene(8)), classes=["left"], training=Training(epochs=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decoder": "unet"}, "expected a decoder of linear, pyramid, upernet, dpt; got 'unet'"),
        ({"training": Training(loss="dice+nothing")}, "expected losses of ce, .* got 'dice.nothing'"),
        ({"classes": []}, "at least one class"),
    ],
)
def test_unknown_names_are_answered_with_those_there_are(arguments, message) -> None:  # type: ignore[no-untyped-def]
    tokens, truth = scene(4)
    with pytest.raises(raddino_seg.SegError, match=message):
        raddino_seg.train(tokens, truth, **{"classes": ["left"], **arguments})
    with pytest.raises(raddino_seg.SegError, match="at least one epoch"):
        Training(epochs=0)


def test_the_example_of_the_readme_runs() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), {})
