"""The fourteen findings of CheXpert (Irvin et al. 2019) and the words for them, read from `lexicon.toml`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# CheXpert's order with "No Finding" last, as CheXbert has it.
FINDINGS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding",
)  # fmt: skip
FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
_NEVER = r"(?!)"


@dataclass(frozen=True)
class Words:
    """Patterns of one finding: it is named, it is said to be absent, it is something else that looks like it."""

    present: re.Pattern[str]
    absent: re.Pattern[str]
    other: re.Pattern[str]


@cache
def lexicon() -> dict[str, Words]:
    """The words of each finding but "No Finding"."""
    table = tomllib.loads((files("raddino_reportgen.labels") / "lexicon.toml").read_text("utf-8"))
    return {
        name: Words(_any(entry["present"]), _any(entry.get("absent", [_NEVER])), _any(entry.get("not", [_NEVER])))
        for name, entry in table.items()
    }


def _any(patterns: list[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b")
