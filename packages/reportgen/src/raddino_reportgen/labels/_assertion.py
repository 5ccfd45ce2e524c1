"""Whether a sentence asserts, denies or doubts what it names: cues before and after, each up to where its clause ends.

The scheme is NegEx's (Chapman et al. 2001), with cues of doubt beside those of denial as in the CheXpert labeller; the
cues are in `cues.toml`.
"""

from __future__ import annotations

import re
import tomllib
from enum import IntEnum
from functools import cache
from importlib.resources import files

_REACH = 60  # characters that a cue after a finding may lie away


class Status(IntEnum):
    """What a report says of a finding, in CheXpert's numbers."""

    PRESENT = 1
    ABSENT = 0
    UNCERTAIN = -1


def assess(sentence: str, start: int, end: int) -> Status:
    """What a sentence, in small letters, says of its characters `start` to `end`.

    A cue before holds up to the finding unless the clause ends in between; one after must be near. Doubt that is denied
    ("no suspicious") is denial; denial that is doubted ("cannot be excluded") is doubt.
    """
    cues = _cues()
    plain = cues["not_denial"].sub(_blank, sentence)
    kept = cues["not_excluded"].sub(_blank, plain)
    begin = max((match.end() for match in cues["ends"].finditer(kept, 0, start)), default=0)
    stop = next((match.start() for match in cues["ends"].finditer(kept, end)), len(kept))
    stop = min(stop, end + _REACH)
    before, after = kept[begin:start], kept[end:stop]
    if cues["denial_after"].search(after):
        return Status.ABSENT
    if cues["doubt_after"].search(after) or cues["not_excluded"].search(plain[end:stop]):
        return Status.UNCERTAIN
    if cues["denial_before"].search(before):
        return Status.ABSENT
    if cues["doubt_before"].search(before) or cues["not_excluded"].search(plain[begin:start]):
        return Status.UNCERTAIN
    return Status.PRESENT


@cache
def _cues() -> dict[str, re.Pattern[str]]:
    table = tomllib.loads((files("raddino_reportgen.labels") / "cues.toml").read_text("utf-8"))
    found = {name: re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)") for name, patterns in table.items()}
    return found | {"ends": re.compile("|".join(table["ends"]))}  # which has its own edges of words


def _blank(match: re.Match[str]) -> str:
    return "~" * len(match.group())
