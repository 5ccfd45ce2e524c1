"""A decoder on the tokens of a frozen encoder against training end to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

_IMAGES, _EPOCHS, _TIMED = 300, 10, 2


def decoders() -> str:
    """UPerNet for 10 epochs on 300 images of 518 x 518, a ViT-S/14 giving 37 x 37 tokens: frozen against unfrozen.

    2 images are encoded, and learnt from for an epoch, both at a time; each part's median of three is taken as often as
    300 images and 10 epochs need it. The U-Net (ResNet-18) on the same images is beside it.
    """
    import numpy as np  # here and not above: only after __main__ has set the number of threads
    import raddino_seg
    import torch
    from ssl_core import VisionTransformer, ViTConfig
    from torch import Tensor, nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = VisionTransformer(ViTConfig(embed_dim=384, num_heads=6))

        def encode(self, x: Tensor) -> Any:
            patches = self.model(x).patches
            return SimpleNamespace(patches=patches.transpose(1, 2).reshape(len(x), -1, 37, 37))

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(_TIMED, 1, 518, 518)).astype(np.float32)
    masks = np.zeros((_TIMED, 518, 518), np.uint8)
    masks[:, 100:400, 60:220], masks[:, 100:400, 300:460] = 1, 2
    encoder, training = Encoder().eval(), raddino_seg.Training(epochs=1, batch_size=2)
    options: dict[str, Any] = {"classes": ["right lung", "left lung"], "training": training}
    tokens = raddino_seg.encode_once(encoder, images, batch_size=2)

    def seconds(work: Callable[[], object]) -> float:
        """Of the processor, for one image."""
        spent = []
        for _ in range(3):
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
        return float(np.median(spent)) / _TIMED

    once = seconds(lambda: raddino_seg.encode_once(encoder, images, batch_size=2))
    decode = seconds(lambda: raddino_seg.train(tokens, masks, decoder="upernet", **options))
    whole = seconds(
        lambda: raddino_seg.train_on_images(encoder, images, masks, decoder="upernet", unfreeze=True, **options)
    )
    whole -= once  # the one pass that standardises tokens before the first epoch
    unet = seconds(lambda: raddino_seg.train_unet(images, masks, **options))
    frozen, end_to_end, reference = (
        _IMAGES * part / 60 for part in (once + _EPOCHS * decode, once + _EPOCHS * whole, _EPOCHS * unet)
    )
    return (
        f"{end_to_end / frozen:.1f} x end to end ({frozen:.0f} min against {end_to_end:.0f} min; U-Net "
        f"{reference:.0f} min; an image: encoded in {once:.2f} s, learnt from in {decode:.2f} s against {whole:.2f} s)"
    )
