"""Facts about sections, the layouts that reports come in, and cleaning."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
import raddino_reportgen as rg
from hypothesis import given
from hypothesis import strategies as st

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with ?pleural effusion  // ?pleural effusion

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  ___

 FINDINGS:

 Cardiac size cannot be evaluated.  Large left pleural effusion is new.  At
 12:30 the tube was seen.

 IMPRESSION:

 Large left pleural effusion
"""
FILMS = " WET READ: ___ ___ 9:12 AM\n  No effusion.\n PA AND LATERAL VIEWS OF THE CHEST ___:  The lungs are clear.\n"


def test_sections_of_a_mimic_report() -> None:
    found = rg.sections(MIMIC)
    assert list(found) == ["examination", "indication", "technique", "comparison", "findings", "impression"]
    assert found["findings"].startswith("Cardiac size")
    assert "12:30" in found["findings"]
    assert found["comparison"] == "___"


def test_a_heading_of_films_means_findings_and_a_wet_read_is_apart() -> None:
    assert rg.sections(FILMS) == {"wet read": "___ ___ 9:12 AM\n  No effusion.", "findings": "The lungs are clear."}


def test_sections_split_at_headings_in_any_case() -> None:
    found = rg.sections("Findings:\nHeart is normal.\n\nIMPRESSION: No acute disease.\n")
    assert found == {"findings": "Heart is normal.", "impression": "No acute disease."}
    assert rg.sections("plain") == {"": "plain"}
    assert rg.sections("NOTES ON FILM: blurred") == {"notes on film": "blurred"}


@given(st.dictionaries(st.sampled_from(["findings", "impression", "indication"]), st.sampled_from(["a b.", "No c."])))
def test_sections_read_what_was_joined(parts: dict[str, str]) -> None:
    assert rg.sections(rg.join_sections(parts)) == parts


def test_all_of_open_i_is_read(openi_archive: Path) -> None:
    reports = list(rg.read_openi(openi_archive))
    assert len(reports) == 3955
    assert [report.name for report in reports[:2]] == ["CXR1", "CXR2"]
    assert sum("findings" in report.sections for report in reports) == 3425
    assert sum(len(report.images) for report in reports) == 7470
    assert sum(report.terms == ("normal",) for report in reports) > 1000


def test_sections_that_are_absent_are_counted(openi_archive: Path) -> None:
    chosen = rg.choose(list(rg.read_openi(openi_archive)), "findings")
    assert len(chosen.texts) == len(chosen.rows) == 3425
    assert chosen.left_out == {"no findings": 502, "empty": 28}
    chosen = rg.choose(["No effusion.", None, " ", "IMPRESSION: Normal."])
    assert chosen.texts == ["No effusion."]
    assert chosen.left_out == {"empty": 2, "no findings": 1}
    with pytest.raises(rg.ReportError, match=r"1 no findings.*another section"):
        rg.choose(["IMPRESSION: Normal."])
    assert rg.choose(["FINDINGS: a\nIMPRESSION: b"], "report").texts == ["a b"]


def test_padchest_is_read_by_study(tmp_path: Path) -> None:
    head = "ImageID,StudyID,PatientID,ReportID,Report,Labels\n"
    rows = "a.png,s1,123456789012345678901234567890,r,torax normal .,\"['normal', 'aortic elongation ']\"\n"
    rows += "b.png,s1,123456789012345678901234567890,r,torax normal .,\"['normal']\"\nc.png,s2,7,r2,,\n"
    path = tmp_path / "padchest.csv.gz"
    path.write_bytes(gzip.compress((head + rows).encode()))
    first, second = rg.read_padchest(path)
    assert first.images == ("a.png", "b.png")
    assert first.terms == ("normal", "aortic elongation")
    assert first.patient == "123456789012345678901234567890"
    assert first.sections == {"findings": "torax normal ."}
    assert second.sections == {}
    assert second.terms == ()
    (tmp_path / "other.csv").write_text("ImageID,Report\n")
    with pytest.raises(rg.ReportError, match="StudyID"):
        next(rg.read_padchest(tmp_path / "other.csv"))


def test_open_i_without_entities_or_reports_is_refused(tmp_path: Path) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    for data, words in ((bomb, "document type"), (b"<a>", "expected a report"), (b"<a/>", "no uId")):
        archive = tmp_path / "reports.tgz"
        with tarfile.open(archive, "w:gz") as file:
            info = tarfile.TarInfo("1.xml")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        with pytest.raises(rg.ReportError, match=words):
            list(rg.read_openi(archive))
    with pytest.raises(rg.ReportError, match="nothing at"):
        list(rg.read_openi(tmp_path / "absent"))
    (tmp_path / "text.tgz").write_text("no archive")
    with pytest.raises(rg.ReportError, match="tar file"):
        list(rg.read_openi(tmp_path / "text.tgz"))


@pytest.mark.parametrize(
    ("rule", "text", "want"),
    [
        ("placeholders", "Since ___ the XXXX of [**Name**] is clear.", "Since the of is clear."),
        ("numbering", "1. Effusion. 2. Nodule of 1.5 cm.", "Effusion. Nodule of 1.5 cm."),
        ("priors", "No effusion. Unchanged since the prior exam. Heart is normal.", "No effusion. Heart is normal."),
        ("lower", "The Heart", "the heart"),
        ("whitespace", " a \n b ", "a b"),
    ],
)
def test_cleaning_rules(rule: str, text: str, want: str) -> None:
    assert rg.clean(text, [rule]) == want


def test_punctuation_keeps_sentences_and_numbers() -> None:
    found = rg.clean("A left-sided, 1.5 cm nodule (right?); - Normal.", ["punctuation", "whitespace"])
    assert found == "A left-sided 1.5 cm nodule right Normal ."


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(rg.ReportError, match="'upper'"):
        rg.clean("a", ["upper"])


@given(st.text())
def test_sentences_hold_every_word(text: str) -> None:
    assert " ".join(rg.split_sentences(text)).split() == text.split()


def test_sentences_end_where_people_end_them() -> None:
    assert rg.split_sentences("No mass. 1.5 cm nodule; stable.\nHeart is\nnormal.\n1. Edema\n2. None") == [
        "No mass.", "1.5 cm nodule;", "stable.", "Heart is\nnormal.", "1. Edema", "2. None",
    ]  # fmt: skip
