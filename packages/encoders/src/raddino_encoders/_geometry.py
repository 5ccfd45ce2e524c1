"""Where an image of any shape lands on an encoder's square input. Images and masks share it, so they stay aligned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from raddino_encoders._errors import EncoderError

Fit = Literal["letterbox", "crop", "stretch"]


@dataclass(frozen=True)
class Placement:
    """An image is resized to (height, width), then put with its corner at (top, left) of the square input.

    Negative corners cut the image, positive ones leave a border. All in pixels.
    """

    height: int
    width: int
    top: int
    left: int


def place(height: int, width: int, side: int, fit: Fit, short_side: int | None = None) -> Placement:
    """The placement of a height x width image on a side x side input.

    Args:
        height: rows of the image.
        width: columns of the image.
        side: side of the input in pixels.
        fit: "letterbox" resizes the long side to `side` and keeps everything; "crop" resizes the short side and
            cuts the centre; "stretch" makes it square and doesn't keep the aspect ratio.
        short_side: length of the short side before the crop, where it differs from `side`.

    Raises:
        EncoderError: another `fit`.
    """
    if fit == "stretch":
        return Placement(side, side, 0, 0)
    short, long = min(height, width), max(height, width)
    if fit == "letterbox":
        lengths = {long: side, short: max(round(side * short / long), 1)}
    elif fit == "crop":
        # Rounded down, as torchvision and transformers do.
        short_side = max(short_side or side, side)
        lengths = {long: int(short_side * long / short), short: short_side}
    else:
        raise EncoderError(f"fit: expected one of {', '.join(get_args(Fit))}, got {fit!r}")
    rows, columns = lengths[height], lengths[width]
    return Placement(rows, columns, _start(side, rows), _start(side, columns))


def _start(side: int, length: int) -> int:
    """Half of what is left over: rounded down where there is a border, up (a smaller cut) where there is a crop."""
    return (side - length) // 2 if length < side else -((length - side) // 2)
