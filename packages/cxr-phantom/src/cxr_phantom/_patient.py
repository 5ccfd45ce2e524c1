"""Who is on the film: a patient's body, what ails them and how they were exposed, drawn from one generator."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

FINDINGS = (
    "cardiomegaly",
    "pleural_effusion",
    "pneumothorax",
    "nodule",
    "consolidation",
    "rib_fracture",
    "edema",
    "fibrosis",
)
DEVICES = ("chest_tube", "pacemaker", "ecg_leads")


@dataclass(frozen=True)
class Finding:
    """One finding or device: its name, `side` (-1 patient's right, 1 left, 0 neither), place and size.

    `height` and `lateral` run from 0 to 1 down the lung and from its middle to its wall; `extent` from 0 (barely
    visible) to 1 (gross).
    """

    name: str
    side: int = 0
    height: float = 0.5
    lateral: float = 0.5
    extent: float = 0.5

    @property
    def rib(self) -> int:
        """Which rib a fracture breaks, 4 to 8."""
        return 4 + int(self.height * 5)

    @property
    def along_rib(self) -> float:
        """Where along the rib, from 0 at the spine to 1."""
        return 0.45 + 0.4 * self.lateral

    @property
    def depth_in_lung(self) -> float:
        """How far down the lung a nodule or consolidation lies, from 0 at the apex: large ones keep from its ends."""
        return 0.2 + 0.6 * self.height if self.name == "consolidation" else 0.15 + 0.65 * self.height


@dataclass(frozen=True)
class Exposure:
    """How the film was taken: nuisance to whoever reads it. Lengths in mm, angles in degrees."""

    manufacturer: str
    view: str
    kvp: int
    photons: float
    scatter: float
    shift: tuple[float, float]
    rotation: float
    twist: float
    field_of_view: float
    inspiration: float
    gamma: float
    sharpen: float
    window: tuple[float, float]
    bits: int
    inverted: bool
    digital: bool
    collimation: tuple[float, float, float, float]


@dataclass(frozen=True)
class Patient:
    """One patient at one visit. Age in years, height in cm, weight in kg, BMI in kg/m2; the rest shapes the anatomy."""

    index: int
    visit: int
    sex: str
    age: int
    height_cm: float
    weight_kg: float
    bmi: float
    bone: float
    rib_width: float
    breast: float
    thorax_width: float
    thorax_shape: float
    lung_height: float
    heart: float
    aorta: float
    calcified: float
    texture_seed: int
    exposure: Exposure
    findings: tuple[Finding, ...] = field(default=())

    def labels(self) -> dict[str, int]:
        """Each finding and device by name: 1 present, 0 absent."""
        present = {finding.name for finding in self.findings}
        return {name: int(name in present) for name in FINDINGS + DEVICES}


# Name, gamma, sharpening: each maker's processing leaves its own hand.
_MAKERS = (("Lumen Imaging", 0.85, 0.3), ("Northray", 1.0, 0.7), ("Karlsen Medical", 1.2, 0.15), ("Opal DR", 1.0, 1.1))


def visits(seed: int, index: int) -> int:
    """How many images this patient has: one, or two for a quarter of them."""
    return 1 + int(np.random.default_rng((seed, index, 0)).random() < 0.25)


def sample_patient(seed: int, index: int, visit: int = 0) -> Patient:
    """The patient number `index` of the set `seed`; visits share the body and differ in exposure and findings."""
    body = np.random.default_rng((seed, index, 1))
    now = np.random.default_rng((seed, index, 2, visit))
    sex = "F" if body.random() < 0.48 else "M"
    woman = sex == "F"
    age = int(np.clip(body.normal(55, 19), 18, 95))
    height = float(np.clip(body.normal(163 if woman else 176, 7), 142, 203))
    bmi = float(np.clip(np.exp(body.normal(3.25, 0.17)), 16, 48))
    breast = body.normal(0.45, 0.28) + 0.02 * (bmi - 25) if woman else body.normal(0.06, 0.1) + 0.015 * (bmi - 27)
    aged = (age - 55) / 20
    return Patient(
        index=index,
        visit=visit,
        sex=sex,
        age=age,
        height_cm=round(height, 1),
        weight_kg=round(bmi * (height / 100) ** 2, 1),
        bmi=round(bmi, 1),
        bone=float(np.clip(body.normal(1.0 - 0.26 * aged - 0.2 * woman, 0.09), 0.3, 1.7)),
        rib_width=float(body.normal(11.0 if woman else 13.6, 0.9)),
        breast=float(np.clip(breast, 0, 1.3)),
        thorax_width=float(body.normal((130 if woman else 141) + 0.7 * (bmi - 25), 8)),
        thorax_shape=float(body.normal(2.3 if woman else 2.7, 0.3)),
        lung_height=float(body.normal(1.45 * height + (4 if woman else 12) - 4 * aged, 9)),
        heart=float(body.normal(0.45 + 0.012 * aged + 0.002 * (bmi - 25), 0.022)),
        aorta=float(np.clip(body.normal(15 + 2.8 * aged, 1.5), 8, 26)),
        calcified=float(np.clip(body.normal(0.9 * aged - 0.35, 0.35), 0, 2)),
        texture_seed=int(body.integers(2**31)),
        exposure=_sample_exposure(now),
        findings=_sample_findings(now),
    )


def _sample_exposure(rng: Generator) -> Exposure:
    maker, gamma, sharpen = _MAKERS[int(rng.integers(len(_MAKERS)))]
    portable = bool(rng.random() < 0.2)
    return Exposure(
        manufacturer=maker,
        view="AP" if portable else "PA",
        kvp=int(rng.integers(70, 100) if portable else rng.integers(105, 135)),
        photons=float(np.exp(rng.normal(9.6 if portable else 10.4, 0.4))),
        scatter=float(rng.uniform(0.3, 0.7) if portable else rng.uniform(0.1, 0.4)),
        shift=(float(rng.normal(0, 32 if portable else 25)), float(rng.normal(0, 32 if portable else 25))),
        rotation=float(rng.normal(0, 8 if portable else 5)),
        twist=float(rng.normal(0, 6 if portable else 3)),
        field_of_view=float(rng.uniform(305, 460)),
        inspiration=float(rng.normal(0.90 if portable else 1.0, 0.07)),
        gamma=float(gamma * np.exp(rng.normal(0, 0.22))),
        sharpen=float(sharpen * rng.uniform(0.6, 1.4)),
        window=(float(rng.uniform(0, 0.2)), float(rng.uniform(0.75, 1.0))),
        bits=int(rng.integers(12, 16)),
        inverted=bool(rng.random() < 0.2),
        digital=bool(rng.random() < 0.5),
        collimation=tuple(float(max(0, rng.normal(-0.01, 0.04))) for _ in range(4)),  # type: ignore[arg-type]
    )


def _sample_findings(rng: Generator) -> tuple[Finding, ...]:
    found: list[Finding] = []

    def maybe(name: str, probability: float, side: int | None = None, **place: float) -> bool:
        hit = bool(rng.random() < probability)
        drawn = int(rng.choice((-1, 1)))
        default = {"height": rng.uniform(0.2, 0.8), "lateral": rng.uniform(0.2, 0.8), "extent": rng.uniform(0.15, 1)}
        if hit:
            values = {key: float(place.get(key, value)) for key, value in default.items()}
            found.append(Finding(name, drawn if side is None else side, **values))
        return hit

    maybe("cardiomegaly", 0.2, side=0)
    wet = maybe("pleural_effusion", 0.2)
    wet_side = found[-1].side if wet else 0
    if wet and rng.random() < 0.3:
        found.append(Finding("pleural_effusion", -wet_side, extent=float(rng.uniform(0.15, 0.8))))
    dry = maybe("pneumothorax", 0.12)
    dry_side = found[-1].side if dry else wet_side
    maybe("nodule", 0.16)
    maybe("consolidation", 0.2)
    maybe("rib_fracture", 0.12, lateral=0.9)
    maybe("edema", 0.25, side=0, extent=float(rng.uniform(0.4, 1)))
    maybe("fibrosis", 0.25, side=0, extent=float(rng.uniform(0.4, 1)))
    drained = dry or wet
    maybe("chest_tube", 0.5 if drained else 0.03, side=dry_side or None, height=float(rng.uniform(0.2, 0.45)))
    maybe("pacemaker", 0.14, side=1 if rng.random() < 0.8 else -1)
    maybe("ecg_leads", 0.2, side=0)
    return tuple(found)
