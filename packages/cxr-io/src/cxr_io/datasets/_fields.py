"""What the words of a table mean: view, sex, age and labels in one vocabulary, and None for what can't be so."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_io._identity import OLDEST_POSSIBLE

CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
"""The fourteen observations of the CheXpert labeller (Irvin et al. 2019), which MIMIC-CXR and BRAX share."""

_VIEWS = {"PA": "PA", "AP": "AP", "AP_HORIZONTAL": "AP"} | dict.fromkeys(
    ("L", "LL", "RL", "LLD", "RLD", "LAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL"), "LATERAL"
)
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}


def view(text: str) -> str | None:
    """PA, AP or LATERAL."""
    return _VIEWS.get(text.upper())


def sex(text: str) -> str | None:
    """M or F, from a letter or a word."""
    return {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}.get(text.upper())


def age(text: str) -> float | None:
    """Years, from `58`, `058Y`, `45yrs`, `14 days` or `85 or more`; the middle of `55-59`. None above 120."""
    match = re.match(r"(\d+(?:\.\d+)?)\s*(?:-\s*(\d+)\s*$|([a-zA-Z])?)", text.strip())
    if not match:
        return None
    low, high, unit = float(match[1]), match[2], (match[3] or "y").upper()
    years = (low + float(high) + 1) / 2 if high else low * _DAYS.get(unit, _DAYS["Y"]) / _DAYS["Y"]
    return round(years, 3) if years <= OLDEST_POSSIBLE else None


def number(text: str) -> float | None:
    """A number; None for blanks and words."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def label(text: str) -> int | None:
    """1, 0, -1 or, for a blank or `nan`, None; ValueError for anything else."""
    if text == "" or text.lower() == "nan":
        return None
    value = float(text)
    if value not in (1.0, 0.0, -1.0):
        raise ValueError(text)
    return int(value)


def labels(row: Mapping[str, str], names: Iterable[str]) -> dict[str, int | None]:
    """The labels of those names, a column that is absent being blank."""
    return {name: label(row.get(name, "")) for name in names}


def known(**facts: Any) -> dict[str, Any]:
    """The facts that are known: those that aren't None or blank."""
    return {name: value for name, value in facts.items() if value not in (None, "")}
