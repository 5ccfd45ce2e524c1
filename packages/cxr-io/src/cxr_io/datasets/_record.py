"""What an archive's tables say of one image: the one type that every layout yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_io.datasets._masks import MaskSource

TRAIN_OR_VAL = "train_val"
"""The split of images that a publisher keeps out of the test set without saying which are for validation."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the image as published: left edge `x`, top edge `y`."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Record:
    """One image of a data set.

    `name` is relative to the source, with forward slashes, and unique. `patient` and `study` are the publisher's
    identifiers, None where the tables don't tell (a DICOM header may). `split` is the official one: `train`, `val`,
    `test`, `train_val` (anything but test) or None. `metadata` holds those known of view (PA, AP, LATERAL), sex (M, F),
    age, height_cm, weight_kg, bmi, manufacturer. A label is 1, 0, -1 (uncertain) or None (not mentioned). `report` is
    the text itself or the path of a text file. `dataset` is the layout's name. The image need not be there.
    """

    name: str
    path: Path
    patient: str | None = None
    study: str | None = None
    split: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, int | None] = field(default_factory=dict)
    masks: dict[str, MaskSource] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    report: str | Path | None = None
    dataset: str = "folder"


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk.

    `recognise` tells from the source's folder whether this is it. `records` takes the source and the table that the
    user names in place of the official one, or None, and yields records in an order that never changes.
    """

    name: str
    recognise: Callable[[Path], bool]
    records: Callable[[Path, Path | None], Iterator[Record]]
