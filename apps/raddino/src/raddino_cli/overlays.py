"""Masks over radiographs, and the page that shows them beside the scores."""

from __future__ import annotations

import colorsys
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray
from raddino_seg import Masks

from raddino_cli.figures import Picture, grid, outline, png_uri
from raddino_cli.work.stages import write_text

_SHOWN = 6
_SIDE = 256


def write_page(
    path: Path, title: str, columns: list[str], rows: list[list[str]], classes: tuple[str, ...],
    seen: tuple[NDArray[np.uint8], Masks, Masks],
) -> None:  # fmt: skip
    """One HTML file of a table and a picture of the first images: grey (N, S, S), predicted masks, true masks."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("raddino_cli").joinpath("seg.html.jinja").read_text(encoding="utf-8"))
    legend = [(name, f"rgb{colour}") for name, colour in zip(classes, _colours(len(classes)), strict=True)]
    images, predicted, truth = seen
    picture = png_uri(overlays(images[:_SHOWN], predicted[:_SHOWN], truth[:_SHOWN], len(classes)))
    html = template.render(title=title, columns=columns, rows=rows, legend=legend, picture=picture)
    write_text(path, html)


def overlays(images: NDArray[np.uint8], predicted: Masks, truth: Masks, count: int) -> Picture:
    """A row of images (N, S, S), with what was predicted filled and the truth outlined, a colour a structure."""
    row = []
    for image, found, true in zip(images, predicted, truth, strict=True):
        wide = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
        picture = np.asarray(cv2.cvtColor(wide, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
        for k, colour in enumerate(_colours(count)):
            inside, drawn = (_wide(mask[k] if mask.ndim == 3 else mask == k + 1) for mask in (found, true))
            picture[inside] = (0.65 * picture[inside] + 0.35 * np.array(colour)).astype(np.uint8)
            outline(picture, drawn, colour)
        row.append(picture)
    return grid([row])


def _wide(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = cv2.resize(region.astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(wide > 0)


def _colours(count: int) -> list[tuple[int, int, int]]:
    """Hues that are far apart, from blue on."""
    turns = [colorsys.hsv_to_rgb((0.58 + k / max(count, 1)) % 1, 0.65, 0.9) for k in range(count)]
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in turns]
