"""The one interface: images in, class and patch tokens out, whatever the backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raddino_encoders._backbone import Loaded
from raddino_encoders._errors import EncoderError
from raddino_encoders._geometry import Fit
from raddino_encoders._read import Picture
from raddino_encoders._tokens import Tokens


class Encoder:
    """An encoder, frozen unless it was loaded with gradients. Made by `load`."""

    def __init__(
        self, name: str, loaded: Loaded, device: torch.device, dtype: torch.dtype, *, gradients: bool = False
    ) -> None:
        self.name = name
        """The spec it was loaded from, with "(random weights)" where nothing was trained."""
        self.revision = loaded.revision
        """The hub's commit, or `sha256:` and the digest of the weights; None where nothing was trained."""
        self.embed_dim = loaded.embed_dim
        """Length D of a token (pixel encoders: of the class token)."""
        self.patch_size = loaded.patch_size
        """Side of a patch in pixels of the input (CNNs whose grid doesn't divide it: rounded down)."""
        self.preprocessing = loaded.preprocessing
        self.image_size = loaded.preprocessing.size
        """Side S of the input in pixels, as `preprocess` makes it."""
        self.pooled = loaded.backbone.pooled
        """Whether the class token is the mean of the patch tokens, for want of one of its own."""
        self.most_layers = loaded.backbone.most_layers
        """How many of the last layers `encode_layers` can give."""
        self.module = loaded.backbone
        """The network, for its parameters."""
        self.device = device
        self.dtype = dtype
        """Of the network's weights and arithmetic; tokens come as float32."""
        self._gradients = gradients

    def preprocess(self, images: Sequence[Picture] | Picture, *, fit: Fit | None = "letterbox") -> Tensor:
        """Images to the encoder's input.

        Args:
            images: one, or several: arrays or tensors (H, W) of any shape, uint8, uint16 or floats in [0, 1], bright =
                dense (MONOCHROME2); Pillow pictures; paths of PNG, JPEG, TIFF or DICOM files. Colours become grey.
            fit: "letterbox" keeps the whole image and fills the border with black; "crop" cuts the centre square;
                "stretch" gives up the aspect ratio; None is what the encoder was released with.

        Returns:
            Normalised float32 (B, C, S, S) on the CPU, C being 1 or 3 (grey repeated) as the encoder asks.

        Raises:
            EncoderError: no images, another shape, type or range, a file that can't be read, another `fit`.
        """
        return self.preprocessing.images(_listed(images), fit)

    def preprocess_masks(self, masks: Sequence[NDArray[Any]], *, fit: Fit | None = "letterbox") -> NDArray[Any]:
        """Masks (H, W) put where `preprocess` puts their images: (B, S, S), same type, nearest pixel, border 0.

        Raises:
            EncoderError: no masks, another shape or type, another `fit`.
        """
        return self.preprocessing.masks(masks, fit)

    def encode(self, x: Tensor) -> Tokens[Tensor]:
        """Tokens of a preprocessed batch.

        Args:
            x: (B, C, H, W) normalised as `preprocess` does, on any device; H and W the input's side S, or other
                multiples of the patch size (h = H / patch size, positions interpolated; CNNs: any sides).

        Returns:
            Float32 tokens on the encoder's device.

        Raises:
            EncoderError: another shape, or values that are not numbers.
        """
        return self.encode_layers(x, 1)[0]

    def encode_layers(self, x: Tensor, layers: int) -> list[Tokens[Tensor]]:
        """Tokens of the last `layers` layers, each after the final norm, the last layer at the end; as `encode`.

        Raises:
            EncoderError: as `encode`; more layers than `most_layers`.
        """
        if not 1 <= layers <= self.most_layers:
            raise EncoderError(f"{self.name}: expected 1 to {self.most_layers} layers, got {layers}")
        self._check(x)
        with nullcontext() if self._gradients else torch.inference_mode():
            pairs = self.module(x.to(self.device, self.dtype), layers)
            return [Tokens(cls.float(), patches.float()) for cls, patches in pairs]

    def embed(
        self,
        images: Sequence[Picture],
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
        *,
        fit: Fit | None = "letterbox",
        patches: bool = True,
    ) -> Tokens[NDArray[np.float32]]:
        """Tokens of many images, batch by batch; `images` may load lazily, each is asked for once.

        Args:
            images: as for `preprocess`.
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
            cls_batches.append(tokens.cls.detach().cpu().numpy())
            grid = tokens.patches if patches else tokens.patches[:, :0, :0, :0]
            patch_batches.append(grid.detach().cpu().numpy())
            if progress is not None:
                progress(stop, len(images))
        return Tokens(np.concatenate(cls_batches), np.concatenate(patch_batches))

    def _check(self, x: Tensor) -> None:
        channels, side, patch = len(self.preprocessing.mean), self.image_size, self.patch_size
        fits = x.ndim == 4 and x.shape[1] == channels and len(x) and min(x.shape[2:]) >= patch
        if not fits or (any(n % patch for n in x.shape[2:]) and not self.pooled):
            raise EncoderError(
                f"{self.name}: expected (B, {channels}, {side}, {side}), or other sides that are multiples of {patch}, "
                f"got {tuple(x.shape)}; use preprocess()"
            )
        if not torch.isfinite(x.sum()):
            bad = [i for i, image in enumerate(x) if not torch.isfinite(image).all()]
            if bad:
                raise EncoderError(
                    f"{self.name}: expected numbers, got NaN or infinity in images {bad}; leave them out"
                )


def _listed(images: Sequence[Picture] | Picture) -> Sequence[Picture]:
    """A lone image, which has two dimensions where several have three, as a list of one."""
    alone = isinstance(images, str) or not hasattr(images, "__len__") or getattr(images, "ndim", 3) == 2
    return [images] if alone else images  # type: ignore[list-item, return-value]
