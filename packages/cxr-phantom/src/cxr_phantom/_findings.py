"""What ails the chest, and what was put into it: each adds to the path lengths and marks where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_phantom._anatomy import Anatomy
from cxr_phantom._canvas import Canvas, Image, Mask, Points, tube_walls
from cxr_phantom._patient import DEVICES, FINDINGS, Finding, Patient

_LEAD = {"chest_tube": 0.22, "pacemaker": 1.6, "ecg_leads": 0.30}  # attenuation of the device, in -log of the beam


@dataclass
class Scene:
    """What lies in the beam, per pixel: `soft`, `bone` in mm; `air`, mm of aerated lung; `metal`, optical density."""

    canvas: Canvas
    anatomy: Anatomy
    soft: Image
    bone: Image
    air: Image
    lung: dict[int, Mask]
    masks: dict[str, NDArray[np.uint8] | NDArray[np.uint16]]
    boxes: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metal: Image = np.zeros_like(self.soft)

    def mark(self, name: str, mask: NDArray[np.bool_]) -> None:
        """Note where a finding or device is: a box, and a bit of its mask."""
        kind, names = ("findings", FINDINGS) if name in FINDINGS else ("devices", DEVICES)
        self.masks[kind] |= (mask.astype(np.uint8) << np.uint8(names.index(name))).astype(np.uint8)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
            self.boxes.setdefault(name, []).append(box)


def add_findings(scene: Scene, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the patient's findings; effusions last, for fluid lies over what is beneath it."""
    draw = {
        "pneumothorax": _pneumothorax,
        "edema": _edema,
        "fibrosis": _fibrosis,
        "consolidation": _consolidation,
        "nodule": _nodule,
        "pleural_effusion": _effusion,
        "rib_fracture": _fracture,
    }
    for name, function in draw.items():
        for finding in patient.findings:
            if finding.name == name:
                function(scene, finding, rng)
    if patient.labels()["cardiomegaly"]:
        scene.mark("cardiomegaly", scene.masks["heart"] > 0)


def add_devices(scene: Scene, patient: Patient, rng: np.random.Generator) -> None:
    """Draw tubes, pacemakers and leads."""
    draw = {"chest_tube": _chest_tube, "pacemaker": _pacemaker, "ecg_leads": _ecg_leads}
    for finding in patient.findings:
        if finding.name in draw:
            layer = np.zeros(scene.soft.shape, np.uint8)
            draw[finding.name](scene, finding, layer, rng)
            scene.metal += layer * np.float32(_LEAD[finding.name] / 255)
            scene.mark(finding.name, layer > 40)


def _effusion(scene: Scene, finding: Finding, _rng: np.random.Generator) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    lung = scene.lung[finding.side]
    lateral = np.clip(np.abs(canvas.x) / np.float32(anatomy.width), 0, 1)
    level = anatomy.bottom - (0.14 + 0.42 * finding.extent) * anatomy.height
    surface = np.float32(level) + np.float32(0.20 * anatomy.height) * (1 - lateral) ** 0.8
    wet = np.clip((canvas.y - surface) / np.float32(14), 0, 1) * lung
    scene.air *= 1 - np.float32(0.93) * wet
    scene.mark("pleural_effusion", wet > 0.3)


def _pneumothorax(scene: Scene, finding: Finding, _rng: np.random.Generator) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    lung = scene.lung[finding.side]
    outline = anatomy.lung(finding.side)
    hilum = np.array([finding.side * 30.0, anatomy.top + 0.45 * anatomy.height])
    shrink = 0.90 - 0.42 * finding.extent
    collapsed = hilum + (outline - hilum) * shrink
    collapsed[:, 1] += (1 - shrink) * 0.35 * anatomy.height
    kept = canvas.fill(collapsed) & lung
    free = (lung > 0) & (kept == 0) & (canvas.y < anatomy.bottom - 0.05 * anatomy.height)
    scene.air[free] = np.minimum(scene.air[free] * np.float32(1.33), scene.soft[free])
    smooth = cv2.GaussianBlur(scene.soft, (0, 0), 5 / canvas.mm)
    scene.soft[free] = np.minimum(scene.soft[free], smooth[free])  # no vessels beyond the pleura
    scene.air *= 1 - np.float32(0.25 * finding.extent) * kept
    line = np.zeros(lung.shape, np.uint8)
    canvas.lines(line, [(np.concatenate([collapsed, collapsed[:1]]), 1.4)])
    scene.soft += line * lung * np.float32(11 / 255) * (canvas.y < anatomy.bottom - 12)
    scene.mark("pneumothorax", free)


