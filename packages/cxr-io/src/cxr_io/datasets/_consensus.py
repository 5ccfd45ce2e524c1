"""Several readers of one image, and what they agree upon.

A finding is 1 where more than half of the readers marked it, 0 where none did, -1 (uncertain) between. A box stands
where more than half of the readers drew one of the same name that overlap by at least 0.4 (intersection over union);
it is their mean. Boxes are matched greedily in the order of readers, each with one box of a reader at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cxr_io.datasets._record import Box

_OVERLAP = 0.4


def consensus(marked: int, readers: int) -> int:
    """1, 0 or -1 of a finding that `marked` of `readers` saw."""
    return 1 if 2 * marked > readers else 0 if marked == 0 else -1


def agreed_boxes(drawn: Mapping[str, Iterable[Box]], readers: int) -> tuple[Box, ...]:
    """The boxes that more than half of the readers agree upon; `drawn` by reader."""
    groups: list[dict[str, Box]] = []
    for reader in sorted(drawn):
        for box in drawn[reader]:
            near = (g for g in groups if reader not in g and _overlap(_mean(g.values()), box) >= _OVERLAP)
            group = next(near, None)
            if group is None:
                groups.append({reader: box})
            else:
                group[reader] = box
    return tuple(_mean(group.values()) for group in groups if 2 * len(group) > readers)


def _mean(boxes: Iterable[Box]) -> Box:
    boxes = list(boxes)
    middle = {name: sum(getattr(box, name) for box in boxes) / len(boxes) for name in ("x", "y", "width", "height")}
    return replace(boxes[0], **middle)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union; 0 of boxes of different names."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if a.name != b.name or across <= 0 or down <= 0:
        return 0.0
    return across * down / (a.width * a.height + b.width * b.height - across * down)
