"""Findings of a report by rules: each is named in a sentence, and the sentence asserts, denies or doubts it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen.labels._assertion import Status, assess
from raddino_reportgen.labels._lexicon import FINDINGS, lexicon
from raddino_reportgen.text._sections import sections
from raddino_reportgen.text._words import split_sentences

# What was asked or is known from elsewhere is not what the picture shows.
_NOT_SEEN = {
    "indication", "technique", "comparison", "examination", "notification", "recommendation", "wet read", "addendum",
}  # fmt: skip
_HISTORY = re.compile(
    r"\b(history|indication|reason for (exam\w*|study)|clinical|comparison|technique)\b[^.]{0,12}:|\bhistory of\b"
)


@dataclass(frozen=True)
class Mention:
    """A finding where a sentence speaks of it: the words, and whether they say it is there."""

    finding: str
    status: Status
    words: str


def label(report: str | Mapping[str, str]) -> dict[str, Status]:
    """The findings that a report, or its sections by name, mentions; those that it doesn't are absent from the result.

    Findings and impression count, and text under no heading or one that isn't known; indication, technique, comparison
    and the like do not. Over several mentions a finding is present if one says so, else uncertain if one doubts it.
    "No Finding" is present where no other but support devices is present or uncertain, as in CheXpert.
    """
    parts = sections(report) if isinstance(report, str) else report
    found: dict[str, Status] = {}
    spoken = False
    for name, text in parts.items():
        if name in _NOT_SEEN:
            continue
        for sentence in split_sentences(text):
            spoken = True
            for mention in mentions(sentence):
                old = found.get(mention.finding)
                found[mention.finding] = mention.status if old is None else _stronger(old, mention.status)
    if spoken and not any(s != Status.ABSENT for name, s in found.items() if name != "Support Devices"):
        found["No Finding"] = Status.PRESENT
    return found


def label_reports(reports: Sequence[str | Mapping[str, str]]) -> NDArray[np.float64]:
    """Labels (N, 14) in the order of `FINDINGS`: 1 present, 0 absent, -1 uncertain, NaN not mentioned."""
    rows = np.full((len(reports), len(FINDINGS)), np.nan)
    for row, report in zip(rows, reports, strict=True):
        for name, status in label(report).items():
            row[FINDINGS.index(name)] = status
    return rows


@lru_cache(maxsize=1 << 16)  # radiologists repeat themselves
def mentions(sentence: str) -> tuple[Mention, ...]:
    """Every finding that one sentence names, in the order of `FINDINGS`."""
    lower = " ".join(sentence.lower().split())
    if _HISTORY.search(lower):
        return ()
    found = []
    for name, words in lexicon().items():
        text = words.other.sub(lambda match: "#" * len(match.group()), lower)
        named = [(m.start(), m.end()) for m in words.present.finditer(text)]
        denied = [m.span() for m in words.absent.finditer(text)]
        spans = [(a, b, Status.ABSENT if " not " in lower[a:b] else assess(lower, a, b)) for a, b in named]
        spans += [(a, b, Status.ABSENT) for a, b in denied if not any(c < b and a < d for c, d in named)]
        found += [Mention(name, status, lower[a:b]) for a, b, status in spans]
    return tuple(found)


def _stronger(a: Status, b: Status) -> Status:
    if Status.PRESENT in (a, b):
        return Status.PRESENT
    return Status.UNCERTAIN if Status.UNCERTAIN in (a, b) else Status.ABSENT
