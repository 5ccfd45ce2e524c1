"""The paper's evaluations by name (RAD-DINO, arXiv 2401.10815), as far as they are known, as data.

Only what a source says is here; where that is not the paper itself, `known_from` says so, and what is nobody's word
but recollection is in `unconfirmed`. No score of the paper is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raddino_probes._errors import ProbeError


@dataclass(frozen=True)
class Protocol:
    """What to measure on a data set, and how it is split."""

    dataset: str
    layouts: tuple[str, ...]
    """Names of the data set's layouts in cxr-io."""
    findings: tuple[str, ...] = ()
    """Binary targets, named as in the data set; case and underscores don't count."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Continuous targets, with their units."""
    metrics: tuple[str, ...] = ()
    """Of each target; names that `measure` knows."""
    macro: bool = False
    """Whether the mean over findings is reported as well."""
    split: str = ""
    """How test is set apart."""
    known_from: str = ""
    unconfirmed: tuple[str, ...] = ()
    """Fields above that have not been read in any document."""


PROTOCOLS: dict[str, Protocol] = {
    "vindr": Protocol(
        "VinDr-CXR",
        ("vindr-cxr",),
        findings=(
            "lung opacity", "cardiomegaly", "pleural thickening", "aortic enlargement", "pulmonary fibrosis",
            "tuberculosis", "pleural effusion",
        ),
        metrics=("average_precision",),
        macro=True,
        split="the data set's own training and test images; val by patient from training",
        known_from="RadJEPA's README (aggregate AP); a page about it (AP of lung opacity)",
        unconfirmed=("findings", "split"),
    ),
    "rsna": Protocol(
        "RSNA Pneumonia Detection Challenge",
        ("rsna",),
        findings=("lung opacity",),  # what the challenge calls pneumonia in its labels
        metrics=("average_precision", "auroc"),
        split="a fifth of the images as test (5,337), by patient; which ones is not known",
        known_from="RadJEPA's README; a page about it (the number of test images)",
    ),
    "candid-ptx": Protocol(
        "CANDID-PTX",
        ("candid-ptx",),
        findings=("pneumothorax", "chest tube", "acute rib fracture"),
        metrics=("average_precision",),
        macro=True,
        split="by patient; the paper's own is not known",
        known_from="secondary literature (findings)",
        unconfirmed=("metrics", "macro", "split"),
    ),
    "mimic-metadata": Protocol(
        "MIMIC-CXR with MIMIC-IV",
        ("mimic-cxr-jpg", "mimic-cxr"),
        findings=("sex",),
        numbers={"age": "years", "weight_kg": "kg", "bmi": "kg/m2"},
        metrics=("auroc", "mae", "r2", "pearson"),
        split="by patient; the paper's own is not known",
        known_from="the abstract (sex, age, BMI); secondary literature (weight)",
        unconfirmed=("dataset", "metrics", "split"),
    ),
}  # fmt: skip
"""By the name that a command takes."""


def protocol(name: str) -> Protocol:
    """A protocol by name.

    Raises:
        ProbeError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise ProbeError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]
