"""The one exception a user of raddino_encoders is meant to see."""

from __future__ import annotations

from collections.abc import Iterable


class EncoderError(ValueError):
    """Something the caller can mend: the message says what was expected, what came and what to do."""


def check_fit(source: object, missing: Iterable[str], surplus: Iterable[str], shapes: Iterable[str]) -> None:
    """Raise an EncoderError that lists each key of a weights file that doesn't fit its architecture."""
    lines = [
        *(f"missing {key}" for key in sorted(missing)),
        *(f"unexpected {key}" for key in sorted(surplus)),
        *(f"shape of {line}" for line in sorted(shapes)),
    ]
    if lines:
        raise EncoderError(
            f"{source}: expected weights that fit the architecture, got {len(lines)} keys that don't; "
            f"give the weights that belong to it: {'; '.join(lines)}"
        )
