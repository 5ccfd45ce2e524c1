"""What a step sees: images in an order of their own, their views and masks, each a function of seed and step.

No generator's state is saved: crops and masks of a step are drawn from generators seeded by the run's seed and the
step's number. Views and masks are drawn for the whole batch, so a part of it, a process's share or a micro-batch, has
the ones that it has in the whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from ssl_core._config import Config
from ssl_core._crops import make_crops
from ssl_core._images import check_image, to_unit
from ssl_core._masking import crop_masks
from ssl_core._sizes import axes_of, patch_grid

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@runtime_checkable
class Images(Protocol):
    """A data set: image i as a tensor (C, H, W), a volume (C, D, H, W); integers of any depth or floats in [0, 1].

    One with a method `set_epoch`, as streams have, shuffles itself and is read from its first image to its last.
    """

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, index: int) -> Tensor:
        """One image."""


@dataclass
class Batch:
    """Views of images, crop-major: global crop i of image b is row i*B + b, and likewise local crops and masks."""

    global_crops: Float[Tensor, "g c *_"]
    local_crops: Float[Tensor, "l c *_"]
    masks: Bool[Tensor, "g n"]
    masked: Tensor = field(init=False)
    """Places of the masked patches in the flattened masks, found where these lie: a device need not be waited for."""

    def __post_init__(self) -> None:
        self.masked = self.masks.flatten().nonzero().squeeze(1)

    def to(self, device: torch.device) -> Batch:
        """The same on a device, without waiting for it."""
        moved = object.__new__(Batch)
        for name in (f.name for f in fields(Batch)):
            setattr(moved, name, pinned(getattr(self, name), device).to(device, non_blocking=True))
        return moved


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor that a GPU fetches by itself, where one is to: other memory is sent when the GPU has caught up."""
    return tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor


def seed_of(seed: int, purpose: int, number: int) -> int:
    """One seed for each use of chance in a run: purpose 0 drop path, 1 order, 2 views, 3 whitening."""
    return ((seed * 8 + purpose) << 40) + number


def generator(seed: int, purpose: int, number: int) -> torch.Generator:
    """A generator on the CPU for one use of chance."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, number))


def batch_indices(config: Config, images: Images, step: int) -> list[tuple[int, int]]:
    """Epoch and index of each image of a step. Every image is drawn once before any is drawn again."""
    size, total = config.train.batch_size, len(images)
    shuffles = hasattr(images, "set_epoch")
    found: list[tuple[int, int]] = []
    orders: dict[int, list[int]] = {}
    for position in range(step * size, (step + 1) * size):
        epoch, place = divmod(position, total)
        if epoch not in orders and not shuffles:
            orders[epoch] = torch.randperm(total, generator=generator(config.train.seed, 1, epoch)).tolist()
        found.append((epoch, place if shuffles else orders[epoch][place]))
    return found


def make_batch(
    config: Config,
    images: Images,
    step: int,
    *,
    part: int = 0,
    parts: int = 1,
    device: torch.device | str = "cpu",
) -> tuple[list[int], Batch]:
    """The images of a step and their views, or those of one of `parts` equal runs of images of the batch."""
    wanted = _share(batch_indices(config, images, step), part, parts)
    return [index for _, index in wanted], _views(config, _read(config, images, wanted), step, part, parts, device)


def preview(config: Config, images: Images) -> dict[str, Tensor]:
    """What the student sees at step 0: `global_crops`, `local_crops` (normalised) and `masks`, crop-major."""
    _, batch = make_batch(config, images, 0)
    return {"global_crops": batch.global_crops, "local_crops": batch.local_crops, "masks": batch.masks}


class Loader:
    """The batches of one of several processes, in micro-batches; the next step's images are read meanwhile."""

    def __init__(self, config: Config, images: Images, device: torch.device, rank: int, ranks: int) -> None:
        self._config, self._images, self._device = config, images, device
        micro = config.train.accumulate
        self._parts, self._of = range(rank * micro, (rank + 1) * micro), ranks * micro
        self._pool = ThreadPoolExecutor(1, "ssl_core images")
        self.waited = 0.0
        """Seconds that the last step's images were waited for."""
        self._ahead: tuple[int, Future[list[tuple[list[int], list[Tensor]]]]] | None = None

    def batches(self, step: int) -> tuple[list[int], list[Batch]]:
        """Indices and micro-batches of a step, on the device."""
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = (step, self._pool.submit(self._read, step))
        started = time.perf_counter()
        read = self._ahead[1].result()
        self.waited = time.perf_counter() - started
        if step + 1 < self._config.train.steps:
            self._ahead = (step + 1, self._pool.submit(self._read, step + 1))
        made = [
            _views(self._config, raw, step, part, self._of, self._device)
            for part, (_, raw) in zip(self._parts, read, strict=True)
        ]
        return [index for indices, _ in read for index in indices], made

    def _read(self, step: int) -> list[tuple[list[int], list[Tensor]]]:
        everything = batch_indices(self._config, self._images, step)
        shares = [_share(everything, part, self._of) for part in self._parts]
        return [
            (
                [index for _, index in share],
                [pinned(image, self._device) for image in _read(self._config, self._images, share)],
            )
            for share in shares
        ]


def _share(indices: list[tuple[int, int]], part: int, parts: int) -> list[tuple[int, int]]:
    size = len(indices) // parts
    return indices[part * size : (part + 1) * size]


def _read(config: Config, images: Images, wanted: list[tuple[int, int]]) -> Iterator[Tensor]:
    for epoch, index in wanted:
        if hasattr(images, "set_epoch"):
            images.set_epoch(epoch)
        yield check_image(images[index], index, config.model.channels, axes_of(config.model.patch_size))


def _views(
    config: Config, raw: Iterator[Tensor] | list[Tensor], step: int, part: int, parts: int, device: torch.device | str
) -> Batch:
    size = config.train.batch_size
    share = size // parts
    mine = slice(part * share, (part + 1) * share)
    crops = config.crops_at(step)
    chance = generator(config.train.seed, 2, step)
    units = [to_unit(image.to(device, non_blocking=True)) for image in raw]
    global_crops, local_crops = make_crops(units, crops, chance, first=mine.start, total=size)
    masks = crop_masks(
        2 * size,
        patch_grid(crops.global_size, config.model.patch_size, "crops.global_size"),
        probability=config.masks.probability,
        ratio=config.masks.ratio,
        exact=config.masks.exact,
        generator=chance,
    )
    return Batch(global_crops, local_crops, masks.view(2, size, -1)[:, mine].flatten(0, 1)).to(torch.device(device))
