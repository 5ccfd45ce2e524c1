"""A free-text report: findings with place and size, hedged and negated as people do; nothing of who the patient is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxr_phantom._patient import FINDINGS, Finding, Patient

_NORMAL = {
    "cardiomegaly": (
        "Heart size is normal.",
        "The cardiac silhouette is within normal limits.",
        "The heart is not enlarged.",
    ),
    "pleural_effusion": ("No pleural effusion.", "The costophrenic angles are sharp.", "There is no effusion."),
    "pneumothorax": ("No pneumothorax.", "No pneumothorax is seen.", "There is no evidence of pneumothorax."),
    "nodule": ("No suspicious nodule.", "No focal nodular opacity."),
    "consolidation": ("The lungs are clear.", "No focal consolidation.", "No airspace opacity."),
    "rib_fracture": (
        "No displaced rib fracture.",
        "The osseous structures are intact.",
        "No acute osseous abnormality.",
    ),
    "edema": ("No pulmonary edema.", "The pulmonary vascularity is normal.", "No vascular congestion."),
    "fibrosis": ("No interstitial abnormality.", "The interstitium is unremarkable.", "No reticular opacities."),
}


def write_report(patient: Patient) -> str:
    """The report of a radiograph, with FINDINGS and IMPRESSION; the same patient and visit give the same words."""
    rng = np.random.default_rng((patient.texture_seed, patient.visit, 7))
    present = [finding for finding in patient.findings if finding.name in FINDINGS]
    lines = [_sentence(finding, rng) for finding in present]
    lines += [_device(finding, rng) for finding in patient.findings if finding.name not in FINDINGS]
    absent = [name for name in FINDINGS if name not in {finding.name for finding in present}]
    negatives = [_one(_NORMAL[name], rng) for name in absent if rng.random() < 0.8]
    order = rng.permutation(len(negatives))
    lines += [negatives[i] for i in order]
    impression = [_summary(finding) for finding in present]
    if not impression:
        impression = [
            _one(("No acute cardiopulmonary abnormality.", "Normal chest radiograph.", "No acute disease."), rng)
        ]
    numbered = [f"{i}. {line}" for i, line in enumerate(impression, 1)] if len(impression) > 1 else impression
    return f"FINDINGS:\n{' '.join(lines)}\n\nIMPRESSION:\n" + "\n".join(numbered) + "\n"


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _size(finding: Finding) -> str:
    return ("small", "moderate", "large")[min(int(finding.extent * 3), 2)]


def _side(finding: Finding) -> str:
    return "left" if finding.side > 0 else "right"


def _zone(finding: Finding) -> str:
    return ("upper", "mid", "lower")[min(int(finding.depth_in_lung * 3), 2)]


def _sentence(finding: Finding, rng: np.random.Generator) -> str:
    size, side, zone = _size(finding), _side(finding), _zone(finding)
    faint = finding.extent < 0.3
    if finding.name == "cardiomegaly":
        grade = {"small": "mildly", "moderate": "moderately", "large": "markedly"}[size]
        return _one((f"The heart is {grade} enlarged.", f"The cardiac silhouette is {grade} enlarged."), rng)
    if finding.name == "pleural_effusion":
        text = f"There is a {size} {side} pleural effusion."
        hedged = f"Blunting of the {side} costophrenic angle may represent a small pleural effusion."
        return hedged if faint else _one((text, f"{size.capitalize()} {side} pleural effusion is present."), rng)
    if finding.name == "pneumothorax":
        return _one((f"There is a {size} {side} pneumothorax.", f"A {size} pneumothorax is seen on the {side}."), rng)
    if finding.name == "nodule":
        mm = round(2 * (4 + 11 * finding.extent))
        start = "A possible" if faint else "A"
        return f"{start} {mm} mm nodule projects over the {side} {zone} lung."
    if finding.name == "consolidation":
        text = f"There is consolidation in the {side} {zone} lung."
        hedged = f"Patchy opacity in the {side} {zone} lung could reflect early consolidation."
        return hedged if faint else _one((text, f"Airspace consolidation in the {side} {zone} zone."), rng)
    if finding.name == "edema":
        grade = {"small": "mild", "moderate": "moderate", "large": "severe"}[size]
        hedged = "Perihilar opacities may represent mild pulmonary edema."
        return (
            hedged
            if faint
            else _one(
                (f"There is {grade} pulmonary edema.", f"Perihilar opacities in keeping with {grade} edema."), rng
            )
        )
    if finding.name == "fibrosis":
        text = "Reticular opacities in both lungs, more in the bases, in keeping with fibrosis."
        hedged = "Mildly coarsened interstitium could reflect early fibrosis."
        return hedged if faint else _one((text, "Coarse basal reticulation consistent with pulmonary fibrosis."), rng)
    return f"There is a displaced fracture of the {side} {_ordinal(finding.rib)} rib."


def _device(finding: Finding, rng: np.random.Generator) -> str:
    side = _side(finding)
    if finding.name == "chest_tube":
        return _one((f"A {side} chest tube is in place.", f"{side.capitalize()}-sided chest tube is noted."), rng)
    if finding.name == "pacemaker":
        leads = "dual" if finding.extent > 0.5 else "single"
        return f"A {side} chest wall {leads}-lead pacemaker is present."
    return _one(("Overlying ECG leads.", "ECG leads project over the chest."), rng)


def _summary(finding: Finding) -> str:
    side = _side(finding)
    hedge = "Possible " if finding.extent < 0.3 else ""
    text = {
        "cardiomegaly": "cardiomegaly.",
        "pleural_effusion": f"{side} pleural effusion.",
        "pneumothorax": f"{side} pneumothorax.",
        "nodule": f"{side} pulmonary nodule; CT is suggested.",
        "consolidation": f"{side} {_zone(finding)} lung consolidation, which may represent pneumonia.",
        "rib_fracture": f"{side} {_ordinal(finding.rib)} rib fracture.",
        "edema": "pulmonary edema.",
        "fibrosis": "pulmonary fibrosis; CT is suggested.",
    }[finding.name]
    if finding.name in ("pneumothorax", "rib_fracture", "cardiomegaly"):
        hedge = ""
    return (hedge + text)[:1].upper() + (hedge + text)[1:]


def _ordinal(n: int) -> str:
    return f"{n}th"
