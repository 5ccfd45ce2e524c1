"""One radiograph: solids in the beam, attenuation (Beer-Lambert), scatter, noise, and the maker's processing.

Attenuation per mm is that of water and cortical bone at the effective energy of the tube voltage (NIST XCOM tables,
rounded); lungs are taken as a quarter as dense as water.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_phantom._anatomy import SIDES, Anatomy, anatomy_of
from cxr_phantom._canvas import Canvas, Image, Mask, Points, chord, tube, tube_walls
from cxr_phantom._findings import Scene, add_devices, add_findings
from cxr_phantom._patient import Patient
from cxr_phantom._report import write_report

_FINEST = 256  # smaller pictures are drawn at twice or more their size and averaged, so that ribs stay smooth
_LUNG_AIR = np.float32(0.75)


@dataclass(frozen=True)
class Phantom:
    """A radiograph and everything that is true of it.

    `pixels` (H, W) uint16 as stored, in the sense of `inverted` (MONOCHROME1). `masks`: `lungs` (1 the patient's
    right, 2 left), `zones` (1-3 right upper to lower, 4-6 left), `heart` (1), `ribs_right` and `ribs_left` (bit k is
    rib k+1), `findings` (bit k is `FINDINGS[k]`), `devices` (bit k is
    `DEVICES[k]`). `boxes`: per finding or device (x0, y0, x1, y1) in pixels.
    """

    pixels: NDArray[np.uint16]
    masks: dict[str, NDArray[np.uint8] | NDArray[np.uint16]]
    labels: dict[str, int]
    boxes: dict[str, list[tuple[int, int, int, int]]]
    report: str
    bits: int
    inverted: bool
    spacing_mm: float


def render(patient: Patient, size: int) -> Phantom:
    """Take one radiograph of a patient, `size` x `size` pixels (32 to 4096)."""
    fine = size * -(-_FINEST // size)
    exposure = patient.exposure
    canvas = Canvas(fine, exposure.field_of_view, exposure.shift, exposure.rotation)
    anatomy = anatomy_of(patient)
    rng = np.random.default_rng((patient.texture_seed, patient.visit))
    scene = _stand(canvas, anatomy, np.random.default_rng(patient.texture_seed))
    add_findings(scene, patient, rng)
    add_devices(scene, patient, rng)
    pixels = _expose(scene, patient, rng)
    masks: dict[str, Any] = dict(scene.masks)
    masks["zones"] = _zones(canvas, anatomy, masks["lungs"])
    if fine != size:
        step = fine // size
        masks = {name: np.ascontiguousarray(mask[step // 2 :: step, step // 2 :: step]) for name, mask in masks.items()}
        pixels = cast(Image, cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA))
    top = (1 << exposure.bits) - 1
    stored = np.round(pixels * top).clip(0, top).astype(np.uint16)
    return Phantom(
        pixels=(top - stored).astype(np.uint16) if exposure.inverted else stored,
        masks=masks,
        labels=patient.labels(),
        boxes={name: [_scaled(box, size / fine, size) for box in boxes] for name, boxes in scene.boxes.items()},
        report=write_report(patient),
        bits=exposure.bits,
        inverted=exposure.inverted,
        spacing_mm=exposure.field_of_view / size,
    )


def _scaled(box: tuple[int, int, int, int], by: float, size: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    low = [min(int(v * by), size - 1) for v in (x0, y0)]
    high = [min(max(int(np.ceil(v * by)), least + 1), size) for v, least in zip((x1, y1), low, strict=True)]
    return low[0], low[1], high[0], high[1]


def _stand(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> Scene:
    """The healthy body in the beam: mm of water, of cortical bone and of air-filled lung along each ray."""
    patient = anatomy.patient
    soft = _torso(canvas, anatomy)
    bone = np.zeros_like(soft)
    outlines = {side: anatomy.lung(side) for side in SIDES}
    sides = {side: canvas.fill(outline) for side, outline in outlines.items()}
    lungs = sides[-1] | sides[1]
    inner = np.minimum(canvas.depth_inside(lungs) / np.float32(46), 1)
    air = np.float32(0.74 * anatomy.depth) * np.sqrt(inner * (2 - inner))
    heart, hidden = _heart(canvas, anatomy)
    air -= np.minimum(air, hidden)
    _great_vessels(canvas, anatomy, soft, bone, air)
    _breasts(canvas, anatomy, soft)
    canvas.ellipsoid(soft, (0.45 * anatomy.width, anatomy.bottom - 8), (34, 22), -38)  # gas in the stomach
    _vessels(canvas, anatomy, soft, lungs, rng)
    ribs = _ribs(canvas, anatomy, bone)
    _cartilage(canvas, anatomy, bone, rng)
    _spine(canvas, anatomy, bone)
    for side in SIDES:
        s = np.linspace(0, 1, 24)
        canvas.add_tube(bone, tube(anatomy.clavicle(side), 5.5 + 2.5 * np.abs(2 * s - 1)), 6.0, 0.75 * patient.bone)
        blade = canvas.depth_inside(canvas.fill(anatomy.scapula(side)))
        bone += np.float32(patient.bone) * (2.2 * np.minimum(blade, 2) + 1.6 * (blade > 0)) * np.float32(0.5)
    masks: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {
        "heart": heart,
        "lungs": ((sides[-1] + 2 * (sides[1] & ~sides[-1] & 1)) * (1 - heart)).astype(np.uint8),
        **ribs,
        "findings": np.zeros((canvas.size, canvas.size), np.uint8),
        "devices": np.zeros((canvas.size, canvas.size), np.uint8),
    }
    return Scene(canvas, anatomy, soft, bone, air, sides, masks)


def _torso(canvas: Canvas, anatomy: Anatomy) -> Image:
    patient = anatomy.patient
    fat = 7 + 2.4 * max(patient.bmi - 19, 0)
    y = np.linspace(-canvas.size * canvas.mm, canvas.size * canvas.mm, 257)
    neck = 1 / (1 + np.exp((y - anatomy.top + 12) / 7))
    shoulder = 1 / (1 + np.exp((y - anatomy.top - 52) / 16))
    chest = np.maximum(anatomy.wall(np.clip(y, anatomy.top + 0.3 * anatomy.height, anatomy.bottom)), 60) + 12 + fat
    width = neck * (58 + 0.4 * fat) + (1 - neck) * (shoulder * (anatomy.width + 62 + fat) + (1 - shoulder) * chest)
    depth = anatomy.depth * (0.62 * neck + (1 - neck) * (0.8 * shoulder + (1 - shoulder)))
    coarse = cv2.resize(canvas.y, (canvas.size // 4, canvas.size // 4), interpolation=cv2.INTER_AREA)
    half, thick = (
        cv2.resize(
            np.interp(coarse, y, values).astype(np.float32), canvas.y.shape[::-1], interpolation=cv2.INTER_LINEAR
        )
        for values in (width, depth)
    )
    u = canvas.x / half
    path: Image = thick * np.sqrt(np.maximum(1 - u * u, 0))
    return path


def _heart(canvas: Canvas, anatomy: Anatomy) -> tuple[Mask, Image]:
    """Mask of the heart and the mm of lung that it displaces."""
    wide, twist = anatomy.heart_width, anatomy.patient.exposure.twist
    y = anatomy.bottom - 0.285 * anatomy.height
    hidden = np.zeros((canvas.size, canvas.size), np.float32)
    left, right = 0.66 * wide, 0.34 * wide
    canvas.ellipsoid(
        hidden, (0.40 * left + twist, y + 6), (0.66 * left + 2, 0.19 * anatomy.height + 0.1 * wide), 170, 24
    )
    canvas.ellipsoid(hidden, (-0.30 * right + twist, y), (0.70 * right + 3, 0.19 * anatomy.height), 150, -8)
    mask = ((hidden > 0) & (canvas.y < anatomy.bottom - 6)).astype(np.uint8)
    hidden *= np.float32(1.25)
    return mask, hidden


def _great_vessels(canvas: Canvas, anatomy: Anatomy, soft: Image, bone: Image, air: Image) -> None:
    patient, r = anatomy.patient, anatomy.patient.aorta
    arch = anatomy.top + 0.27 * anatomy.height
    x = 17 + 0.5 * r + patient.exposure.twist
    hidden = np.zeros_like(soft)
    canvas.ellipsoid(hidden, (x, arch), (r, r * 1.05), 4.6 * r)
    s = np.linspace(0, 1, 20)
    winding = 9 * max(patient.age - 50, 0) / 30
    down = np.stack([x + 0.25 * r - 14 * s + winding * np.sin(np.pi * s), arch + s * 0.6 * anatomy.height], axis=1)
    canvas.add_tube(hidden, tube(down, 0.62 * r), 0.62 * r, 2.0)
    canvas.ellipsoid(hidden, (-21 - 0.2 * r, arch + 12), (10 + 0.2 * r, 0.17 * anatomy.height), 36)  # vena cava
    for side in SIDES:
        canvas.ellipsoid(hidden, (side * 38, arch + 0.16 * anatomy.height), (13, 21), 34, side * 20.0)
    air -= np.minimum(air, hidden)
    if patient.calcified > 0:
        turn = np.linspace(-1.6, 1.1, 20)
        shell = np.stack([x + (r - 1) * np.cos(turn), arch + (r - 1) * np.sin(turn)], axis=1)
        layer = np.zeros(soft.shape, np.uint8)
        canvas.lines(layer, [(shell, 1.8)])
        bone += layer * np.float32(3.2 * patient.calcified / 255)
    trachea = np.array([[1.0, anatomy.top - 60], [2.0, anatomy.top + 20], [4.0, arch + 22]])
    path = np.stack([np.interp(s, (0, 0.6, 1), trachea[:, i]) for i in (0, 1)], axis=1)
    canvas.add_tube(soft, tube(path, 8.5), 8.5, -1.0)
    for side, drop in ((-1, 24.0), (1, 18.0)):
        branch = path[-1] + np.stack([side * 34 * s, drop * s], axis=1)
        canvas.add_tube(soft, tube(branch, 6.0), 6.0, -0.8)


def _breasts(canvas: Canvas, anatomy: Anatomy, soft: Image) -> None:
    size = anatomy.patient.breast
    if size < 0.12:
        return
    for side in SIDES:
        centre = (side * 0.60 * anatomy.width, anatomy.top + (0.66 + 0.08 * size) * anatomy.height)
        radii = (36 + 26 * size, 34 + 32 * size)
        box = canvas.box(np.array([centre]), max(radii))
        shape = np.zeros_like(soft)
        canvas.ellipsoid(shape, centre, radii, 14 + 46 * size)
        below = 1 / (1 + np.exp(-(canvas.y[box] - np.float32(centre[1] - 14)) / np.float32(16)))
        soft[box] += shape[box] * below  # the upper pole blends into the chest wall


def _vessels(canvas: Canvas, anatomy: Anatomy, soft: Image, lungs: Mask, rng: np.random.Generator) -> None:
    layer = np.zeros(soft.shape, np.uint8)
    for side in SIDES:
        canvas.lines(layer, [(path, width) for path, width in anatomy.vessels(side, rng) if width > 0.7], 230)
    soft += cv2.GaussianBlur(layer * lungs, (0, 0), max(0.5, 0.6 / canvas.mm)).astype(np.float32) * np.float32(9 / 255)


def _ribs(canvas: Canvas, anatomy: Anatomy, bone: Image) -> dict[str, NDArray[np.uint16]]:
    patient = anatomy.patient
    broken = {
        (finding.side, finding.rib): finding.along_rib for finding in patient.findings if finding.name == "rib_fracture"
    }
    back_radius, front_radius = 0.43 * patient.rib_width, 0.5 * patient.rib_width
    masks: dict[str, NDArray[np.uint16]] = {}
    behind: list[Points] = []
    before: list[Points] = []
    for side in SIDES:
        bits = np.zeros((canvas.size, canvas.size), np.uint16)
        for number in range(1, 13):
            back, front = anatomy.rib(side, number)
            pieces = _break(back, broken.get((side, number)))
            outlines = [tube(piece, back_radius if number > 1 else 6.5) for piece in pieces]
            behind += outlines
            if len(front):
                thin = np.linspace(1.0, 1.15, len(front)) * front_radius
                outlines.append(tube(front, thin))
                before.append(outlines[-1])
            for outline in outlines:
                box, mask = canvas.fill_box(outline)
                bits[box] |= mask.astype(np.uint16) << np.uint16(number - 1)
        masks["ribs_right" if side < 0 else "ribs_left"] = bits
    for outlines, radius, weight in ((behind, back_radius, 2.0), (before, front_radius, 1.3)):
        edge = canvas.depth_inside(canvas.fill(*outlines))
        marrow = np.maximum(edge - np.float32(1.1), 0)
        solid = chord(edge, radius) - np.float32(0.72) * chord(marrow, radius - 1.1)
        bone += np.float32(weight * patient.bone) * solid
    return masks


def _cartilage(canvas: Canvas, anatomy: Anatomy, bone: Image, rng: np.random.Generator) -> None:
    """Calcified costal cartilage, from middle age on: along its edges in men, along its middle in women.

    The pattern of either sex is after Navani, Shah and Levy 1970; how much there is follows the patient's `calcified`.
    """
    patient = anatomy.patient
    spots: list[tuple[Points, float]] = []
    for side in SIDES:
        for number in range(2, 9):
            _, front = anatomy.rib(side, number)
            end = front[-1]
            to_sternum = np.array([-side * 0.75 * max(abs(end[0]) - 18, 6), -1.5 * number])
            middle = end + np.linspace(0, 1, 12)[:, None] * to_sternum
            lines = tube_walls(middle, 0.42 * patient.rib_width) if patient.sex == "M" else (middle,)
            for line in lines:
                here = line[rng.random(len(line)) < 0.45 * patient.calcified]
                at = here + rng.normal(0, 1.0, here.shape)
                spots += [(np.stack([p, p + 0.5]), float(rng.uniform(3, 6))) for p in at]
    if spots:
        layer = np.zeros(bone.shape, np.uint8)
        canvas.lines(layer, spots, 200)
        blurred = cv2.GaussianBlur(layer, (0, 0), max(0.5, 0.8 / canvas.mm)).astype(np.float32)
        bone += blurred * np.float32(9 * patient.bone / 255)


def _break(path: Points, where: float | None) -> list[Points]:
    """A rib in one piece, or in two whose ends have slipped by some millimetres."""
    if where is None:
        return [path]
    cut = int(where * len(path))
    return [path[:cut], path[cut:] + np.array([2.0, 6.5])]


def _spine(canvas: Canvas, anatomy: Anatomy, bone: Image) -> None:
    patient = anatomy.patient
    tall, gap = 0.083 * anatomy.patient.lung_height, 3.5 - 1.2 * max(patient.age - 50, 0) / 40
    layer = np.zeros(bone.shape, np.uint8)
    knobs: list[tuple[Points, float]] = []
    for level in range(-4, 16):
        y = anatomy.top - 8 + level * (tall + gap)
        half = 14 + 0.45 * max(level, 0)
        body = np.array(
            [
                [-half, y],
                [-half + 2, y + tall / 2],
                [-half, y + tall],
                [half, y + tall],
                [half - 2, y + tall / 2],
                [half, y],
            ]
        )
        cv2.fillPoly(layer, [np.round(canvas.pixels(body) * 16).astype(np.int32)], 150, cv2.LINE_AA, 4)
        for x in (-0.62 * half, 0.0, 0.62 * half):
            spot = np.array([[x, y + 0.35 * tall], [x, y + 0.6 * tall + (4 if x == 0 else 0)]])
            knobs.append((spot, 5.0))
    canvas.lines(layer, knobs, 235)
    bone += cv2.GaussianBlur(layer, (0, 0), max(0.5, 0.8 / canvas.mm)).astype(np.float32) * np.float32(
        11 * patient.bone / 255
    )


def _zones(canvas: Canvas, anatomy: Anatomy, lungs: NDArray[np.uint8] | NDArray[np.uint16]) -> Mask:
    third = np.clip((canvas.y - np.float32(anatomy.top)) / np.float32(anatomy.height / 3), 0, 2.99).astype(np.uint8)
    return np.where(lungs > 0, 3 * (np.maximum(lungs, 1) - 1) + third + 1, 0).astype(np.uint8)


def _expose(scene: Scene, patient: Patient, rng: np.random.Generator) -> Image:
    """From path lengths to a picture in [0, 1], bright where the body is dense."""
    exposure, canvas = patient.exposure, scene.canvas
    hard = (exposure.kvp - 70) / 65  # a harder beam tells bone from water less well
    water, cortical = 0.0205 - 0.0035 * hard, 0.043 - 0.019 * hard
    path = np.maximum(scene.soft - _LUNG_AIR * np.minimum(scene.air, scene.soft), 0)
    primary = np.exp(-np.float32(water) * path - np.float32(cortical) * scene.bone - scene.metal)
    small = cv2.resize(primary, (32, 32), interpolation=cv2.INTER_AREA)
    glare = cv2.resize(cv2.GaussianBlur(small, (0, 0), 3.0), (canvas.size, canvas.size), interpolation=cv2.INTER_CUBIC)
    signal = primary + np.float32(exposure.scatter) * np.maximum(glare, 0)
    noise = rng.standard_normal(signal.shape, np.float32)
    pitch = canvas.mm / 0.4  # photons are per pixel of 0.4 mm
    signal += noise * np.sqrt(signal / np.float32(exposure.photons * pitch * pitch))
    dense = -np.log(np.maximum(signal, np.float32(2e-4)))
    rows, columns = slice(canvas.size // 8, -canvas.size // 8), slice(canvas.size // 8, -canvas.size // 8)
    low, high = np.percentile(dense[rows, columns][::4, ::4], (1, 99.5))
    view = (dense - np.float32(low)) / np.float32(max(high - low, 1e-3))
    coarse = cv2.resize(view, (canvas.size // 4, canvas.size // 4), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 3.0 / canvas.mm), (canvas.size, canvas.size))
    view += np.float32(exposure.sharpen) * (view - coarse)
    black, white = exposure.window
    view = np.clip(view, -0.04, 1.06) * np.float32(white - black) + np.float32(black)
    view = np.asarray(cv2.pow(np.clip(view, 0, 1), exposure.gamma), dtype=np.float32)
    _marker(view, canvas, exposure.view)
    top, bottom, left, right = (int(cut * canvas.size) for cut in exposure.collimation)
    view[:top] = view[canvas.size - bottom :] = 0
    view[:, :left] = view[:, canvas.size - right :] = 0
    return view


def _marker(view: Image, canvas: Canvas, text: str) -> None:
    """The lead letter that tells the side (R), with AP where the film was taken so."""
    scale = canvas.size / 512
    letters = "R AP" if text == "AP" else "R"
    at = (int(0.07 * canvas.size), int(0.11 * canvas.size))
    lead = np.zeros(view.shape, np.uint8)
    cv2.putText(lead, letters, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, 255, max(1, round(2 * scale)), cv2.LINE_8)
    view[lead > 0] = 1.0
