"""`rejected.jsonl`: what may be said, among the shards, of the files that were not taken."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

_NAME = "rejected.jsonl"
# What may be said of a rejection where the name of its file may not.
_WORDS = {
    "missing_file": "the file is not there",
    "not_an_image": "a file of another kind",
    "unreadable": "the file is damaged",
    "truncated": "the file ends too early",
    "no_pixels": "it has no image",
    "not_a_radiograph": "it is of another modality",
    "multi_frame": "it has several frames",
    "missing_codec": "no decoder for its transfer syntax is installed",
    "crashed_codec": "its codec crashed",
    "too_small": "it has too few pixels",
    "too_large": "it has too many pixels",
    "constant": "it has one value everywhere",
    "bad_mask": "its mask is damaged or of another size",
    "bad_report": "its report is no text",
}


def list_rejected(out: Path, names: Path) -> tuple[dict[str, int], str]:
    """Write `rejected.jsonl`, which names no file; how many there are of each code, and the first in words."""
    reasons: Counter[str] = Counter()
    first = ""
    part = out / f"{_NAME}.part"
    with names.open(encoding="utf-8") as named, part.open("w") as file:
        for line in named:
            entry = json.loads(line)
            first = first or f"{entry['file']}: {entry['reason']}"
            reasons[entry["code"]] += 1
            words = _WORDS.get(entry["code"], "it is not what was expected")
            file.write(json.dumps({"file": entry["key"], "code": entry["code"], "reason": words}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(out / _NAME)
    return dict(reasons.most_common()), first
