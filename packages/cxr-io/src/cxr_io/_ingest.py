"""An archive into shards: planned first, then written shard by shard, so that it can stop anywhere and go on."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from cxr_io import _dicom
from cxr_io._errors import CxrError
from cxr_io._identity import find_key, pseudonym
from cxr_io._intensity import check_policy
from cxr_io._read import identifiers, kind_of, read
from cxr_io._resize import resize_bspline
from cxr_io._shards import FORMAT, INDEX, Encoded, Sample, encode, write_atomic, write_shard
from cxr_io.datasets import OLDEST_POSSIBLE, Box, Exclusions, Layout, Record, list_items, load_mask, split_for

Progress = Callable[[int, int], None]
SPLITS = ("train", "val", "test")
_JOURNAL = ".journal"
_OLDEST = 90.0  # ages above 89 are one class, as HIPAA's safe harbour asks
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class IngestSummary:
    """What became of the archive: images accepted and rejected, why, and how many each split holds."""

    accepted: int
    rejected: int
    reasons: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Settings:
    short_side: int
    bits: int
    intensity: str
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class _Planned:
    item: Record
    patient: str
    study: str
    split: str


@dataclass(frozen=True)
class _Rejected:
    file: str
    code: str
    reason: str


def ingest(
    source: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    dataset: str | Layout = "auto",
    exclude: str | Path | None = None,
    short_side: int = 518,
    bits: int = 16,
    intensity: str = "minmax",
    workers: int | None = None,
    samples_per_shard: int = 256,
    key: str | None = None,
    progress: Progress | None = None,
) -> IngestSummary:
    """Read every radiograph under `source` and write shards, `index.json` and `rejected.jsonl` to `out`.

    `short_side` in pixels; `bits` 16 or 8; `intensity` one of `POLICIES`; `dataset` one of `DATASETS` or a `Layout`;
    `labels` a CSV whose column `path` names files of the source, or another copy of the layout's own table; `exclude` a
    text file of images, patients or studies to leave out, one a line, which are rejected as `excluded`. `key` (or the
    environment's CXR_IO_KEY) is the secret behind the pseudonyms; without one, `<out>.key` is made. The same source and
    key give the same bytes for any number of `workers`. Run again, it goes on where it stopped; an output with other
    settings is refused. Files that are no radiographs are listed, not fatal; nothing accepted at all is a `CxrError`.
    """
    source, out = Path(source), Path(out)
    check_policy(intensity)
    if bits not in (8, 16):
        raise CxrError("usage", f"expected 8 or 16 bits, got {bits}")
    if short_side < 16 or samples_per_shard < 1:
        raise CxrError(
            "usage",
            f"expected a short side of 16 pixels or more and a sample a shard, got {short_side}, {samples_per_shard}",
        )
    dataset, items = list_items(source, dataset, Path(labels) if labels else None)
    exclusions = Exclusions(Path(exclude)) if exclude else None
    settings = _Settings(short_side, bits, intensity, find_key(out, key))
    preprocessing = {"short_side": short_side, "bits": bits, "intensity": intensity, "dataset": dataset}
    journal = _claim(
        out, {**preprocessing, "samples_per_shard": samples_per_shard, "key": pseudonym(settings.key, "key", "")}
    )
    with _Pool(workers) as pool:
        planned: list[_Planned] = []
        rejected: list[_Rejected] = []
        for result in pool.map(partial(_plan, key=settings.key, exclusions=exclusions), list(items)):
            if isinstance(result, _Planned):
                planned.append(result)
            else:
                rejected.append(result)
        total, done = len(planned), 0
        shards: list[dict[str, Any]] = []
        for split in SPLITS:
            members = [plan for plan in planned if plan.split == split]
            for number, start in enumerate(range(0, len(members), samples_per_shard)):
                part = members[start : start + samples_per_shard]
                shard, plan = out / f"{split}-{number:06d}.tar", _digest(part)
                note = _note(journal, shard, plan)
                if note is None:
                    note = _write(
                        shard, pool.map(partial(_convert, settings=settings), part), _after(progress, done, total)
                    )
                    write_atomic(_note_path(journal, shard), json.dumps({"plan": plan, **note}).encode())
                done += len(part)
                if progress:
                    progress(done, total)
                shards.append({**note["shard"], "split": split})
                rejected += [_Rejected(**entry) for entry in note["rejected"]]
    return _finish(out, preprocessing, [shard for shard in shards if shard["samples"]], rejected)


class _Pool:
    """Processes that keep order; one worker is this process itself."""

    def __init__(self, workers: int | None) -> None:
        count = workers or os.cpu_count() or 1
        context = get_context("spawn")
        self._executor = ProcessPoolExecutor(count, context, cv2.setNumThreads, (1,)) if count > 1 else None

    def map(self, function: Callable[[T], R], values: Sequence[T]) -> Iterator[R]:
        """Results in order."""
        if self._executor is None or len(values) < 8:
            return map(function, values)
        return self._executor.map(function, values, chunksize=4)

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor:
            self._executor.shutdown(cancel_futures=True)


def _plan(item: Record, key: bytes, exclusions: Exclusions | None) -> _Planned | _Rejected:
    """Whose image it is, and so which split it goes to; from the tables, else from the header."""
    try:
        if exclusions:
            exclusions.check(item)
        patient, study = item.patient, item.study
        if kind_of(item.path) == "dicom":
            header = identifiers(_dicom.read_header(item.path))
            patient, study = patient or header[0], study or header[1]
        patient = patient or item.name
        split = split_for(key, item.split, patient)
        return _Planned(item, pseudonym(key, "patient", patient), pseudonym(key, "study", study or item.name), split)
    except CxrError as error:
        return _Rejected(item.name, error.code, str(error))


def _convert(plan: _Planned, settings: _Settings) -> Encoded | _Rejected:
    item = plan.item
    try:
        radiograph = read(item.path, intensity=settings.intensity)
        image = resize_bspline(radiograph.pixels, settings.short_side).astype(np.uint16)
        known = {**radiograph.metadata, **item.metadata}
        age = known.get("age")
        spacing = radiograph.spacing_mm
        ratio = [a / b for a, b in zip(radiograph.pixels.shape, image.shape, strict=True)]
        meta = {
            "patient": plan.patient,
            "study": plan.study,
            "view": known.get("view"),
            "sex": known.get("sex"),
            "age": min(age, _OLDEST) if age is not None and age <= OLDEST_POSSIBLE else None,
            "spacing_mm": [round(s * r, 6) for s, r in zip(spacing, ratio, strict=True)] if spacing else None,
            "labels": item.labels,
            "metadata": {name: known.get(name) for name in ("height_cm", "weight_kg", "bmi", "manufacturer")},
            "boxes": [_scaled(box, *ratio) for box in item.boxes],
            "source": None,
        }
        masks = {
            name: cv2.resize(
                load_mask(mask, radiograph.pixels.shape), image.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT
            )
            for name, mask in item.masks.items()
        }
        report = _report(item.report) if isinstance(item.report, Path) else item.report
        sample = Sample(pseudonym(settings.key, "image", item.name), image, meta, masks, report)
        return encode(sample, settings.bits)
    except CxrError as error:
        return _Rejected(item.name, error.code, str(error))


def _scaled(box: Box, rows: float, columns: float) -> dict[str, Any]:
    """A box in pixels of the resized image, where `rows` and `columns` of the original make one."""
    x, width = box.x / columns, box.width / columns
    y, height = box.y / rows, box.height / rows
    return {"name": box.name, "x": round(x, 3), "y": round(y, 3), "width": round(width, 3), "height": round(height, 3)}


def _report(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CxrError("bad_report", f"expected a report in UTF-8 at {path.name}: {error}") from error


def _claim(out: Path, settings: dict[str, Any]) -> Path:
    """The journal's folder, once it is sure that the output is ours and was begun with these settings."""
    journal = out / _JOURNAL
    note = journal / "settings.json"
    if note.exists():
        found = json.loads(note.read_bytes())
        for name, value in settings.items():
            if found.get(name) != value:
                raise CxrError(
                    "usage",
                    f"{out} was begun with {name} {found.get(name)}, and now {name} {value} was asked for; "
                    "choose another output, or delete this one",
                )
    elif out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise CxrError("usage", f"expected {out} to be new, empty or a folder of shards; it holds other files")
    try:
        journal.mkdir(parents=True, exist_ok=True)
        write_atomic(note, json.dumps(settings, indent=1).encode())
    except OSError as error:
        raise CxrError("unwritable", f"expected to write under {out}: {error}") from error
    return journal


def _digest(part: list[_Planned]) -> str:
    """Changes when the members of a shard do, their tables or their files' sizes."""
    told = [
        (p.item.name, p.patient, p.item.path.stat().st_size, p.item.metadata, p.item.labels, p.item.masks, p.item.boxes)
        for p in part
    ]
    return sha256(repr(told).encode()).hexdigest()


def _note_path(journal: Path, shard: Path) -> Path:
    return journal / f"{shard.name}.json"


def _note(journal: Path, shard: Path, plan: str) -> dict[str, Any] | None:
    """What the journal says of a shard that is already finished, if it was planned alike."""
    path = _note_path(journal, shard)
    if not path.exists() or not shard.exists():
        return None
    note: dict[str, Any] = json.loads(path.read_bytes())
    return note if note["plan"] == plan and shard.stat().st_size == note["shard"]["bytes"] else None


def _after(progress: Progress | None, done: int, total: int) -> Callable[[int], None]:
    """Progress within a shard, told as progress of the whole."""
    return lambda count: progress(done + count, total) if progress else None


def _write(shard: Path, results: Iterator[Encoded | _Rejected], tell: Callable[[int], None]) -> dict[str, Any]:
    """Write what was converted; the shard's entry in the index and what was rejected."""
    rejected: list[dict[str, str]] = []

    def samples() -> Iterator[Encoded]:
        for count, result in enumerate(results, 1):
            tell(count)
            if isinstance(result, Encoded):
                yield result
            else:
                rejected.append(vars(result))

    return {"shard": write_shard(shard, samples()), "rejected": rejected}


def _finish(
    out: Path, preprocessing: dict[str, Any], shards: list[dict[str, Any]], rejected: list[_Rejected]
) -> IngestSummary:
    lines = [json.dumps(vars(entry)) for entry in sorted(rejected, key=lambda entry: entry.file)]
    write_atomic(out / "rejected.jsonl", "".join(line + "\n" for line in lines).encode())
    reasons = dict(Counter(entry.code for entry in rejected).most_common())
    splits = {split: sum(s["samples"] for s in shards if s["split"] == split) for split in SPLITS}
    if not shards:
        told = ", ".join(f"{count} {code}" for code, count in reasons.items())
        first = sorted(rejected, key=lambda entry: entry.file)[0]
        raise CxrError(
            "nothing_accepted", f"expected radiographs, accepted none ({told}); first: {first.file}: {first.reason}"
        )
    keep = {shard["name"] for shard in shards}
    for stale in out.glob("*.tar"):
        if stale.name not in keep:
            stale.unlink()
    index = {"format": FORMAT, "preprocessing": preprocessing, "splits": splits, "shards": shards}
    write_atomic(out / INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return IngestSummary(sum(splits.values()), len(rejected), reasons, splits)
