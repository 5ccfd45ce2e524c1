"""From data to a trained model: on cached tokens, on images through an encoder, or a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from raddino_seg._augment import Augment
from raddino_seg._decoder import CHANNELS, Decoder
from raddino_seg._end_to_end import Encoder, EndToEnd, encode_once
from raddino_seg._fit import Progress, Training, Validation, check_pair, fit
from raddino_seg._masks import Masks, overlapping
from raddino_seg._model import as_images
from raddino_seg._tokens import Tokens, as_tokens
from raddino_seg._unet import UNet

_CALIBRATION = 256  # images whose tokens tell mean and scale where none are kept


def train(
    tokens: Tokens,
    masks: Masks,
    *,
    classes: Sequence[str],
    decoder: str = "linear",
    channels: int = CHANNELS,
    validation: Validation | None = None,
    training: Training | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Decoder:
    """Fit a decoder on the tokens of a frozen encoder.

    Args:
        tokens: (N, D, h, w), or (N, L, D, h, w) of L layers from the first to the last.
        masks: label maps (N, H, W) with values 0..len(classes), 0 being background, or boolean planes (N, C, H, W).
        classes: value k of a label map, or plane k - 1, is `classes[k - 1]`.
        decoder: "linear", "pyramid" (ViTDet), "upernet" or "dpt".
        channels: width of the decoders with convolutions, a multiple of 8.
        validation: tokens and masks that choose the epoch.
        training: epochs, rates, loss and the like.
        checkpoint: file by which a stopped fit goes on, to the same weights.
        device: where it learns.
        progress: called with (epochs done, epochs in all).

    Raises:
        SegError: anything that can't be trained on, a checkpoint of something else.
    """
    training, tensor = training or Training(), as_tokens(tokens)
    model = _decoder(tensor, masks, classes, decoder, channels, training.seed).to(device)
    fit(model, tensor, masks, training, validation=validation, checkpoint=checkpoint, progress=progress)
    return model.cpu()


def train_on_images(
    encoder: Encoder,
    images: Any,
    masks: Masks,
    *,
    classes: Sequence[str],
    decoder: str = "linear",
    channels: int = CHANNELS,
    unfreeze: bool = False,
    augment: Augment | None = None,
    validation: Validation | None = None,
    training: Training | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> EndToEnd:
    """Fit a decoder on what an encoder makes of images (N, channels, S, S), float32, as the encoder reads them.

    An encoder that stays frozen, without `augment`, encodes each image once. With `augment` it encodes every image in
    every epoch; with `unfreeze` it does so and learns as well, at a tenth of the decoder's rate. An encoder on another
    device than the decoder's is the caller's to move. The other arguments and errors are those of `train`.
    """
    training, images = training or Training(), as_images(images)
    check_pair(len(images), masks, tuple(classes))
    cached = not unfreeze and augment is None
    seen = encode_once(encoder, images if cached else images[:_CALIBRATION])
    made = _decoder(seen, masks, classes, decoder, channels, training.seed).to(device)
    model = EndToEnd(encoder, made, unfreeze=unfreeze)
    if cached:
        held = (encode_once(encoder, validation[0]), validation[1]) if validation else None
        fit(made, seen, masks, training, validation=held, checkpoint=checkpoint, progress=progress)
    else:
        fit(
            model, images, masks, training,
            validation=validation, augment=augment, checkpoint=checkpoint, progress=progress,
        )  # fmt: skip
    return model.eval()


def train_unet(
    images: Any,
    masks: Masks,
    *,
    classes: Sequence[str],
    backbone: str = "resnet18",
    augment: Augment | None = None,
    validation: Validation | None = None,
    training: Training | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> UNet:
    """Fit a U-Net on images (N, channels, H, W), float32, end to end from fresh weights: the upper reference.

    Arguments and errors are those of `train_on_images`; `backbone` is the name of a timm encoder.
    """
    training, images = training or Training(), as_images(images)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        model = UNet(classes, channels=images.shape[1], backbone=backbone, overlapping=overlapping(masks)).to(device)
    fit(
        model, images, masks, training,
        validation=validation, augment=augment, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    return model.cpu()


def _decoder(
    tokens: torch.Tensor, masks: Masks, classes: Sequence[str], name: str, channels: int, seed: int
) -> Decoder:
    _, layers, embed_dim, height, width = tokens.shape
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Decoder(
            name,
            classes,
            embed_dim=embed_dim,
            grid=(height, width),
            layers=layers,
            channels=channels,
            overlapping=overlapping(masks),
        )
    model.standardise(tokens)
    return model
