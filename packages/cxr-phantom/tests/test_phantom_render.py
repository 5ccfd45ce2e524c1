"""Facts about one phantom: what the patient's body does to the picture, and that the truth is true."""

import re
from dataclasses import replace

import cxr_phantom
import numpy as np
import pytest
from cxr_phantom import DEVICES, FINDINGS, Finding, Patient
from hypothesis import given, settings
from hypothesis import strategies as st

CLEAR = replace(
    cxr_phantom.sample_patient(0, 0).exposure,
    view="PA", kvp=110, photons=1e9, scatter=0.1, shift=(0.0, 0.0), rotation=0.0, twist=0.0, field_of_view=390.0,
    inspiration=1.0, gamma=1.0, sharpen=0.0, window=(0.0, 1.0), bits=14, inverted=False, collimation=(0.0,) * 4,
)  # fmt: skip


def plain(**changes: object) -> Patient:
    """A healthy person under a good exposure."""
    return replace(cxr_phantom.sample_patient(0, 0), exposure=CLEAR, **{"findings": (), **changes})  # type: ignore[arg-type]


def grey(patient: Patient, size: int = 256) -> np.ndarray:
    phantom = cxr_phantom.render(patient, size)
    full = (1 << phantom.bits) - 1
    pixels = full - phantom.pixels if phantom.inverted else phantom.pixels
    return pixels.astype(float) / full


def bit(phantom: cxr_phantom.Phantom, name: str) -> np.ndarray:
    return (phantom.masks["findings"] >> FINDINGS.index(name)) & 1 > 0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([64, 100, 256]))
def test_every_phantom_is_whole(index: int, size: int) -> None:
    patient = cxr_phantom.sample_patient(7, index)
    phantom = cxr_phantom.render(patient, size)
    assert phantom.pixels.shape == (size, size)
    assert 12 <= phantom.bits <= 15
    assert phantom.pixels.max() < 1 << phantom.bits
    assert phantom.pixels.std() > 0.05 * (1 << phantom.bits)
    assert {name for name, value in phantom.labels.items() if value} == {f.name for f in patient.findings}
    assert all(mask.shape == (size, size) for mask in phantom.masks.values())
    assert set(np.unique(phantom.masks["lungs"])) == {0, 1, 2}
    assert ((phantom.masks["zones"] > 0) == (phantom.masks["lungs"] > 0)).all()
    assert ((phantom.masks["zones"] > 3) == (phantom.masks["lungs"] == 2)).all()
    assert not (phantom.masks["heart"].astype(bool) & (phantom.masks["lungs"] > 0)).any()
    for boxes in phantom.boxes.values():
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= size
            assert 0 <= y0 < y1 <= size


def test_the_same_patient_gives_the_same_picture() -> None:
    patient = cxr_phantom.sample_patient(1, 2)
    a, b = cxr_phantom.render(patient, 128), cxr_phantom.render(patient, 128)
    assert np.array_equal(a.pixels, b.pixels)
    assert a.report == b.report


def test_lungs_are_darker_than_the_heart_and_the_right_lung_is_on_the_left() -> None:
    phantom, picture = cxr_phantom.render(plain(), 256), grey(plain())
    assert picture[phantom.masks["lungs"] > 0].mean() < picture[phantom.masks["heart"] > 0].mean() - 0.15
    columns = np.arange(256)
    right = (phantom.masks["lungs"] == 1).any(axis=0)
    left = (phantom.masks["lungs"] == 2).any(axis=0)
    assert columns[right].mean() < 128 < columns[left].mean()


def test_twelve_ribs_a_side_are_marked() -> None:
    masks = cxr_phantom.render(plain(), 512).masks
    for side in ("ribs_right", "ribs_left"):
        seen = [k for k in range(12) if ((masks[side] >> k) & 1).any()]
        assert len(seen) >= 11


