"""One item of an archive to one encoded sample: all that a worker process does."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError
from cxr_io._identity import allowed, pseudonym
from cxr_io._limits import LIMITS, Limits
from cxr_io._read import read
from cxr_io._resize import resize_radiograph
from cxr_io._shards import Encoded, Sample, encode
from cxr_io.datasets import Box, Exclusions, MaskSource, Record, load_mask, split_for

_PLAIN = (str, int, float, type(None))


@dataclass(frozen=True)
class Settings:
    """What the bytes of a sample depend on, beside its item."""

    short_side: int
    bits: int
    intensity: str
    codec: str
    key: bytes = field(repr=False)
    exclusions: Exclusions | None = None
    limits: Limits = LIMITS


@dataclass(frozen=True)
class Taken:
    """An item as a sample, the split it belongs to and the names of its labels; `mark` is its item's."""

    mark: str
    split: str
    sample: Encoded
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Rejected:
    """An item that was not taken; `file` and `reason` may name a patient and stay out of the shards."""

    mark: str
    file: str
    code: str
    reason: str


def mark(item: Record, key: bytes) -> str:
    """A keyed hash that changes when the item does: what tables say, or the size or time of a file it names."""
    return pseudonym(key, "item", repr(_state(item)))


def _state(value: Any) -> Any:
    if isinstance(value, _PLAIN):  # most of what a table says
        return value
    if isinstance(value, Path):
        try:
            found = value.stat()
        except OSError:
            return value.name
        return value.name, found.st_size, found.st_mtime_ns
    if is_dataclass(value):
        return type(value).__name__, [_state(getattr(value, entry.name)) for entry in fields(value)]
    if isinstance(value, dict):
        return [(name, _state(part)) for name, part in value.items()]
    if isinstance(value, list | tuple):
        return [_state(part) for part in value]
    return repr(value)


def convert(item: Record, settings: Settings) -> Taken | Rejected:
    """Read, resize and encode; whatever is wrong with one file is a rejection, for an archive has every kind."""
    made = mark(item, settings.key)  # before the file is read: a change from now on is noticed by the next run
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning quotes what a header says
            return _take(item, made, settings)
    except CxrError as error:
        return Rejected(made, item.name, error.code, str(error))
    except Exception as error:  # a library's surprise at file 371,112 must not end two days of work
        return Rejected(made, item.name, "failed", f"expected a radiograph; {type(error).__name__}: {error}")


def _take(item: Record, made: str, settings: Settings) -> Taken:
    if settings.exclusions:
        settings.exclusions.check(item)
    radiograph = read(item.path, intensity=settings.intensity, limits=settings.limits)
    image = resize_radiograph(radiograph, settings.short_side, intensity=settings.intensity)
    patient = item.patient or radiograph.patient or item.name
    study = item.study or radiograph.study or item.name
    known = allowed({**radiograph.metadata, **item.metadata})
    spacing = radiograph.spacing_mm
    ratio = [before / after for before, after in zip(radiograph.pixels.shape, image.shape, strict=True)]
    meta = {
        "patient": pseudonym(settings.key, "patient", patient),
        "study": pseudonym(settings.key, "study", study),
        **{name: known[name] for name in ("view", "sex", "age")},
        "spacing_mm": [round(s * r, 6) for s, r in zip(spacing, ratio, strict=True)] if spacing else None,
        "labels": item.labels,
        "metadata": {name: known[name] for name in ("height_cm", "weight_kg", "bmi", "manufacturer")},
        "boxes": [_box(box, *ratio) for box in item.boxes],
        "source": None,
    }
    masks = {name: _mask(name, source, radiograph.pixels.shape, image.shape) for name, source in item.masks.items()}
    sample = Sample(pseudonym(settings.key, "image", item.name), image, meta, masks, _report(item.report))
    split = split_for(settings.key, item.split, patient)
    return Taken(made, split, encode(sample, settings.bits, settings.codec), tuple(item.labels))


def _mask(name: str, source: MaskSource, shape: tuple[int, int], size: tuple[int, int]) -> NDArray[Any]:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):  # it becomes part of a file name in the shard
        raise CxrError("bad_mask", f"expected a mask's name of letters, digits, - and _; got {name!r}")
    mask = load_mask(source, shape)
    return np.asarray(cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


def _box(box: Box, rows: float, columns: float) -> dict[str, Any]:
    """A box in pixels of the resized image, where `rows` and `columns` of the original make one."""
    x, width, y, height = box.x / columns, box.width / columns, box.y / rows, box.height / rows
    return {"name": box.name, "x": round(x, 3), "y": round(y, 3), "width": round(width, 3), "height": round(height, 3)}


def _report(source: Path | str | None) -> str | None:
    if not isinstance(source, Path):
        return source
    try:
        return source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CxrError("bad_report", f"expected a report in UTF-8 at {source.name}: {error}") from error
