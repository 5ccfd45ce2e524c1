"""Segmenters on a folder of features: trained, scored, and what they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import raddino_encoders
import raddino_seg
import torch
from numpy.typing import NDArray
from raddino_seg import Augment, Model, Training
from torch import Tensor, nn

from raddino_cli.console import Progress, say
from raddino_cli.work.features import Features, NothingToMeasureError, load_features
from raddino_cli.work.masks import MASK_SIZE, Masked, read_masks

UNET = "unet"
DISTANCES = ("hd95", "assd")


@dataclass(frozen=True)
class Plan:
    """What is trained on what.

    The features' own tokens are read where they will do. Several `layers`, evenly spaced, are encoded once; `augment`
    and `unfreeze` encode the images in every epoch.
    """

    decoder: str = "linear"
    masks: tuple[str, ...] = ("lungs",)
    size: int = MASK_SIZE
    layers: int = 1
    unfreeze: bool = False
    augment: bool = False
    training: Training = field(default_factory=lambda: Training(epochs=6))


def tokens_of(features: Features, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Patch tokens (N, D, h, w) of some rows."""
    if features.patches is None:
        raise ValueError("expected features with patch tokens; make them with `raddino embed --patches`")
    return np.asarray(features.patches[rows], dtype=np.float32)


def train_model(
    folder: Path, shards: Path, plan: Plan, *, checkpoint: Path | None = None, progress: Progress | None = None
) -> Model:
    """Fit on train, choose the epoch on val; goes on from a checkpoint."""
    features = load_features(folder)
    data, held = read_training(features, shards, plan)
    return fit_model(features, data, held, plan, checkpoint=checkpoint, progress=progress)


def read_training(features: Features, shards: Path, plan: Plan) -> tuple[Masked, Masked | None]:
    """What a plan learns from and what chooses the epoch, if the split val has masks."""
    data = read_masks(shards, features, "train", plan.masks, size=plan.size)
    try:
        return data, read_masks(shards, features, "val", plan.masks, size=plan.size, classes=data.classes)
    except NothingToMeasureError:
        return data, None


