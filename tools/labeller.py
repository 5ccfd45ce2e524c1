"""How well the rules read reports, against Open-i's indexers and the phantoms' truth: writes docs/labeller.md.

python -m tools.labeller
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import cxr_phantom
import numpy as np
import raddino_reportgen as rg
from numpy.typing import NDArray

_PATIENTS = 3000
_PHANTOM = {
    "Cardiomegaly": ("cardiomegaly",),
    "Lung Lesion": ("nodule",),
    "Edema": ("edema",),
    "Consolidation": ("consolidation",),
    "Pneumothorax": ("pneumothorax",),
    "Pleural Effusion": ("pleural_effusion",),
    "Fracture": ("rib_fracture",),
    "Support Devices": cxr_phantom.DEVICES,
}
_HEAD = """# How well the rules label reports

Written by `python -m tools.labeller`: precision, recall and F1 of `raddino_reportgen.label` for the labels that both
sides have. Doubt counts as presence unless said otherwise. The rules were tuned on the reports of Open-i with even
numbers and not on those with odd numbers, which the first table is of; which MeSH headings mean a finding was decided
from the list of all headings.

MeSH headings were chosen by people who read the same reports, and mean not quite the same: an indexer leaves out what a
report calls possible about as often as not (so the precision of pneumonia and atelectasis), and `normal` allows no
scoliosis or granuloma, where CheXpert's "No Finding" does. That row is shown and not in the micro average.
"""


def main() -> None:
    """Measure and write the page."""
    parts = [_HEAD]
    for odd, title in ((1, "Open-i, odd numbers: not used for tuning"), (0, "Open-i, even numbers: used for tuning")):
        said, truth = _openi(odd)
        parts.append(_table(f"{title} ({len(said)} reports)", said, truth))
        parts.append(f"Doubt as absence: {_micro(said == 1, truth)}.\n")
    said, truth = _phantoms()
    parts.append(_table(f"Phantoms ({len(said)} reports, seed 0)", said, truth))
    page = Path(__file__).parents[1] / "docs" / "labeller.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    print(page)


def _openi(odd: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found = importlib.util.find_spec("torchxrayvision")
    if found is None or found.origin is None:
        raise SystemExit("error: expected torchxrayvision, which carries Open-i's reports; run `make setup`")
    archive = Path(found.origin).parent / "data" / "NLMCXR_reports.tgz"
    reports = [r for r in rg.read_openi(archive) if int(r.name.removeprefix("CXR")) % 2 == odd]
    return rg.label_reports([r.sections for r in reports]), rg.mesh_labels([r.terms for r in reports])


def _phantoms() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    patients = [cxr_phantom.sample_patient(0, index) for index in range(_PATIENTS)]
    truth = np.full((_PATIENTS, len(rg.FINDINGS)), np.nan)
    for row, patient in zip(truth, patients, strict=True):
        for name, labels in _PHANTOM.items():
            row[rg.FINDINGS.index(name)] = max(patient.labels()[label] for label in labels)
    return rg.label_reports([cxr_phantom.write_report(patient) for patient in patients]), truth


def _table(title: str, said: NDArray[np.float64], truth: NDArray[np.float64]) -> str:
    present = np.isin(said, (1, -1))
    lines = [f"## {title}\n", "| finding | present | precision | recall | F1 |", "|---|---:|---:|---:|---:|"]
    for column, name in enumerate(rg.FINDINGS):
        if not np.isnan(truth[:, column]).all():
            hits, extra, missed = _counts(present[:, column], truth[:, column])
            lines.append(f"| {name} | {hits + missed} | {_scores(hits, extra, missed)} |")
    lines.append(f"| **micro, without No Finding** | | {_micro_cells(present, truth)} |\n")
    return "\n".join(lines)


def _counts(said: NDArray[np.bool_], truth: NDArray[np.float64]) -> tuple[int, int, int]:
    known = ~np.isnan(truth)
    a, b = said[known], truth[known] == 1
    return int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum())


def _scores(hits: int, extra: int, missed: int) -> str:
    values: Sequence[float] = (
        hits / max(hits + extra, 1),
        hits / max(hits + missed, 1),
        2 * hits / max(2 * hits + extra + missed, 1),
    )
    return " | ".join(f"{value:.3f}" for value in values)


def _micro_cells(said: NDArray[np.bool_], truth: NDArray[np.float64]) -> str:
    return _scores(*_counts(said[:, :-1], truth[:, :-1]))


def _micro(said: NDArray[np.bool_], truth: NDArray[np.float64]) -> str:
    precision, recall, f1 = _micro_cells(said, truth).split(" | ")
    return f"precision {precision}, recall {recall}, F1 {f1} (micro)"


if __name__ == "__main__":
    main()
