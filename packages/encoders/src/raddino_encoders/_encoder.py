"""The one interface: images in, class and patch tokens out, whatever the backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raddino_encoders._errors import EncoderError
from raddino_encoders._geometry import Fit
from raddino_encoders._preprocess import Preprocessing
from raddino_encoders._tokens import Tokens

Backbone = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Normalised images (B, C, S, S) to a class token (B, D) and patch tokens (B, D, h, w)."""


class Encoder:
    """A frozen encoder. Made by `load`; gradients never flow."""

    def __init__(
        self,
        name: str,
        backbone: Backbone,
        preprocessing: Preprocessing,
        *,
        embed_dim: int,
        patch_size: int,
        device: str | torch.device = "cpu",
    ) -> None:
        self.name = name
        """The spec it was loaded from, with "(random weights)" where nothing was trained."""
        self.embed_dim = embed_dim
        """Length D of a token (pixel encoders: of the class token)."""
        self.patch_size = patch_size
        """Side of a patch in pixels of the input (CNNs whose grid doesn't divide it: rounded down)."""
        self.image_size = preprocessing.size
        """Side S of the input in pixels."""
        self.preprocessing = preprocessing
        self.device = torch.device(device)
        self._backbone = backbone

    def preprocess(self, images: Sequence[NDArray[Any]], *, fit: Fit = "letterbox") -> Tensor:
        """Grey images to the encoder's input.

        Args:
            images: (H, W) each, of any shape: uint8, uint16 or floats in [0, 1], bright = dense (MONOCHROME2).
            fit: "letterbox" keeps the whole image and fills the border with black; "crop" cuts the centre square.

        Returns:
            Normalised float32 (B, C, S, S) on the CPU, C being 1 or 3 (grey repeated) as the encoder asks.

        Raises:
            EncoderError: no images, another shape, type or range, another `fit`.
        """
        return self.preprocessing.images(images, fit)

    def preprocess_masks(self, masks: Sequence[NDArray[Any]], *, fit: Fit = "letterbox") -> NDArray[Any]:
        """Masks (H, W) put where `preprocess` puts their images: (B, S, S), same type, nearest pixel, border 0.

        Raises:
            EncoderError: no masks, another shape or type, another `fit`.
        """
        return self.preprocessing.masks(masks, fit)

    @torch.inference_mode()
    def encode(self, x: Tensor) -> Tokens[Tensor]:
        """Tokens of a preprocessed batch.

        Args:
            x: float32 (B, C, S, S) as `preprocess` gives it, on any device.

        Returns:
            Float32 tokens on the encoder's device.

        Raises:
            EncoderError: another shape.
        """
        expected = (len(self.preprocessing.mean), self.image_size, self.image_size)
        if tuple(x.shape[1:]) != expected:
            raise EncoderError(
                f"{self.name}: expected (B, {', '.join(map(str, expected))}), got {tuple(x.shape)}; use preprocess()"
            )
        cls, patches = self._backbone(x.to(self.device))
        return Tokens(cls.float(), patches.float())

    def embed(
        self,
        images: Sequence[NDArray[Any]],
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
        *,
        fit: Fit = "letterbox",
        patches: bool = True,
    ) -> Tokens[NDArray[np.float32]]:
        """Tokens of many images, batch by batch; `images` may load lazily, each is asked for once.

        Args:
            images: (H, W) each, as for `preprocess`.
            batch_size: images at a time, 1 or more.
            progress: called with (images done, images in all) after each batch.
            fit: as for `preprocess`.
            patches: False leaves the patch tokens out, which are h*w times the class tokens: they come as (N, 0, 0, 0).

        Returns:
            Float32 numpy: cls (N, D), patches (N, D, h, w).

        Raises:
            EncoderError: as `preprocess`; a batch size below 1.
        """
        if batch_size < 1:
            raise EncoderError(f"batch_size: expected 1 or more, got {batch_size}")
        if not len(images):
            raise EncoderError("images: expected at least one, got none")
        cls_batches, patch_batches = [], []
        for start in range(0, len(images), batch_size):
            stop = min(start + batch_size, len(images))
            tokens = self.encode(self.preprocess([images[i] for i in range(start, stop)], fit=fit))
            cls_batches.append(tokens.cls.cpu().numpy())
            grid = tokens.patches if patches else tokens.patches[:, :0, :0, :0]
            patch_batches.append(grid.cpu().numpy())
            if progress is not None:
                progress(stop, len(images))
        return Tokens(np.concatenate(cls_batches), np.concatenate(patch_batches))


def to_grid(patches: Tensor, height: int, width: int) -> Tensor:
    """Patch tokens row by row (B, h*w, D) to (B, D, h, w)."""
    return patches.transpose(1, 2).reshape(patches.shape[0], patches.shape[2], height, width)
