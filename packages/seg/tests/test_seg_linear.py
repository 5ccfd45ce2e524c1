"""Facts about the linear head, Dice and its interval."""

from pathlib import Path

import numpy as np
import pytest
import raddino_seg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


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


def test_a_linear_head_learns_what_a_linear_head_can() -> None:
    tokens, truth = scene()
    decoder = raddino_seg.train(
        tokens[:30], truth[:30], classes=["left"], epochs=30, batch_size=4, validation=(tokens[30:], truth[30:])
    )
    score = raddino_seg.evaluate(
        decoder.predict(tokens[30:], (24, 24)), truth[30:], classes=["left"], patients=list(map(str, range(10)))
    )
    assert score["left"].value > 0.97
    blind = np.repeat(raddino_seg.mean_mask(truth[:30])[None], 10, axis=0)
    blind_score = raddino_seg.evaluate(blind, truth[30:], classes=["left"], patients=list(map(str, range(10))))
    assert blind_score["left"].high < score["left"].low


def test_the_same_seed_gives_the_same_weights() -> None:
    tokens, truth = scene(12)
    first, second = (raddino_seg.train(tokens, truth, classes=["left"], epochs=2) for _ in range(2))
    assert torch.equal(first.weight, second.weight)


def test_a_saved_decoder_predicts_the_same(tmp_path: Path) -> None:
    tokens, truth = scene(12)
    decoder = raddino_seg.train(tokens, truth, classes=["left"], epochs=2)
    decoder.save(tmp_path / "head.safetensors")
    again = raddino_seg.LinearDecoder.load(tmp_path / "head.safetensors")
    assert again.classes == ("left",)
    assert np.array_equal(again.predict(tokens, (24, 24)), decoder.predict(tokens, (24, 24)))
    (tmp_path / "broken").write_bytes(b"no")
    with pytest.raises(raddino_seg.SegError, match="written by LinearDecoder"):
        raddino_seg.LinearDecoder.load(tmp_path / "broken")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_dice_is_symmetric_between_0_and_1_and_1_for_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 3, (2, 3, 5, 5))
    d = raddino_seg.dice(a, b, 1)
    assert np.array_equal(d, raddino_seg.dice(b, a, 1), equal_nan=True)
    known = d[~np.isnan(d)]
    assert ((known >= 0) & (known <= 1)).all()
    own = raddino_seg.dice(a, a, 1)
    assert (own[~np.isnan(own)] == 1).all()


def test_an_image_without_the_class_is_not_counted() -> None:
    truth = np.zeros((2, 4, 4), np.uint8)
    truth[0, 0] = 1
    assert np.isnan(raddino_seg.dice(truth, truth, 1)[1])
    score = raddino_seg.evaluate(truth, truth, classes=["x"], patients=["a", "b"])["x"]
    assert (score.value, score.n) == (1.0, 1)


def test_images_of_one_patient_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((40, 8, 8)) < 0.5).astype(np.uint8)
    prediction = np.where(rng.random((40, 8, 8)) < rng.random((40, 1, 1)), truth, 0).astype(np.uint8)
    alone = raddino_seg.evaluate(prediction, truth, classes=["x"], patients=[str(i) for i in range(40)])["x"]
    twice = raddino_seg.evaluate(
        np.tile(prediction, (4, 1, 1)),
        np.tile(truth, (4, 1, 1)),
        classes=["x"],
        patients=[str(i % 40) for i in range(160)],
    )["x"]
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: (t[:5], m), "as many masks"),
        (lambda t, m: (t, m + 1), "mask values"),
        (lambda t, m: (t, m * 0), "in none"),
        (lambda t, m: (t, m.astype(float)), "integer label maps"),
        (lambda t, m: (t * np.nan, m), "finite"),
        (lambda t, m: (t[0], m), r"\(N, D, h, w\)"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(change, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(raddino_seg.SegError, match=message):
        raddino_seg.train(*change(*scene(8)), classes=["left"], epochs=1)


def test_the_example_of_the_readme_runs() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), {})
