"""The parts of a radiology report."""

from __future__ import annotations

import re

_HEADINGS = "FINDINGS|IMPRESSION|INDICATION|TECHNIQUE|COMPARISON|HISTORY|CONCLUSION"


def sections(report: str) -> dict[str, str]:
    """The text under each heading in capitals, by its lower-case name; text before any heading is `""`."""
    parts = re.split(rf"(?m)^\s*({_HEADINGS})\s*:", report)
    found = {"": parts[0].strip()} if parts[0].strip() else {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        found[name.lower()] = text.strip()
    return found
