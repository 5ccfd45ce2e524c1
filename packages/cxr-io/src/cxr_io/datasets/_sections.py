"""The parts of a radiology report."""

from __future__ import annotations

import re

# A heading is a line's beginning in capitals up to a colon, as MIMIC-CXR's reports have it.
_HEADING = re.compile(r"(?m)^[ \t]*([A-Z][A-Z ,/()&-]{2,60}?)[ \t]*:")
_NAMES = {
    "findings": ("FINDING", "FINDINGS", "REPORT", "FRONTAL AND LATERAL VIEWS OF THE CHEST"),
    "impression": ("IMPRESSION", "IMPRESSIONS", "CONCLUSION", "CONCLUSIONS", "OPINION", "SUMMARY"),
    "indication": (
        "INDICATION", "INDICATIONS", "HISTORY", "CLINICAL HISTORY", "CLINICAL INDICATION", "CLINICAL INFORMATION",
        "REASON FOR EXAM", "REASON FOR EXAMINATION", "REASON FOR STUDY",
    ),
    "technique": ("TECHNIQUE", "PROCEDURE"),
    "comparison": ("COMPARISON", "COMPARISONS", "COMPARISON STUDY"),
    "examination": ("EXAM", "EXAMINATION", "STUDY", "TYPE OF EXAMINATION"),
}  # fmt: skip
_CANONICAL = {heading: name for name, headings in _NAMES.items() for heading in headings}


def sections(report: str) -> dict[str, str]:
    """The text under each heading: findings, impression, indication, technique, comparison, examination.

    Synonyms share a name; a heading that isn't known keeps its own in small letters; what comes before the first is
    `""`. A name that comes twice has its texts joined by a blank line. Empty sections are left out.
    """
    parts = _HEADING.split(report)
    found: dict[str, list[str]] = {"": [parts[0]]}
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        found.setdefault(_CANONICAL.get(heading, heading.lower()), []).append(text)
    joined = {name: "\n\n".join(text for part in texts if (text := part.strip())) for name, texts in found.items()}
    return {name: text for name, text in joined.items() if text}