def _nodule(scene: Scene, finding: Finding, rng: np.random.Generator) -> None:
    x, y = scene.anatomy.at(finding.side, finding.depth_in_lung, 0.15 + 0.7 * finding.lateral)
    radius = 4 + 11 * finding.extent
    shape = np.zeros_like(scene.soft)
    scene.canvas.ellipsoid(shape, (x, y), (radius, radius * float(rng.uniform(0.85, 1.15))), 1.9 * radius)
    scene.air -= np.minimum(scene.air, 1.5 * shape)
    scene.mark("nodule", shape > 0)


def _consolidation(scene: Scene, finding: Finding, rng: np.random.Generator) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    x, y = anatomy.at(finding.side, finding.depth_in_lung, 0.2 + 0.6 * finding.lateral)
    radius = 24 + 34 * finding.extent
    shape = np.zeros_like(scene.soft)
    canvas.ellipsoid(shape, (x, y), (radius, radius * float(rng.uniform(0.7, 1.1))), 1.0, float(rng.uniform(-40, 40)))
    grain = sum(
        cv2.resize(rng.standard_normal((n, n), np.float32), (canvas.size, canvas.size), interpolation=cv2.INTER_CUBIC)
        / k
        for k, n in ((1, 14), (2, 32), (4, 70))
    )
    cloud = np.clip(1.5 * shape + np.float32(0.45) * grain - np.float32(0.45), 0, 1) * (shape > 0)
    scene.air *= 1 - np.float32(0.55 + 0.3 * finding.extent) * cloud * scene.lung[finding.side]
    scene.mark("consolidation", (cloud > 0.25) & (scene.lung[finding.side] > 0))


def _edema(scene: Scene, finding: Finding, rng: np.random.Generator) -> None:
    """Fluffy opacities around both hila; the lung between them stays full of air."""
    canvas, anatomy = scene.canvas, scene.anatomy
    hilum = anatomy.top + 0.48 * anatomy.height
    reach = np.float32(0.9 * anatomy.width)
    near = np.exp(-((canvas.x / reach) ** 2) - ((canvas.y - np.float32(hilum)) / (1.1 * reach)) ** 2)
    fluff = np.clip(_grain(canvas, 20, rng), -0.8, 2)
    _veil(scene, fluff * near, 0.16 + 0.34 * finding.extent)
    scene.mark("edema", (near > 0.6) & ((scene.lung[-1] | scene.lung[1]) > 0))


def _fibrosis(scene: Scene, finding: Finding, rng: np.random.Generator) -> None:
    """A net of strands, denser to the bases and the wall, with over-expanded lung in its meshes (honeycombing)."""
    canvas, anatomy = scene.canvas, scene.anatomy
    low = np.clip((canvas.y - np.float32(anatomy.top)) / np.float32(anatomy.height), 0, 1)
    where = 0.35 + 0.65 * low
    net = 0.65 - np.minimum(np.abs(_grain(canvas, 10, rng)), 1.5)
    _veil(scene, net * where, 0.16 + 0.34 * finding.extent)
    scene.mark("fibrosis", (where > 0.6) & ((scene.lung[-1] | scene.lung[1]) > 0))