def fit_model(
    features: Features,
    data: Masked,
    held: Masked | None,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Model:
    """Fit a plan's model on some images."""
    options: dict[str, Any] = {
        "classes": data.classes, "training": plan.training, "checkpoint": checkpoint, "progress": progress,
    }  # fmt: skip
    if plan.decoder != UNET and plan.layers == 1 and not plan.unfreeze and not plan.augment:
        validation = (tokens_of(features, held.rows), held.masks) if held else None
        tokens = tokens_of(features, data.rows)
        return raddino_seg.train(tokens, data.masks, decoder=plan.decoder, validation=validation, **options)
    images = _images(features, data)
    options |= {
        "validation": (_images(features, held), held.masks) if held else None,
        "augment": Augment() if plan.augment else None,
    }
    if plan.decoder == UNET:
        return raddino_seg.train_unet(images, data.masks, **options)
    encoder = LayeredEncoder(features, plan.layers, gradients=plan.unfreeze)
    return raddino_seg.train_on_images(
        encoder, images, data.masks, decoder=plan.decoder, unfreeze=plan.unfreeze, **options
    )


class LayeredEncoder(nn.Module):
    """Features' encoder that gives the patch tokens of several layers, evenly spaced, and learns if it may."""

    def __init__(self, features: Features, layers: int, *, gradients: bool) -> None:
        super().__init__()
        encoder = encoder_of(features, gradients=gradients)
        if not 1 <= layers <= encoder.most_layers:
            raise ValueError(f"expected 1 to {encoder.most_layers} layers of {encoder.name}, got {layers}")
        self.module = encoder.module
        self._encoder, self._layers = encoder, layers

    def encode(self, x: Tensor) -> raddino_encoders.Tokens[Tensor]:
        """Class token, and patch tokens (B, layers, D, h, w)."""
        most = self._encoder.most_layers if self._layers > 1 else 1
        found = self._encoder.encode_layers(x, most)
        chosen = [found[(k + 1) * most // self._layers - 1] for k in range(self._layers)]
        return raddino_encoders.Tokens(found[-1].cls, torch.stack([tokens.patches for tokens in chosen], 1))


def encoder_of(features: Features, *, gradients: bool = False) -> raddino_encoders.Encoder:
    """The encoder that some features are of, at the size of its input then."""
    spec = features.encoder.removesuffix(" (random weights)")
    return raddino_encoders.load(spec, image_size=features.facts["image_size"], gradients=gradients)


def load_model(head: Path, features: Features) -> Model:
    """A model out of its file, with the features' encoder if it reads what the features don't hold."""
    facts = raddino_seg.describe(head)
    learned, layers = facts["kind"] == "end-to-end", facts.get("layers", 1)
    if not learned and layers == 1:
        return raddino_seg.load(head)
    return raddino_seg.load(head, LayeredEncoder(features, layers, gradients=learned))


def predict_masks(model: Model, features: Features, data: Masked) -> raddino_seg.Masks:
    """Masks of the data's size: from tokens that are kept, or from the images where the model reads those."""
    if isinstance(model, raddino_seg.Decoder):
        inputs: Any = tokens_of(features, data.rows)
    else:
        inputs = _images(features, data)
    return model.predict(inputs, (data.masks.shape[-2], data.masks.shape[-1]), batch_size=32)


def evaluate_model(
    model: Model,
    folder: Path,
    shards: Path,
    masks: Sequence[str],
    *,
    size: int = MASK_SIZE,
    train: raddino_seg.Masks | None = None,
    metrics: Sequence[str] | None = (),
    replicates: int = 1000,
    show: Callable[[NDArray[np.uint8], raddino_seg.Masks, raddino_seg.Masks], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Scores on test by structure and for their mean: Dice, beside it under their names `mean_mask` and other metrics.

    `mean_mask` is the Dice of the commonest value at each pixel of `train`, the training masks, which are read if they
    aren't given. `metrics` None is all there can be:
    without distances where the spacing of an image is not known, which is said. `show` gets the images as the encoder
    saw them (N, S, S), the predicted masks and the true ones.
    """
    features = load_features(folder)
    data = read_masks(shards, features, "test", masks, size=size, classes=model.classes)
    if train is None:
        train = read_masks(shards, features, "train", masks, size=size, classes=model.classes).masks
    prediction = predict_masks(model, features, data)
    options: dict[str, Any] = {
        "classes": model.classes, "patients": features.column("patient")[data.rows], "spacing": data.spacing,
        "replicates": replicates,
    }  # fmt: skip
    if show:
        show(_grey(_images(features, data)), prediction, data.masks)
    wanted = _measurable(data) if metrics is None else metrics
    others = [name for name in dict.fromkeys(wanted) if name != "dice"]
    scores = raddino_seg.evaluate(prediction, data.masks, metrics=("dice", *others), **options)
    blind = np.repeat(raddino_seg.mean_mask(train)[None], len(data.masks), axis=0)
    base = raddino_seg.evaluate(blind, data.masks, **options)["dice"]
    return {
        name: {
            "metric": "dice",
            **vars(score),
            "mean_mask": vars(base[name]),
            **{metric: vars(scores[metric][name]) for metric in others},
        }
        for name, score in scores["dice"].items()
    }


def _images(features: Features, data: Masked) -> Tensor:
    """The images as the encoder read them."""
    return encoder_of(features).preprocess([sample.image for sample in data.samples], fit=features.facts["fit"])


def _grey(images: Tensor) -> NDArray[np.uint8]:
    """The first channel from its darkest to its brightest."""
    first = images[:, 0]
    low, high = first.amin((1, 2), keepdim=True), first.amax((1, 2), keepdim=True)
    return (255 * (first - low) / (high - low).clamp(min=1e-6)).to(torch.uint8).numpy()


def _measurable(data: Masked) -> list[str]:
    missing = data.spacing.count(None)
    if missing:
        say(f"{', '.join(DISTANCES)} are left out: {missing} of {len(data.spacing)} images have no spacing")
    return [name for name in raddino_seg.METRICS if not (missing and name in DISTANCES)]
