"""Facts about the decoders: each learns, at any grid, from one layer or several, and is the same after a file."""

from pathlib import Path

import numpy as np
import pytest
import raddino_seg
import torch
from raddino_seg import Decoder, SegError, Training

SIDE = 36


def discs(n: int, seed: int = 0, layers: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images with a disc (1) and a ring around it (2): tokens (n, layers, 8, 9, 9) hold each patch's pixels, noisy."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    truth = np.zeros((n, SIDE, SIDE), np.uint8)
    for mask in truth:
        distance = np.hypot(y - rng.uniform(10, 26), x - rng.uniform(10, 26))
        mask[distance < 11] = 2
        mask[distance < 6] = 1
    cells = truth.reshape(n, 9, 4, 9, 4).transpose(0, 2, 4, 1, 3).reshape(n, 16, 9, 9)
    mix = rng.normal(size=(layers, 12, 32)).astype(np.float32)
    both = np.concatenate([cells == 1, cells == 2], axis=1).astype(np.float32)
    tokens = np.einsum("ldc,nchw->nldhw", mix, both)
    return tokens + 0.3 * rng.normal(size=tokens.shape).astype(np.float32), truth


@pytest.mark.parametrize("name", raddino_seg.DECODERS)
def test_each_decoder_learns_and_those_with_convolutions_see_below_a_token(name: str) -> None:
    tokens, truth = discs(60)
    model = raddino_seg.train(
        tokens[:48], truth[:48], classes=["disc", "ring"], decoder=name, channels=16,
        training=Training(epochs=20, batch_size=8, learning_rate=0.01),
    )  # fmt: skip
    found = model.predict(tokens[48:], (SIDE, SIDE))
    score = raddino_seg.evaluate(found, truth[48:], classes=["disc", "ring"], patients=list("abcdefghijkl"))["dice"]
    assert score["mean"].value > (0.75 if name == "linear" else 0.9)


@pytest.mark.parametrize("name", raddino_seg.DECODERS)
@pytest.mark.parametrize("layers", [1, 2, 4, 6])
@pytest.mark.parametrize("grid", [(2, 3), (7, 5), (8, 8)])
def test_every_layer_and_any_grid_give_logits_that_depend_on_each_layer(
    name: str, layers: int, grid: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    model = Decoder(name, ("a", "b"), embed_dim=6, grid=grid, layers=layers, channels=16)
    tokens = torch.randn(2, layers, 6, *grid, requires_grad=True)
    logits = model(tokens)
    scale = 1 if name == "linear" else 4
    assert logits.shape == (2, 3, scale * grid[0], scale * grid[1])
    (gradient,) = torch.autograd.grad((logits * torch.randn_like(logits)).sum(), tokens)
    used = gradient.abs().sum((0, 2, 3, 4)) > 0
    read = range(layers) if name == "linear" else {round(k * (layers - 1) / 3) for k in range(4)}
    assert [bool(value) for value in used] == [k in read for k in range(layers)]


def test_several_layers_may_tell_what_the_last_does_not() -> None:
    tokens, truth = discs(40, layers=4)
    tokens[:, -1] = np.random.default_rng(1).normal(size=tokens[:, -1].shape)
    training = Training(epochs=10, batch_size=8)
    scores = {}
    for name, part in (("all", tokens), ("last", tokens[:, -1])):
        model = raddino_seg.train(part[:30], truth[:30], classes=["disc", "ring"], training=training)
        found = model.predict(part[30:], (SIDE, SIDE))
        scores[name] = np.nanmean(raddino_seg.measure("dice", found, truth[30:], ["disc", "ring"]))
    assert scores["all"] > scores["last"] + 0.3


def test_the_standardisation_makes_the_scale_of_tokens_no_matter() -> None:
    tokens, truth = discs(16)
    first, second = (
        raddino_seg.train(part, truth, classes=["disc", "ring"], decoder="upernet", channels=8, training=Training(2))
        for part in (tokens, 100 * tokens + 7)
    )
    a, b = first.probabilities(tokens, (18, 18)), second.probabilities(100 * tokens + 7, (18, 18))
    assert torch.allclose(a, b, atol=1e-2)


@pytest.mark.parametrize("name", raddino_seg.DECODERS)
@pytest.mark.parametrize("overlapping", [False, True])
def test_a_saved_decoder_predicts_the_same(name: str, overlapping: bool, tmp_path: Path) -> None:
    tokens, truth = discs(6)
    masks = np.stack([truth > 0, truth == 1], 1) if overlapping else truth
    model = raddino_seg.train(tokens, masks, classes=["a", "b"], decoder=name, channels=8, training=Training(2))
    model.save(tmp_path / "model.safetensors")
    again = raddino_seg.load(tmp_path / "model.safetensors")
    assert raddino_seg.describe(tmp_path / "model.safetensors")["head"] == name
    assert (again.classes, again.overlapping) == (("a", "b"), overlapping)
    assert np.array_equal(again.predict(tokens, (20, 30)), model.predict(tokens, (20, 30)))
    assert again.predict(tokens, (20, 30)).shape == ((6, 2, 20, 30) if overlapping else (6, 20, 30))


def test_structures_that_overlap_are_found_where_both_are() -> None:
    tokens, truth = discs(40)
    masks = np.stack([truth > 0, truth == 1], 1)
    model = raddino_seg.train(
        tokens[:30], masks[:30], classes=["whole", "disc"], decoder="pyramid", channels=16, training=Training(15, 8)
    )
    found = model.predict(tokens[30:], (SIDE, SIDE))
    assert found.dtype == np.bool_
    assert np.nanmean(raddino_seg.measure("dice", found, masks[30:], ["whole", "disc"])) > 0.85
    assert (found[:, 0] & found[:, 1]).any()


def test_other_tokens_and_other_files_are_refused(tmp_path: Path) -> None:
    tokens, truth = discs(4)
    model = raddino_seg.train(tokens, truth, classes=["disc", "ring"], training=Training(1))
    for other in (tokens[..., :8], tokens[:, :, :5], np.concatenate([tokens, tokens], 1)):
        with pytest.raises(SegError, match="expected tokens of 1 layers of 12 channels on a grid of 9 x 9, got"):
            model.predict(other, (36, 36))
    (tmp_path / "broken").write_bytes(b"no")
    with pytest.raises(SegError, match="written by raddino-seg"):
        raddino_seg.load(tmp_path / "broken")
    with pytest.raises(SegError, match="written by raddino-seg"):
        raddino_seg.load(tmp_path / "absent")
    raddino_seg.train(tokens, truth, classes=["disc", "ring"], training=Training(1), checkpoint=tmp_path / "fit")
    with pytest.raises(SegError, match="expected a model of format 2"):
        raddino_seg.load(tmp_path / "fit")


def test_predictions_leave_a_model_as_it_was() -> None:
    tokens, truth = discs(4)
    model = raddino_seg.train(tokens, truth, classes=["disc", "ring"], training=Training(1))
    model.train()
    model.predict(tokens, (9, 9))
    assert model.training
