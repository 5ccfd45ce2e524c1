"""From file to views: decoding and DINOv2's published augmentation, against Pillow and torchvision on RGB."""

from __future__ import annotations

import io

from tools.bench._interleave import interleave

_IMAGES = 4
_SIDE = 518


def crops() -> str:
    """16-bit PNG of 518 pixels to 2 views of 518 and 8 of 196, float32 and normalised, one thread each.

    The peer is the usual script: Pillow to 8-bit RGB, then torchvision's v2 transforms one view at a time.
    """
    import cv2
    import numpy as np
    import ssl_core
    import torch
    from cxr_io import CODECS
    from cxr_phantom import render, sample_patient
    from PIL import Image

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    write, read = CODECS["png"]
    files = [write(render(sample_patient(0, i), _SIDE).pixels) for i in range(_IMAGES)]
    config, turned = (
        ssl_core.load_config("cpu-tiny", [f"crops.preset={name}", *_SIZES]).crops for name in ("dinov2", "radiograph")
    )

    def ours(config: ssl_core.CropConfig = config) -> tuple[torch.Tensor, torch.Tensor]:
        images = [ssl_core.to_unit(torch.from_numpy(read(file))[None]) for file in files]
        return ssl_core.make_crops(images, config, torch.Generator().manual_seed(0))

    transforms = _published(config.mean, config.std)

    def peer() -> list[torch.Tensor]:
        views = []
        for file in files:
            grey = np.asarray(Image.open(io.BytesIO(file)))
            image = Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
            views += [transform(image) for transform in transforms]
        return views

    mine, theirs = ours(), peer()
    shapes = [tuple(view.shape[-2:]) for view in (*mine[0][::_IMAGES], *mine[1][::_IMAGES])]
    if shapes != [tuple(view.shape[-2:]) for view in theirs[: len(transforms)]]:
        raise RuntimeError("expected as many views of the same sizes of both")
    fast, slow = (seconds / _IMAGES for seconds in interleave(ours, peer, repeats=5))
    other, decode = (seconds / _IMAGES for seconds in interleave(lambda: ours(turned), lambda: list(map(read, files))))
    count = len(transforms)
    return (
        f"{slow / fast:.1f} x Pillow + torchvision v2 ({count / fast:.0f} against {count / slow:.0f} crops/s/core; "
        f"{fast * 1e3:.0f} against {slow * 1e3:.0f} ms an image, of which decoding is {decode * 1e3:.1f} ms); "
        f"the preset radiograph, which turns, {other * 1e3:.0f} ms"
    )


_SIZES = (
    "model.patch_size=14",
    "crops.global_size=518",
    "crops.local_size=196",
    "crops.local_count=8",
    "crops.encode_size=0",
)


def _published(mean: float, std: float) -> list:
    """DINOv2's transform of each of the ten views."""
    import torch
    from torchvision.transforms import v2

    def view(size: int, scale: tuple[float, float], extra: list) -> v2.Compose:
        jitter = v2.ColorJitter(0.4, 0.4, 0.2, 0.1)
        return v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=scale, interpolation=v2.InterpolationMode.BICUBIC),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomApply([jitter], p=0.8),
                v2.RandomGrayscale(0.2),
                *extra,
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([mean] * 3, [std] * 3),
            ]
        )

    def blur(probability: float) -> v2.RandomApply:
        return v2.RandomApply([v2.GaussianBlur(9, (0.1, 2.0))], p=probability)

    first = view(518, (0.32, 1.0), [blur(1.0)])
    second = view(518, (0.32, 1.0), [blur(0.1), v2.RandomSolarize(128, p=0.2)])
    return [first, second] + [view(196, (0.05, 0.32), [blur(0.5)])] * 8
