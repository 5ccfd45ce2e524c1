"""A set of phantoms on disk, in the `csv` layout; same seed, same bytes, whatever the number of workers."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxr_phantom._dicom import dicom_bytes
from cxr_phantom._errors import PhantomError
from cxr_phantom._patient import DEVICES, FINDINGS, sample_patient, visits
from cxr_phantom._render import render

Progress = Callable[[int, int], None]
_FORMAT = 1
_MASKS = ("lungs", "zones", "heart", "ribs_right", "ribs_left", "findings", "devices")
_LEGENDS = {
    "lungs": {"1": "right lung", "2": "left lung"},
    "zones": {
        str(i + 1): f"{side} {third}"
        for i, (side, third) in enumerate((s, t) for s in ("right", "left") for t in ("upper", "middle", "lower"))
    },
    "heart": {"1": "heart"},
    "ribs_right": {f"bit {k}": f"right rib {k + 1}" for k in range(12)},
    "ribs_left": {f"bit {k}": f"left rib {k + 1}" for k in range(12)},
    "findings": {f"bit {k}": name for k, name in enumerate(FINDINGS)},
}
# Masks are flat: filtering their rows takes four times as long and saves nothing.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE)
_SPLITS = (("train", 0.6), ("val", 0.1), ("test", 0.3))


def generate(
    out: str | Path,
    *,
    patients: int,
    seed: int = 0,
    size: int = 512,
    workers: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write `patients` patients (one or two images each) under `out` and return the number of images.

    `size` is in pixels (64 to 4096), `workers` processes (default: one per core). Files: `dicom/<image>.dcm`,
    `masks/<image>/<name>.png`, `reports/<image>.txt`, `truth/<image>.json`, `phantom.json`, and at the end
    `labels.csv`. Run again after an interruption, it makes what is missing. A folder that holds a set of another
    seed or size, or files of something else, is a `PhantomError`.
    """
    out = Path(out)
    _check(patients, seed, size)
    _claim(out, {"format": _FORMAT, "seed": seed, "size": size, "patients": patients})
    jobs = [(out, seed, index, visit, size) for index in range(patients) for visit in range(visits(seed, index))]
    for done, _ in enumerate(_run(jobs, workers), 1):
        if progress:
            progress(done, len(jobs))
    _write(out / "labels.csv", _table(out, [_name(index, visit) for _, _, index, visit, _ in jobs]))
    return len(jobs)


def _run(jobs: list[tuple[Path, int, int, int, int]], workers: int | None) -> Iterable[None]:
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from map(_make, jobs)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield from pool.map(_make, jobs, chunksize=4)


def _make(job: tuple[Path, int, int, int, int]) -> None:
    out, seed, index, visit, size = job
    name = _name(index, visit)
    if (out / "truth" / f"{name}.json").exists():
        return
    patient = sample_patient(seed, index, visit)
    phantom = render(patient, size)
    masks = {}
    for key in _MASKS:
        ok, png = cv2.imencode(".png", phantom.masks[key], _PNG)
        if not ok:
            raise PhantomError(f"expected the mask {key!r} of {name} to encode as PNG; OpenCV refused it")
        masks[key] = f"masks/{name}/{key}.png"
        _write(out / masks[key], png.tobytes())
    _write(out / f"reports/{name}.txt", phantom.report.encode())
    _write(out / f"dicom/{name}.dcm", dicom_bytes(phantom, patient, seed))
    truth = {
        "image": f"dicom/{name}.dcm",
        "patient": asdict(patient),
        "labels": phantom.labels,
        "boxes": phantom.boxes,
        "masks": masks,
        "legends": _LEGENDS,
        "spacing_mm": phantom.spacing_mm,
        "split": _split(seed, index),
    }
    _write(out / f"truth/{name}.json", (json.dumps(truth, indent=1) + "\n").encode())  # last: it says the rest is there


def _name(index: int, visit: int) -> str:
    return f"p{index:06d}_{visit}"


def _split(seed: int, index: int) -> str:
    u = float(np.random.default_rng((seed, index, 3)).random())
    for name, share in _SPLITS:
        u -= share
        if u < 0:
            return name
    return _SPLITS[-1][0]


def _table(out: Path, names: list[str]) -> bytes:
    text = io.StringIO()
    head = [
        "path",
        "patient",
        "study",
        "view",
        "sex",
        "age",
        "height_cm",
        "weight_kg",
        "bmi",
        "manufacturer",
        "split",
        "report",
    ]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*head, *(f"mask.{key}" for key in _MASKS), *FINDINGS, *DEVICES])
    for name in names:
        truth: dict[str, Any] = json.loads((out / f"truth/{name}.json").read_bytes())
        who = truth["patient"]
        row = [truth["image"], f"PHANTOM-{who['index']:06d}", name, who["exposure"]["view"], who["sex"], who["age"]]
        row += [who["height_cm"], who["weight_kg"], who["bmi"], who["exposure"]["manufacturer"], truth["split"]]
        row += [f"reports/{name}.txt", *truth["masks"].values(), *truth["labels"].values()]
        writer.writerow(row)
    return text.getvalue().encode()


def _check(patients: int, seed: int, size: int) -> None:
    if patients < 1:
        raise PhantomError(f"expected at least one patient, got {patients}")
    if not 64 <= size <= 4096:
        raise PhantomError(f"expected a size of 64 to 4096 pixels, got {size}")
    if seed < 0:
        raise PhantomError(f"expected a seed of 0 or more, got {seed}")


def _claim(out: Path, wanted: dict[str, int]) -> None:
    """Mark a folder as ours, or refuse one that holds something else."""
    note = out / "phantom.json"
    if note.exists():
        found = json.loads(note.read_bytes())
        for key, value in wanted.items():
            if key != "patients" and found.get(key) != value:
                raise PhantomError(
                    f"{out} holds phantoms with {key} {found.get(key)}, and {key} {value} was asked for; choose "
                    "another folder, or delete this one"
                )
    elif out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise PhantomError(
            f"expected {out} to be new, empty or a set of phantoms; it holds other files: choose another folder"
        )
    try:
        for part in ("dicom", "masks", "reports", "truth"):
            (out / part).mkdir(parents=True, exist_ok=True)
        _write(note, (json.dumps(wanted, indent=1) + "\n").encode())
    except OSError as error:
        raise PhantomError(f"expected to write under {out}: {error}") from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
