"""Where an image of any shape lands on an encoder's square input. Images and masks share it, so they stay aligned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from raddino_encoders._errors import EncoderError

Fit = Literal["letterbox", "crop"]


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
    """The placement of a height x width image on a side x side input; the aspect ratio is kept.

    Args:
        height: rows of the image.
        width: columns of the image.
        side: side of the input in pixels.
        fit: "letterbox" resizes the long side to `side` and keeps everything; "crop" resizes the short side and
            cuts the centre.
        short_side: length of the short side before the crop, where it differs from `side`.

    Raises:
        EncoderError: another `fit`.
    """
    if fit == "letterbox":
        scale = side / max(height, width)
    elif fit == "crop":
        scale = max(short_side or side, side) / min(height, width)
    else:
        raise EncoderError(f"fit: expected one of {', '.join(get_args(Fit))}, got {fit!r}")
    # At least 2: torch's antialiased cubic gives wrong pixels for a width of 1 (seen in torch 2.15).
    rows, columns = max(round(height * scale), 2), max(round(width * scale), 2)
    # Floor division for negative numbers as well: torchvision's and transformers' centre crops round alike.
    return Placement(rows, columns, (side - rows) // 2, (side - columns) // 2)
