"""The parts of a radiology report, by one name for all the headings that mean the same."""

from __future__ import annotations

import re

_NAMES = {
    "findings": "FINDING|FINDINGS|REPORT|OBSERVATIONS|CHEST FINDINGS|FINDINGS AND IMPRESSION|FINDINGS/IMPRESSION",
    "impression": "IMPRESSION|IMPRESSIONS|IMPRESSON|CONCLUSION|CONCLUSIONS|OPINION|SUMMARY|INTERPRETATION",
    "indication": (
        "INDICATION|INDICATIONS|HISTORY|CLINICAL HISTORY|CLINICAL INDICATION|CLINICAL INFORMATION|CLINICAL DATA|"
        "REASON FOR EXAM|REASON FOR EXAMINATION|REASON FOR STUDY|REASON FOR THE STUDY|REASON|MEDICAL CONDITION"
    ),
    "technique": "TECHNIQUE|PROCEDURE|VIEWS|NUMBER OF VIEWS",
    "comparison": "COMPARISON|COMPARISONS|COMPARISON STUDY|COMPARISON EXAM|COMPARED TO|PRIOR STUDY",
    "examination": "EXAM|EXAMINATION|STUDY|TYPE OF EXAMINATION|TYPE OF EXAM",
    "recommendation": "RECOMMENDATION|RECOMMENDATIONS",
    "notification": "NOTIFICATION|NOTIFICATIONS",
    "wet read": "WET READ",
    "addendum": "ADDENDUM",
}
_CANONICAL = {heading: name for name, headings in _NAMES.items() for heading in headings.split("|")}
_KNOWN = "|".join(sorted(_CANONICAL, key=len, reverse=True))
# At a line's beginning: a known heading in any case, or words in capitals (with dates and blanks of MIMIC-CXR).
_HEADING = re.compile(rf"(?m)^[ \t]*((?i:{_KNOWN})|[A-Z][A-Z0-9 ,/()&_-]{{2,70}}?)[ \t]*:(?!\d)")
# MIMIC-CXR's radiologists often head the findings by the films: "PA AND LATERAL VIEWS OF THE CHEST:".
_FILMS = re.compile(r"\b(CHEST|RADIOGRAPHS?|PORTABLE|AP|PA|LATERAL|FRONTAL|VIEWS?)\b")
_BANNER = re.compile(r"(?m)^[ \t]*FINAL (REPORT|ADDENDUM)[ \t]*$")


def sections(report: str) -> dict[str, str]:
    """The text under each heading: findings, impression, indication, technique, comparison, examination ...

    A heading begins a line, in capitals or one that is known, and ends in a colon; synonyms share a name, a heading of
    films ("CHEST, TWO VIEWS:") means findings, one that isn't known keeps its own in small letters. What comes before
    the first is `""`. A name that comes twice has its texts joined by a blank line; empty sections are left out.
    """
    parts = _HEADING.split(_BANNER.sub("", report))
    found: dict[str, list[str]] = {"": [parts[0]]}
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        found.setdefault(_name(heading), []).append(text)
    joined = {name: "\n\n".join(text for part in texts if (text := part.strip())) for name, texts in found.items()}
    return {name: text for name, text in joined.items() if text}


def join_sections(parts: dict[str, str]) -> str:
    """A report of these sections, each under its heading, as `sections` reads it."""
    return "\n\n".join(f"{name.upper()}:\n{text}" if name else text for name, text in parts.items()) + "\n"


def _name(heading: str) -> str:
    known = _CANONICAL.get(heading.upper())
    return known or ("findings" if _FILMS.search(heading) else heading.lower())