def test_an_inverted_exposure_stores_the_negative() -> None:
    negative = replace(plain(), exposure=replace(CLEAR, inverted=True))
    assert np.array_equal(grey(negative), grey(plain()))
    assert not np.array_equal(cxr_phantom.render(negative, 256).pixels, cxr_phantom.render(plain(), 256).pixels)


@pytest.mark.parametrize("name", ["pleural_effusion", "consolidation", "nodule"])
def test_dense_findings_brighten_their_place(name: str) -> None:
    sick = plain(findings=(Finding(name, -1, 0.5, 0.5, 0.8),))
    where = bit(cxr_phantom.render(sick, 256), name)
    assert where.sum() > 20
    assert grey(sick)[where].mean() > grey(plain())[where].mean() + 0.02


def test_a_pneumothorax_darkens_its_place_and_keeps_to_its_side() -> None:
    sick = plain(findings=(Finding("pneumothorax", 1, 0.5, 0.5, 0.8),))
    phantom = cxr_phantom.render(sick, 256)
    where = bit(phantom, "pneumothorax")
    assert grey(sick)[where].mean() < grey(plain())[where].mean() - 0.01
    assert np.flatnonzero(where.any(axis=0)).min() > 128


@pytest.mark.parametrize("name", ["edema", "fibrosis"])
def test_diffuse_disease_roughens_both_lungs_and_leaves_their_mean(name: str) -> None:
    sick = plain(findings=(Finding(name, 0, extent=0.8),))
    where = bit(cxr_phantom.render(sick, 256), name)
    masks = cxr_phantom.render(sick, 256).masks
    assert all((where & (masks["lungs"] == side)).sum() > 500 for side in (1, 2))
    change = (grey(sick) - grey(plain()))[where]
    assert change.std() > 0.02
    assert abs(change.mean()) < change.std()


def test_costal_cartilage_calcifies_along_its_edges_in_men_and_its_middle_in_women() -> None:
    def chalk(sex: str) -> np.ndarray:
        change = grey(plain(sex=sex, calcified=2.0), 512) - grey(plain(sex=sex, calcified=0.0), 512)
        right = change[:, :250]  # away from the aortic arch, which calcifies too
        return right > np.median(right) + 0.01

    men, women = chalk("M"), chalk("F")
    assert women.sum() > 200
    assert men.sum() > 1.4 * women.sum()
    assert (men & women).sum() < 0.7 * women.sum()


def test_ribs_are_as_wide_as_the_patient_has_them() -> None:
    narrow, wide = ((cxr_phantom.render(plain(rib_width=w), 512).masks["ribs_left"] > 0).sum() for w in (10.0, 14.0))
    assert 1.2 < wide / narrow < 1.5


def test_cardiomegaly_widens_the_heart_beyond_half_the_chest() -> None:
    def width(patient: Patient) -> float:
        masks = cxr_phantom.render(patient, 256).masks
        heart = np.flatnonzero(masks["heart"].any(axis=0))
        chest = np.flatnonzero((masks["lungs"] > 0).any(axis=0))
        return float(np.ptp(heart) / np.ptp(chest))

    assert width(plain(findings=(Finding("cardiomegaly", 0, extent=0.6),))) > 0.52
    assert width(plain(heart=0.43)) < 0.5


def test_a_fracture_is_on_the_rib_that_the_report_names() -> None:
    sick = plain(findings=(Finding("rib_fracture", 1, 0.5, 0.9, 0.5),))
    phantom = cxr_phantom.render(sick, 512)
    number = int(re.findall(r"left (\d+)th rib", phantom.report)[0])
    rib = (phantom.masks["ribs_left"] >> (number - 1)) & 1 > 0
    assert (rib & bit(phantom, "rib_fracture")).any()


