"""Facts about the labeller: negation, doubt, sections, and agreement with those who indexed Open-i."""

from pathlib import Path

import numpy as np
import pytest
import raddino_reportgen as rg
from hypothesis import given
from hypothesis import strategies as st

P, A, U = rg.Status.PRESENT, rg.Status.ABSENT, rg.Status.UNCERTAIN


@pytest.mark.parametrize(
    ("text", "finding", "status"),
    [
        ("Small left pleural effusion.", "Pleural Effusion", P),
        ("No pneumothorax or large pleural effusion.", "Pleural Effusion", A),
        ("No focal consolidation, pleural effusion, or pneumothorax.", "Pneumothorax", A),
        ("No effusion, but a small pneumothorax.", "Pneumothorax", P),
        ("Pneumothorax is not seen.", "Pneumothorax", A),
        ("The pneumothorax has resolved.", "Pneumothorax", A),
        ("No change in the left effusion.", "Pleural Effusion", P),
        ("Opacity may represent atelectasis.", "Atelectasis", U),
        ("Pneumonia cannot be excluded.", "Pneumonia", U),
        ("No suspicious nodule.", "Lung Lesion", A),
        ("Possible nodule in the right lung.", "Lung Lesion", U),
        ("The heart is not enlarged.", "Cardiomegaly", A),
        ("Heart size is normal.", "Cardiomegaly", A),
        ("Heart size is at the upper limits of normal.", "Cardiomegaly", A),
        ("The cardiac silhouette is mildly enlarged.", "Cardiomegaly", P),
        ("Clear lungs.", "Lung Opacity", A),
        ("Patchy airspace opacity in the left base.", "Lung Opacity", P),
        ("Pulmonary vascularity is normal.", "Edema", A),
        ("Mild vascular congestion.", "Edema", P),
        ("Biapical pleural thickening.", "Pleural Other", P),
        ("The osseous structures are intact.", "Fracture", A),
        ("Healed left rib fractures.", "Fracture", P),
        ("Right IJ line ends in the SVC.", "Support Devices", P),
        ("Left chest wall dual-lead pacemaker.", "Support Devices", P),
        ("Widened mediastinum.", "Enlarged Cardiomediastinum", P),
        ("Cardiomediastinal silhouette is normal.", "Enlarged Cardiomediastinum", A),
    ],
)
def test_what_a_sentence_says(text: str, finding: str, status: rg.Status) -> None:
    assert rg.label(text)[finding] is status


@pytest.mark.parametrize("text", ["Moderate pericardial effusion.", "Portable film.", "Soft tissue edema of the leg."])
def test_words_that_look_like_a_finding_are_none(text: str) -> None:
    assert rg.label(text) == {"No Finding": P}


def test_only_findings_and_impression_count() -> None:
    text = "INDICATION: Pneumonia? History of pneumothorax.\nCOMPARISON: Edema on ___.\nFINDINGS: Clear lungs.\n"
    found = rg.label(text)
    assert "Pneumonia" not in found
    assert "Pneumothorax" not in found
    assert "Edema" not in found
    assert found["No Finding"] is P
    assert rg.label(text + "IMPRESSION: Edema.")["Edema"] is P


def test_over_mentions_presence_wins_then_doubt() -> None:
    assert rg.label("No effusion on the right. Possible effusion. Left effusion.")["Pleural Effusion"] is P
    assert rg.label("No effusion on the right. Possible effusion on the left.")["Pleural Effusion"] is U


def test_devices_leave_no_finding_and_an_empty_report_says_nothing() -> None:
    assert rg.label("Tracheostomy tube in place.") == {"Support Devices": P, "No Finding": P}
    assert rg.label("") == {}
    assert np.isnan(rg.label_reports([""])).all()


def test_labels_are_in_chexberts_order() -> None:
    assert len(rg.FINDINGS) == 14
    assert rg.FINDINGS[-1] == "No Finding"
    rows = rg.label_reports(["Left effusion. No edema. Possible pneumonia."])
    assert rows[0, rg.FINDINGS.index("Pleural Effusion")] == 1
    assert rows[0, rg.FINDINGS.index("Edema")] == 0
    assert rows[0, rg.FINDINGS.index("Pneumonia")] == -1
    assert np.isnan(rows[0, rg.FINDINGS.index("Fracture")])


@given(st.text(max_size=300))
def test_any_text_has_labels(text: str) -> None:
    assert set(rg.label(text)) <= set(rg.FINDINGS)


def test_mesh_terms_are_the_same_findings() -> None:
    rows = rg.mesh_labels([["Pleural Effusion/left", "Opacity/lung/round"], ["normal"], ["No Indexing"], []])
    names = [rg.FINDINGS[i] for i in np.flatnonzero(rows[0] == 1)]
    assert names == ["Lung Lesion", "Pleural Effusion"]
    assert rows[1, rg.FINDINGS.index("No Finding")] == 1
    assert np.nansum(rows[1]) == 1
    assert np.isnan(rows[2:]).all()


def test_micro_f1_on_open_i_is_above_80_percent(openi_archive: Path) -> None:
    reports = [r for r in rg.read_openi(openi_archive) if int(r.name.removeprefix("CXR")) % 2 == 1]
    truth = rg.mesh_labels([report.terms for report in reports])[:, :-1]
    said = rg.label_reports([report.sections for report in reports])[:, :-1]
    known = ~np.isnan(truth)
    a, b = np.isin(said[known], (1, -1)), truth[known] == 1
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.85
