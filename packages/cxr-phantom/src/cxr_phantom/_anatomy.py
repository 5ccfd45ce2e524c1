"""Where things are: outlines and paths in mm, for one patient, before any beam passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_phantom._canvas import Points
from cxr_phantom._patient import Patient

_QUARTERS = np.linspace(0, 1, 4)
SIDES = (-1, 1)  # the patient's right, drawn on the left of the picture, and left


@dataclass(frozen=True)
class Anatomy:
    """The measures that the outlines share. y runs from the lung apex `top` to the costophrenic angle `bottom`."""

    patient: Patient
    top: float
    bottom: float
    width: float
    depth: float
    heart_width: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def wall(self, y: Points | float) -> Points:
        """Half width of the rib cage at the height y."""
        t = np.clip((np.asarray(y, dtype=float) - self.top) / self.height, 0.0, 1.0)
        return self.width * np.sqrt(1 - (1 - t) ** self.patient.thorax_shape)

    def at(self, side: int, height: float, lateral: float) -> tuple[float, float]:
        """A point of a lung: `height` from 0 at the apex to 1 at the base, `lateral` from 0 at the hilum to 1."""
        y = self.top + height * self.height
        inner = 34 + 14 * height * (side > 0)
        return float(side * (inner + lateral * (float(self.wall(y)) - inner - 8))), float(y)

    def lung(self, side: int) -> Points:
        """Outline of one lung; the left one starts beside the heart."""
        t = np.linspace(0.0, 1.0, 40) ** 1.6
        y = self.top + t * self.height
        wall = np.stack([np.maximum(self.wall(y) - 5, 2), y], axis=1)
        x = np.linspace(self.width - 5, 22, 30)
        dome = self.bottom - (46 if side < 0 else 34) * self.patient.exposure.inspiration
        middle = 0.55 * self.width
        rise = np.abs(x - middle) / (self.width - middle)
        base = np.stack(
            [x, dome + (self.bottom - dome) * np.minimum(rise, 1.0) ** 2.3 * np.where(x < middle, 0.35, 1)], 1
        )
        y = np.linspace(float(base[-1, 1]), self.top + 4, 12)
        u = (y - self.top) / self.height
        middle_edge = np.stack([12 + 12 * np.sin(np.pi * np.clip(u, 0, 1)) ** 0.7, y], axis=1)
        middle_edge[-1, 0] = 14
        points = np.concatenate([wall, base, middle_edge])
        points[:, 0] *= side
        return points

    def rib(self, side: int, number: int) -> tuple[Points, Points]:
        """Centre lines of rib 1..12: the part behind the lung and the part before it (empty for 11 and 12)."""
        k = number - 1
        y0 = self.top - 14 + k * self.height / 10.2
        drop = (16 + 62 * np.sin(np.pi * min(k + 1, 9) / 14)) * self.height / 250
        reach = float(self.wall(y0 + 0.5 * drop + 6)) + 3
        last = {11: 62.0, 12: 40.0}.get(number, 152.0 - 4 * (number > 7) * (number - 7))

        def path(start: float, end: float) -> Points:
            a = np.deg2rad(np.linspace(start, end, 28))
            y = y0 + drop * (1 - np.cos(a)) / 2 - 7 * np.sin(np.minimum(2 * a, np.pi))
            return np.stack([side * np.maximum(reach * np.sin(a), 12 * (a < 1)), y], axis=1)

        return path(6, min(last, 100)), path(80, last) if last > 100 else np.empty((0, 2))

    def clavicle(self, side: int) -> Points:
        s = np.linspace(0, 1, 24)
        x = 16 + s * (self.width + 12)
        y = self.top + 34 - 30 * s - 9 * np.sin(2 * np.pi * s)
        twist = self.patient.exposure.twist
        return np.stack([side * x + twist, y], axis=1)

    def scapula(self, side: int) -> Points:
        """A blade, turned out of the lungs on a PA film and over them on an AP one."""
        over = 26 if self.patient.exposure.view == "AP" else 0
        outer = float(self.wall(self.top + 0.35 * self.height)) + 30 - over
        shape = np.array([[34, -8], [8, 8], [-20, 18], [-12, 60], [2, 118], [14, 70], [30, 30]], dtype=float)
        return np.stack([side * (outer + shape[:, 0] - 6), self.top + 8 + shape[:, 1] * self.height / 250], axis=1)

    def vessels(self, side: int, rng: np.random.Generator) -> list[tuple[Points, float]]:
        """The branching tree of one lung: (path, width in mm), thinning outwards."""
        root = np.array([side * 36.0, self.top + (0.44 if side < 0 else 0.41) * self.height])
        segments: list[tuple[Points, float]] = []

        def grow(start: Points, angle: float, length: float, width: float, depth: int) -> None:
            bend = rng.normal(0, 0.25)
            turned = angle + bend * _QUARTERS
            path = np.empty((5, 2))
            path[0] = start
            path[1:, 0] = start[0] + side * (length / 4) * np.cos(turned).cumsum()
            path[1:, 1] = start[1] + (length / 4) * np.sin(turned).cumsum()
            segments.append((path, width))
            if depth:
                for turn in (rng.uniform(0.2, 0.5), -rng.uniform(0.2, 0.5)):
                    grow(path[-1], angle + bend + turn, length * rng.uniform(0.6, 0.85), width * 0.62, depth - 1)

        for angle in np.linspace(-1.35, 1.45, 7):
            reach = self.height * (0.16 + 0.05 * abs(np.sin(angle)))
            grow(root, float(angle + rng.normal(0, 0.1)), reach * rng.uniform(0.85, 1.15), rng.uniform(3.6, 5.4), 3)
        return segments


def anatomy_of(patient: Patient) -> Anatomy:
    """The measures of a patient on this film: inspiration lowers the diaphragm, AP enlarges the heart."""
    exposure = patient.exposure
    height = patient.lung_height * exposure.inspiration
    ratio = patient.heart + (0.03 if exposure.view == "AP" else 0.0) + 0.15 * (1 - exposure.inspiration)
    for finding in patient.findings:
        if finding.name == "cardiomegaly":
            ratio = max(ratio, 0.5) + 0.05 + 0.12 * finding.extent
    depth = 188 + 5.5 * (patient.bmi - 24) + (12 if patient.sex == "M" else 0)
    top = -0.52 * patient.lung_height
    return Anatomy(patient, top, top + height, patient.thorax_width, depth, 2 * patient.thorax_width * ratio)
