"""A U-Net trained end to end, by segmentation-models-pytorch: the upper reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor
from torch.nn.functional import pad

from raddino_seg._errors import SegError
from raddino_seg._model import Model, as_images

_STRIDE = 32


class UNet(Model):
    """Logits of images (B, channels, H, W) at their own size; `backbone` is a timm encoder with fresh weights."""

    kind = "unet"

    def __init__(
        self, classes: Sequence[str], *, channels: int = 1, backbone: str = "resnet18", overlapping: bool = False
    ) -> None:
        super().__init__(classes, overlapping)
        try:
            from segmentation_models_pytorch import Unet
        except ImportError as error:
            raise SegError("a U-Net needs segmentation-models-pytorch: pip install 'raddino-seg[unet]'") from error
        self.channels, self.backbone, self.learning_rate = channels, backbone, 0.001
        try:
            self.net = Unet(f"tu-{backbone}", encoder_weights=None, in_channels=channels, classes=self.outputs)
        except (KeyError, RuntimeError, ValueError) as error:
            raise SegError(f"expected a timm encoder for a U-Net, got {backbone!r}: {error}") from error

    def forward(self, images: Tensor) -> Tensor:
        """Pad to a multiple of 32, segment, cut."""
        height, width = images.shape[2:]
        wide = pad(images, (0, -width % _STRIDE, 0, -height % _STRIDE), mode="replicate")
        return cast(Tensor, self.net(wide))[:, :, :height, :width]

    def check(self, inputs: Any) -> Tensor:
        """Images of its number of channels."""
        images = as_images(inputs)
        if images.shape[1] != self.channels:
            raise SegError(f"expected images of {self.channels} channels, got {images.shape[1]}")
        return images

    def describe(self) -> dict[str, Any]:
        """How it was made."""
        return {"channels": self.channels, "backbone": self.backbone}