@pytest.mark.parametrize("device", cxr_phantom.DEVICES)
def test_devices_are_dense_inside_their_box(device: str) -> None:
    worn = plain(findings=(Finding(device, 1, 0.4, 0.5, 0.8),))
    phantom = cxr_phantom.render(worn, 256)
    assert phantom.labels[device] == 1
    difference = grey(worn) - grey(plain())
    outside = np.ones((256, 256), bool)
    for x0, y0, x1, y1 in phantom.boxes[device]:
        outside[y0:y1, x0:x1] = False
        assert difference[y0:y1, x0:x1].max() > 0.04
    assert np.abs(difference[outside]).max() < np.abs(difference[~outside]).max() / 2


def test_the_body_changes_the_picture_as_bodies_do() -> None:
    lungs = cxr_phantom.render(plain(), 256).masks["lungs"] > 0
    ribs = cxr_phantom.render(plain(), 256).masks["ribs_left"] > 0
    dense, brittle = grey(plain(bone=1.3)), grey(plain(bone=0.6))
    only = ribs & lungs
    assert dense[only].mean() - dense[lungs & ~ribs].mean() > brittle[only].mean() - brittle[lungs & ~ribs].mean()
    breasts = grey(plain(breast=0.9)) - grey(plain(breast=0.0))
    assert breasts[140:220].max() > 0.05
    tall = (cxr_phantom.render(plain(lung_height=290.0), 256).masks["lungs"] > 0).any(axis=1).sum()
    short = (cxr_phantom.render(plain(lung_height=220.0), 256).masks["lungs"] > 0).any(axis=1).sum()
    assert tall > short * 1.15


def test_classes_overlap_as_in_life() -> None:
    people = [cxr_phantom.sample_patient(0, i) for i in range(400)]
    for measure in ("thorax_width", "breast", "lung_height", "rib_width", "bone"):
        men = [getattr(p, measure) for p in people if p.sex == "M"]
        women = [getattr(p, measure) for p in people if p.sex == "F"]
        assert np.percentile(men, 5) < np.percentile(women, 95)
        assert np.percentile(women, 5) < np.percentile(men, 95)
    old, young = ([p.bone for p in people if (p.age > 65) == is_old] for is_old in (True, False))
    assert np.mean(old) < np.mean(young)
    assert np.percentile(young, 5) < np.percentile(old, 95)
    rates = np.mean([list(p.labels().values()) for p in people], axis=0)
    assert ((rates > 0.05) & (rates < 0.4)).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_a_report_speaks_of_findings_and_not_of_the_person(index: int) -> None:
    patient = cxr_phantom.sample_patient(3, index)
    report = cxr_phantom.write_report(patient)
    assert report.startswith("FINDINGS:\n")
    assert "IMPRESSION:\n" in report
    assert not re.search(
        r"\b(man|woman|male|female|he|she|year|old|aged?|kg|weight|obes\w*|bmi|breast)\b", report.lower()
    )
    said = report.lower()
    for name, words in {"pneumothorax": "pneumothorax", "nodule": "nodule", "rib_fracture": "fracture of the"}.items():
        positives = [line for line in re.split(r"[.\n]", said) if words in line and not re.search(r"\bno\b", line)]
        assert bool(positives) == bool(patient.labels()[name])


def test_reports_vary_hedge_and_negate() -> None:
    reports = [cxr_phantom.write_report(cxr_phantom.sample_patient(0, i)) for i in range(200)]
    assert len(set(reports)) > 150
    text = " ".join(reports)
    assert all(word in text for word in ("may represent", "possible", "No pneumothorax", "could reflect"))


def test_devices_have_a_mask_of_their_own() -> None:
    tube = Finding("chest_tube", side=1, height=0.5)
    phantom = cxr_phantom.render(plain(findings=(tube,)), 256)
    where = phantom.masks["devices"] == 1 << DEVICES.index("chest_tube")
    x0, y0, x1, y1 = phantom.boxes["chest_tube"][0]
    assert where.any()
    assert not (phantom.masks["devices"] & ~np.uint8(1)).any()
    assert where[y0:y1, x0:x1].sum() == where.sum()
    assert not phantom.masks["findings"].any()
