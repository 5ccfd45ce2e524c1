"""An encoder and a decoder as one model of images; the encoder stays frozen, or learns as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from raddino_seg._decoder import Decoder
from raddino_seg._errors import SegError
from raddino_seg._model import Model, as_images
from raddino_seg._tokens import as_tokens

ENCODER_SHARE = 0.1
"""Learning rate of an encoder that learns, as a share of its decoder's."""


class HasPatches(Protocol):
    """What `encode` gives."""

    @property
    def patches(self) -> Tensor:
        """Patch tokens (B, D, h, w), or (B, L, D, h, w) of L layers."""


class Encoder(Protocol):
    """Any encoder: images (B, channels, S, S) to tokens. One that shall learn is a torch.nn.Module as well."""

    def encode(self, x: Tensor, /) -> HasPatches:
        """Tokens of a batch."""


class EndToEnd(Model):
    """Logits of images (B, channels, S, S)."""

    kind = "end-to-end"

    def __init__(self, encoder: Encoder, decoder: Decoder, *, unfreeze: bool) -> None:
        super().__init__(decoder.classes, decoder.overlapping)
        if unfreeze and not isinstance(encoder, nn.Module):
            raise SegError(
                f"expected an encoder that is a torch.nn.Module to train it, got {type(encoder).__name__}; leave it "
                "frozen"
            )
        self.unfreeze = unfreeze
        self.decoder = decoder
        self.learning_rate = decoder.learning_rate
        if unfreeze:
            self.encoder = encoder
        else:  # not registered: a frozen encoder is neither trained, put into train mode nor saved
            self.__dict__["encoder"] = encoder

    def forward(self, images: Tensor) -> Tensor:
        """Encode and decode."""
        if not self.unfreeze:
            return self.decoder(encode_frozen(self.encoder, images))  # type: ignore[no-any-return]
        tokens = self.encoder.encode(images).patches
        if torch.is_grad_enabled() and not tokens.requires_grad:
            raise SegError(
                "expected an encoder whose encode() lets gradients flow, got tokens without; leave it frozen"
            )
        return self.decoder(tokens)  # type: ignore[no-any-return]

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The decoder, and the encoder at a tenth of its rate."""
        found = self.decoder.groups(learning_rate)
        if self.unfreeze:
            params = [p for p in self.encoder.parameters() if p.requires_grad]  # type: ignore[attr-defined]
            found.append({"params": params, "rate": learning_rate * ENCODER_SHARE})
        return found

    def save(self, path: str | Path) -> None:
        """Write both, or the decoder alone where the encoder is as it was."""
        if self.unfreeze:
            super().save(path)
        else:
            self.decoder.save(path)

    def check(self, inputs: Any) -> Tensor:
        """Images."""
        return as_images(inputs)

    def describe(self) -> dict[str, Any]:
        """How its decoder was made."""
        return self.decoder.describe()


@torch.no_grad()
def encode_frozen(encoder: Encoder, images: Tensor) -> Tensor:
    """Tokens without a gradient; cloned, for those made in inference mode can't be learnt from."""
    tokens = encoder.encode(images).patches
    return tokens.clone() if tokens.is_inference() else tokens


def encode_once(encoder: Encoder, images: Any, batch_size: int = 32) -> Tensor:
    """Patch tokens (N, L, D, h, w) of all images, each encoded once: what a decoder on a frozen encoder reads.

    A module is in evaluation mode meanwhile.

    Raises:
        SegError: images of another form, tokens that are no grid.
    """
    module = encoder if isinstance(encoder, nn.Module) else nn.Module()
    was = module.training
    module.eval()
    parts = [encode_frozen(encoder, part).cpu() for part in torch.split(as_images(images), batch_size)]
    module.train(was)
    return as_tokens(torch.cat(parts))
