"""Solids in millimetres, projected along the beam onto a grid of pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Mask = NDArray[np.uint8]
Points = NDArray[np.float64]
Box = tuple[slice, slice]
_SHIFT = 4  # OpenCV's fixed-point bits: polygons are placed to a sixteenth of a pixel


class Canvas:
    """A square detector of `size` pixels and `field_of_view` mm; x grows to the patient's left, y to the feet."""

    def __init__(
        self, size: int, field_of_view: float, shift: tuple[float, float] = (0.0, 0.0), rotation: float = 0.0
    ) -> None:
        self.size = size
        self.mm = field_of_view / size
        c, s = float(np.cos(np.deg2rad(rotation))), float(np.sin(np.deg2rad(rotation)))
        self._turn = np.array([[c, -s], [s, c]])
        self._shift = np.array(shift)
        axis = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) * np.float32(self.mm)
        u, v = (axis - np.float32(shift[0]))[None, :], (axis - np.float32(shift[1]))[:, None]
        self.x: Image = np.float32(c) * u + np.float32(s) * v
        self.y: Image = np.float32(c) * v - np.float32(s) * u

    def pixels(self, points: Points) -> Points:
        """Points (n, 2) in mm to pixel coordinates (x, y)."""
        at: Points = (points @ self._turn.T + self._shift) / self.mm + self.size / 2 - 0.5
        return at

    def box(self, points: Points, margin: float = 0.0) -> Box:
        """The part of the grid that holds these points and `margin` mm around them."""
        at = self.pixels(points)
        low = np.floor(at.min(axis=0) - margin / self.mm - 1).astype(int).clip(0, self.size)
        high = np.ceil(at.max(axis=0) + margin / self.mm + 2).astype(int).clip(0, self.size)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def fill(self, *polygons: Points) -> Mask:
        """1 inside any of these polygons, 0 elsewhere."""
        mask = np.zeros((self.size, self.size), np.uint8)
        for polygon in polygons:
            cv2.fillPoly(mask, [self._fixed(polygon)], 1, cv2.LINE_8, _SHIFT)
        return mask

    def fill_box(self, polygon: Points) -> tuple[Box, Mask]:
        """As `fill` for one polygon, but only the part of the grid that holds it; empty where it lies outside."""
        box = self.box(polygon)
        mask = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), np.uint8)
        if mask.size:
            corner = np.array([box[1].start, box[0].start])
            at = np.round((self.pixels(polygon) - corner) * (1 << _SHIFT)).astype(np.int32)
            cv2.fillPoly(mask, [at], 1, cv2.LINE_8, _SHIFT)
        return box, mask

    def lines(self, layer: Mask, paths: list[tuple[Points, float]], value: int = 255) -> None:
        """Draw smooth strokes (path, width in mm) into an 8-bit layer; thinner than a pixel becomes fainter."""
        ends = np.cumsum([len(path) for path, _ in paths])[:-1]
        alike: dict[tuple[int, int], list[NDArray[np.int32]]] = {}
        for at, (_, width) in zip(
            np.split(self._fixed(np.concatenate([p for p, _ in paths])), ends), paths, strict=True
        ):
            wide = width / self.mm
            alike.setdefault((max(1, round(wide)), int(value * min(1.0, wide))), []).append(at)
        for (thick, shade), strokes in sorted(alike.items()):
            cv2.polylines(layer, strokes, False, shade, thick, cv2.LINE_AA, _SHIFT)

    def ellipsoid(
        self, target: Image, centre: tuple[float, float], radii: tuple[float, float], depth: float, angle: float = 0.0
    ) -> None:
        """Add the chord, up to `depth` mm long, of an ellipsoid turned by `angle` degrees."""
        box = self.box(np.array([centre]), max(radii))
        c, s = np.float32(np.cos(np.deg2rad(angle))), np.float32(np.sin(np.deg2rad(angle)))
        dx, dy = self.x[box] - np.float32(centre[0]), self.y[box] - np.float32(centre[1])
        u, v = (c * dx + s * dy) / np.float32(radii[0]), (c * dy - s * dx) / np.float32(radii[1])
        target[box] += np.float32(depth) * np.sqrt(np.maximum(1 - u * u - v * v, 0))

    def add_tube(self, target: Image, outline: Points, radius: float, weight: float = 1.0) -> None:
        """Add `weight` times the chord of a round tube with this outline."""
        box, mask = self.fill_box(outline)
        if mask.size:
            target[box] += np.float32(weight) * chord(self.depth_inside(mask), radius)

    def depth_inside(self, mask: Mask) -> Image:
        """Distance in mm from each pixel inside the mask to its edge."""
        distance: Image = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
        distance -= np.float32(0.5)
        np.maximum(distance, 0, out=distance)
        distance *= np.float32(self.mm)
        return distance

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        return np.round(self.pixels(points) * (1 << _SHIFT)).astype(np.int32)


def tube(path: Points, radius: float | Points) -> Points:
    """The outline of a tube swept along a path (n, 2), `radius` mm thick on either side."""
    left, right = tube_walls(path, radius)
    return np.concatenate([left, right[::-1]])


def tube_walls(path: Points, radius: float | Points) -> tuple[Points, Points]:
    """The two walls of a tube, `radius` mm to either side of its path."""
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
    wide = np.broadcast_to(np.asarray(radius, dtype=float), (len(path),))[:, None]
    return path + normal * wide, path - normal * wide


def chord(edge: Image, radius: float) -> Image:
    """Length of the beam inside a round solid of `radius` mm, `edge` mm within its outline."""
    r = np.float32(radius)
    near = np.minimum(edge, r)
    near *= 2 * r - near  # r^2 - (r - e)^2
    np.sqrt(near, out=near)
    near *= 2
    return near