def _grain(canvas: Canvas, mm: float, rng: np.random.Generator) -> Image:
    """Smooth noise of unit variance with blobs of about `mm` mm."""
    coarse = max(8, round(canvas.size * canvas.mm / mm))
    noise = cv2.resize(
        rng.standard_normal((coarse, coarse), np.float32), (canvas.size, canvas.size), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _veil(scene: Scene, pattern: Image, strength: float) -> None:
    """Let a pattern in [-2, 2] take the place of air (positive) or leave more of it (negative), inside the lungs."""
    scene.air *= 1 - np.float32(strength) * pattern
    np.minimum(scene.air, scene.soft, out=scene.air)


def _fracture(scene: Scene, finding: Finding, _rng: np.random.Generator) -> None:
    path, _ = scene.anatomy.rib(finding.side, finding.rib)
    x, y = path[int(finding.along_rib * len(path))]
    near = (scene.canvas.x - np.float32(x)) ** 2 + (scene.canvas.y - np.float32(y)) ** 2 < 15**2
    scene.mark("rib_fracture", near)


def _curve(points: list[tuple[float, float]], n: int = 40) -> Points:
    """A smooth path through these points (Catmull-Rom)."""
    p = np.array([points[0], *points, points[-1]], dtype=float)
    pieces = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        t = np.linspace(0, 1, n // (len(points) - 1) + 1)[:, None]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(pieces)


def _chest_tube(scene: Scene, finding: Finding, layer: Mask, _rng: np.random.Generator) -> None:
    anatomy, side = scene.anatomy, finding.side
    y = anatomy.top + 0.72 * anatomy.height
    entry = (side * (float(anatomy.wall(y)) + 34), y + 30)
    inside = (side * (float(anatomy.wall(y)) - 14), y)
    tip = anatomy.at(side, 0.15 + 0.4 * finding.height, 0.3)
    path = _curve([entry, inside, anatomy.at(side, 0.5, 0.62), tip])
    scene.canvas.lines(layer, [(path, 6.0)], 90)
    scene.canvas.lines(layer, [(edge, 1.3) for edge in tube_walls(path, 3.0)], 255)


def _pacemaker(scene: Scene, finding: Finding, layer: Mask, _rng: np.random.Generator) -> None:
    anatomy, side = scene.anatomy, finding.side
    x = side * (0.58 + 0.26 * finding.lateral) * anatomy.width
    y = anatomy.top + (0.12 + 0.2 * finding.height) * anatomy.height
    turn = np.linspace(0, 2 * np.pi, 40)
    can = np.stack(
        [
            np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.5 * 22,
            np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.5 * 18,
        ],
        1,
    )
    layer |= scene.canvas.fill(can + np.array([x, y])) * np.uint8(200)
    apex = (0.30 * anatomy.heart_width, anatomy.bottom - 0.16 * anatomy.height)
    atrium = (-18.0, anatomy.bottom - 0.34 * anatomy.height)
    start, vein = (x - side * 14, y - 16), (side * 0.25 * anatomy.width, anatomy.top + 0.13 * anatomy.height)
    cava = (-16.0, anatomy.top + 0.34 * anatomy.height)
    leads = [
        _curve([start, vein, cava, (-14.0, atrium[1] + 24), apex]),
        _curve([start, vein, cava, (-20.0, atrium[1] + 12), atrium]),
    ]
    scene.canvas.lines(layer, [(lead, 1.8) for lead in leads[: 1 + int(finding.extent > 0.5)]], 120)


def _ecg_leads(scene: Scene, _finding: Finding, layer: Mask, rng: np.random.Generator) -> None:
    anatomy, canvas = scene.anatomy, scene.canvas
    for side, height in ((-1, 0.08), (1, 0.08), (1, 0.85), (-1, 0.8))[: int(rng.integers(3, 5))]:
        x = side * (float(anatomy.wall(anatomy.top + max(height, 0.3) * anatomy.height)) - 6 + rng.normal(0, 8))
        y = anatomy.top + height * anatomy.height + rng.normal(0, 8)
        ring = np.linspace(0, 2 * np.pi, 24)
        canvas.lines(layer, [(np.stack([x + 4.5 * np.cos(ring), y + 4.5 * np.sin(ring)], 1), 3.0)], 255)
        end = (float(rng.normal(0, 60)), anatomy.bottom + 90)
        canvas.lines(layer, [(_curve([(x, y), (x * 0.8 + rng.normal(0, 12), (y + end[1]) / 2), end]), 1.2)], 200)
