"""What a report says that one image can't show: an earlier examination, sex, age, what a patient feels or was told."""

from __future__ import annotations

import re

_PATTERNS = {
    "prior": (
        r"previous(ly)?|prior (exam\w*|stud\w+|radiograph\w*|film\w*|chest|image\w*|ct)|(since|from|to) (the )?"
        r"(prior|previous|last)|compar(ed|ison|ing)|interval\w*|unchanged|again (seen|noted|demonstrated)|"
        r"(no|without|significant|little) (significant )?change|stable|new(ly)?|worsen\w*|improv\w+|"
        r"(in|de)creas(ed|ing) (in|from|since)|persist\w*|resolv\w+|redemonstrat\w+|remain(s|ed)?|no longer|now|"
        r"progress\w+"
    ),
    "sex": r"m[ae]n|wom[ae]n|(fe)?male|gentleman|lady|he|she|his|hers?",
    "age": r"\d{1,3}[- ]?(y(ea)?rs?[- ]?old|yo|y/o)|age[ds]? \d+|elderly|young",
    "history": (r"history of|h/o|complain\w*|presents? with|symptom\w*|fevers?|coughs?|chest pain|shortness of breath"),
    "notification": r"(was|were) (discussed|communicated|notified|paged|informed)|by (tele)?phone|dr",
}
_COMPILED = {kind: re.compile(rf"\b({pattern})\b") for kind, pattern in _PATTERNS.items()}
UNSEEN = tuple(_PATTERNS)


def mentions_of_unseen(text: str) -> set[str]:
    """Which of `UNSEEN` a text mentions: prior, sex, age, history, notification."""
    lower = text.lower()
    return {kind for kind, pattern in _COMPILED.items() if pattern.search(lower)}
