"""The masks of shards as a segmenter takes them: which images have them, what their values mean, where tokens lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cxr_phantom
import numpy as np
import raddino_encoders
import raddino_seg
from cxr_io import Sample
from numpy.typing import NDArray

from raddino_cli.console import say
from raddino_cli.work.features import Features, NothingToMeasureError, read_split

LABEL_MAPS = {
    "lungs": ("right lung", "left lung"),
    "heart": ("heart",),
    "zones": ("right upper", "right middle", "right lower", "left upper", "left middle", "left lower"),
}
"""Structures 1, 2, ... of label maps. A mask that is not here is one structure of its own name."""
BIT_FIELDS = {
    "ribs_right": tuple(f"right rib {k}" for k in range(1, 13)),
    "ribs_left": tuple(f"left rib {k}" for k in range(1, 13)),
    "findings": cxr_phantom.FINDINGS,
    "devices": cxr_phantom.DEVICES,
}
"""Structures of bits 0, 1, ..., which may overlap."""
MASK_SIZE = 128


@dataclass(frozen=True)
class Masked:
    """Images of one split that have the masks, as S x S pixels of what the encoder saw.

    `rows` (N,) of the features; `masks` label maps or planes; `spacing` of each image's mask in mm, None if unknown.
    """

    rows: NDArray[np.intp]
    samples: list[Sample]
    masks: raddino_seg.Masks
    classes: tuple[str, ...]
    spacing: list[tuple[float, float] | None]


def read_masks(
    shards: Path,
    features: Features,
    split: str,
    names: Sequence[str],
    *,
    size: int = MASK_SIZE,
    classes: Sequence[str] | None = None,
) -> Masked:
    """The images of a split that have every one of the masks, or whose label says that there is nothing to mask.

    Args:
        shards: what the features were made from.
        features: tell the rows.
        split: train, val or test.
        names: of masks, or of one structure of a mask, "findings:pneumothorax"; of several, the structures are planes
            that may overlap.
        size: pixels a side.
        classes: those that a model knows, where it is known already.

    Raises:
        NothingToMeasureError: no image of the split has them.
        SegError: values that stand for nothing.
    """
    samples = {sample.key: sample for sample in read_split(shards, split)}
    view = _View(features, size)
    rows: list[int] = []
    kept: list[Sample] = []
    drawn: list[list[NDArray[Any]]] = []
    for row in features.rows(split):
        sample = samples.get(features.samples["key"][row])
        found = [_mask(sample, name, view) for name in names] if sample else []
        if sample and len(present := [mask for mask in found if mask is not None]) == len(names):
            rows.append(row)
            kept.append(sample)
            drawn.append(present)
    if not rows:
        listed = " and ".join(repr(name) for name in names)
        raise NothingToMeasureError(
            f"expected samples with a mask {listed} in the split {split} of {shards}, found none"
        )
    if missing := len(features.rows(split)) - len(rows):
        say(f"{missing} of {missing + len(rows)} images of the split {split} are left out: they have no such mask")
    parts = [_structures(name, np.stack([found[k] for found in drawn])) for k, name in enumerate(names)]
    masks, known = parts[0]
    if len(parts) > 1:
        masks = np.concatenate([_planes(part, len(part_names)) for part, part_names in parts], axis=1)
        known = tuple(name for _, part_names in parts for name in part_names)
    return Masked(np.array(rows), kept, masks, tuple(classes or known), [view.spacing(sample) for sample in kept])


class _View:
    """How images were placed on the input of the encoder, and masks are placed likewise."""

    def __init__(self, features: Features, size: int) -> None:
        facts = features.facts
        short = facts.get("preprocessing", {}).get("short_side")
        whole = raddino_encoders.Preprocessing(facts["image_size"], (0.0,), (1.0,), short)
        self._input, self._fit = whole.at(size), facts["fit"]

    def mask(self, mask: NDArray[Any]) -> NDArray[Any]:
        """Nearest pixel."""
        return np.asarray(self._input.masks([mask], self._fit)[0])

    def blank(self) -> NDArray[Any]:
        """The mask of nothing."""
        return np.zeros((self._input.size, self._input.size), np.uint8)

    def spacing(self, sample: Sample) -> tuple[float, float] | None:
        """Of a placed mask's pixels in mm."""
        known, (height, width), side = sample.meta["spacing_mm"], sample.image.shape, self._input.size
        if not known:
            return None
        if self._fit == "stretch":
            return known[0] * height / side, known[1] * width / side
        crop = self._fit == "crop"
        scale = min(height, width) / max(self._input.short_side or side, side) if crop else max(height, width) / side
        return known[0] * scale, known[1] * scale


def _mask(sample: Sample, name: str, view: _View) -> NDArray[Any] | None:
    """Empty where the image's label of that name is 0; None where nothing is known."""
    mask = name.partition(":")[0]
    if mask not in sample.masks:
        return view.blank() if sample.meta["labels"].get(mask) == 0 else None
    return view.mask(np.asarray(sample.masks[mask]))


def _structures(name: str, masks: NDArray[Any]) -> tuple[raddino_seg.Masks, tuple[str, ...]]:
    """Label maps or planes, and the names of their structures."""
    name, _, alone = name.partition(":")
    if alone:
        whole, names = _structures(name, masks)
        if alone not in names:
            raise ValueError(f"expected a structure of {name}: {', '.join(names)}; got {alone!r}")
        return _planes(whole, len(names))[:, [names.index(alone)]], (alone,)
    if name in BIT_FIELDS:
        return raddino_seg.from_bits(masks, len(BIT_FIELDS[name])), BIT_FIELDS[name]
    if masks.max() == 255:  # as most tools write a mask of one structure
        return raddino_seg.from_values(masks, (255,)), (name,)
    return masks, LABEL_MAPS.get(name, (name,))


def _planes(masks: raddino_seg.Masks, count: int) -> NDArray[np.bool_]:
    if masks.ndim == 4:
        return masks
    return np.stack([masks == k + 1 for k in range(count)], axis=1)
