"""Sentences of a report."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?;])(?<!\b\d\.)\s+(?=\S)|\n\s*\n|\n(?=[ \t]*(?:\d{1,2}[.)]|[-*])[ \t])")


def split_sentences(text: str) -> list[str]:
    """Sentences, clauses after a semicolon and items of a list, without the white space around; never an empty one."""
    return [sentence for part in _END.split(text) if (sentence := part.strip())]
