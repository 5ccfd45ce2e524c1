"""What may be done to a report's words, each rule by its name, in the order asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from raddino_reportgen._errors import ReportError
from raddino_reportgen.text._unseen import mentions_of_unseen
from raddino_reportgen.text._words import split_sentences


def _placeholders(text: str) -> str:
    """Marks of de-identification (MIMIC-CXR's `___`, Open-i's `XXXX`, `[** **]`) go, with the space before them."""
    return re.sub(r"[ \t]*(\[\*\*.*?\*\*\]|_{2,}|\bX{3,}\b)", "", text)


def _numbering(text: str) -> str:
    """Numbers of a list go: `1. Effusion. 2. Nodule.`"""
    return re.sub(r"(?:(?<=^)|(?<=\n)|(?<=[.;:] ))[ \t]*\d{1,2}[.)][ \t]+", "", text)


def _punctuation(text: str) -> str:
    """All but letters, digits, hyphens inside words and full stops goes."""
    text = re.sub(r"(?<![a-zA-Z0-9])-|-(?![a-zA-Z0-9])|[^a-zA-Z0-9.\s-]", " ", text)
    return re.sub(r"(?<!\d)\.(?!\d)|\.(?=\s|$)|(?<!\d)\.(?=\d)", " . ", text)


def _priors(text: str) -> str:
    """Sentences that compare with an earlier examination go: one image can't show them."""
    return " ".join(s for s in split_sentences(text) if "prior" not in mentions_of_unseen(s))


RULES: dict[str, Callable[[str], str]] = {
    "placeholders": _placeholders,
    "numbering": _numbering,
    "priors": _priors,
    "lower": str.lower,
    "punctuation": _punctuation,
    "whitespace": lambda text: " ".join(text.split()),
}


def clean(text: str, rules: Sequence[str] = ("whitespace",)) -> str:
    """The text after these rules of `RULES`, one after the other."""
    check_rules(rules)
    for name in rules:
        text = RULES[name](text)
    return text.strip()


def check_rules(rules: Sequence[str]) -> None:
    """Raise a `ReportError` for a rule that there isn't."""
    for name in rules:
        if name not in RULES:
            raise ReportError(f"expected cleaning rules of {', '.join(RULES)}; got {name!r}")
