"""`rejected.jsonl`: what may be said, among the shards, of the files that were not taken."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

_NAME = "rejected.jsonl"
# Whose reasons hold nothing of a file but sizes, counts and words of the standard; any other may name it or quote it.
_PRECISE = frozenset({
    "unreadable", "truncated", "no_pixels", "not_a_radiograph", "multi_frame", "volume", "missing_codec",
    "crashed_codec", "too_small", "too_large", "constant", "excluded",
})  # fmt: skip
_GENERAL = {
    "missing_file": "expected a file, found none",
    "not_an_image": "expected DICOM, PNG, JPEG, TIFF or NIfTI, got a file of another kind",
    "bad_mask": "expected a mask of the image's size that decodes and has a plain name",
    "bad_report": "expected a report in UTF-8",
}
_OTHERWISE = "expected a radiograph; the exact reason is beside the folder of shards"


def list_rejected(out: Path, names: Path) -> tuple[dict[str, int], str]:
    """Write `rejected.jsonl`, which names no file; how many there are of each code, and the first in words."""
    reasons: Counter[str] = Counter()
    first = ""
    part = out / f"{_NAME}.part"
    with names.open(encoding="utf-8") as named, part.open("w") as file:
        for line in named:
            entry = json.loads(line)
            first = first or f"{entry['file']}: {entry['reason']}"
            code, reason = entry["code"], entry["reason"]
            told = reason if code in _PRECISE else _GENERAL.get(code, _OTHERWISE)
            reasons[code] += 1
            file.write(json.dumps({"file": entry["key"], "code": code, "reason": told}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(out / _NAME)
    return dict(reasons.most_common()), first
