"""Values that change over training, as functions of the step."""

from __future__ import annotations

import math


def cosine_schedule(
    step: int, *, base: float, final: float, total: int, warmup: int = 0, start: float = 0.0, freeze: int = 0
) -> float:
    """0 for `freeze` steps, linear warm-up from `start` to `base` inclusive, then a cosine to `final`.

    As in dinov2 the warm-up's last value equals `base` and the cosine's first is `base` again; `final` is reached
    only from step `total` on.
    """
    if step >= total:
        return final
    if step < freeze:
        return 0.0
    if step < freeze + warmup:
        return start + (base - start) * (step - freeze) / (warmup - 1) if warmup > 1 else start
    progress = (step - freeze - warmup) / (total - freeze - warmup)
    return final + 0.5 * (base - final) * (1 + math.cos(math.pi * progress))


def warmup_schedule(step: int, *, start: float, end: float, warmup: int) -> float:
    """Linear from `start` to `end` over `warmup` steps, then constant (the teacher's temperature)."""
    return cosine_schedule(step, base=end, final=end, total=warmup, warmup=warmup, start=start)
