"""Facts about each data set's layout, on tiny trees as their publishers lay them out."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cxr_io import Box, Record

Listed = Callable[[Path, str], list[Record]]


CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)


def test_chestxray14(
    write_table: Callable[..., None], write_picture: Callable[..., None], records: Listed, tmp_path: Path
) -> None:
    row = {
        "Image Index": "00000001_000.png",
        "Finding Labels": "Cardiomegaly|Pleural_Thickening",
        "Follow-up #": 0,
        "Patient ID": 1,
        "Patient Age": "060Y",
        "Patient Gender": "F",
        "View Position": "AP",
    }
    other = {
        **row,
        "Image Index": "00000002_000.png",
        "Finding Labels": "No Finding",
        "Patient ID": 2,
        "Patient Age": 414,
    }
    write_table(tmp_path / "Data_Entry_2017_v2020.csv", row, other)
    write_picture(tmp_path / "images_002" / "images" / "00000001_000.png")
    (tmp_path / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Infiltrate,1.5,2,30,40,,,\n"
    )
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n")
    (tmp_path / "test_list.txt").write_text("00000002_000.png")
    first, second = records(tmp_path, "nih")
    assert first.path == tmp_path / "images_002" / "images" / "00000001_000.png"
    assert first.boxes == (Box("Infiltration", 1.5, 2, 30, 40),)
    assert (first.split, second.split) == ("train_val", "test")
    assert (first.patient, first.study) == ("1", "1/0")
    assert first.metadata == {"view": "AP", "sex": "F", "age": 60.0}
    assert {name for name, value in first.labels.items() if value} == {"Cardiomegaly", "Pleural_Thickening"}
    assert len(first.labels) == 15
    assert second.metadata == {"view": "AP", "sex": "F"}  # nobody is 414
    assert second.path == tmp_path / "images" / "00000002_000.png"  # absent, and still listed


def test_chexpert(write_table: Callable[..., None], records: Listed, tmp_path: Path) -> None:
    # The order of the columns is another labeller's: they are read by name.
    blank = dict.fromkeys(reversed(CHEXPERT), "")
    row = {
        "Path": "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg",
        "Sex": "Female",
        "Age": 68,
        "Frontal/Lateral": "Frontal",
        "AP/PA": "AP",
        **blank,
        "Lung Lesion": "-1.0",
        "Lung Opacity": "1.0",
    }
    side = {
        **row,
        "Path": row["Path"].replace("view1_frontal", "view2_lateral"),
        "Frontal/Lateral": "Lateral",
        "AP/PA": "",
    }
    write_table(tmp_path / "train.csv", row, {**side, "Sex": "Unknown"})
    write_table(
        tmp_path / "valid.csv", {**row, "Path": "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg"}
    )
    first, second, third = records(tmp_path, "chexpert")
    assert first.name == "train/patient00001/study1/view1_frontal.jpg"
    assert first.path == tmp_path / first.name
    assert (first.patient, first.study, first.split) == ("patient00001", "patient00001/study1", "train")
    assert first.metadata == {"view": "AP", "sex": "F", "age": 68.0}
    assert (first.labels["Lung Lesion"], first.labels["Lung Opacity"], first.labels["Edema"]) == (-1, 1, None)
    assert second.metadata == {"view": "LATERAL", "age": 68.0}
    assert third.split == "val"


@pytest.fixture
def mimic(tmp_path: Path, write_table: Callable[..., None]) -> dict[str, object]:
    """The columns that name an image of MIMIC-CXR, whose labels, splits and patients are in `tmp_path`."""
    image = {"dicom_id": "aa-bb", "subject_id": "10000032", "study_id": "50414267"}
    write_table(
        tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz",
        {"subject_id": "10000032", "study_id": "50414267", **dict.fromkeys(sorted(CHEXPERT), ""), "Edema": "-1.0"},
    )
    write_table(tmp_path / "mimic-cxr-2.0.0-split.csv.gz", {**image, "split": "validate"})
    write_table(
        tmp_path / "hosp" / "patients.csv.gz",
        {"subject_id": "10000032", "gender": "F", "anchor_age": 52, "anchor_year": 2180, "dod": ""},
    )
    report = tmp_path / "files" / "p10" / "p10000032" / "s50414267.txt"
    report.parent.mkdir(parents=True)
    report.write_text("FINDINGS: clear.")
    return image


def test_mimic_cxr_jpg_with_mimic_iv(
    mimic: dict[str, object], write_table: Callable[..., None], records: Listed, tmp_path: Path
) -> None:
    write_table(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz",
        {**mimic, "ViewPosition": "LL", "StudyDate": 21830506},
        {**mimic, "dicom_id": "cc", "subject_id": "19", "study_id": "7", "ViewPosition": "PA", "StudyDate": 21830506},
    )
    first, second = records(tmp_path, "mimic-cxr-jpg")
    assert first.name == "files/p10/p10000032/s50414267/aa-bb.jpg"
    assert first.report == tmp_path / "files" / "p10" / "p10000032" / "s50414267.txt"
    assert first.metadata == {"view": "LATERAL", "sex": "F", "age": 55.0}
    assert first.split == "val"
    assert list(first.labels) == list(CHEXPERT)
    assert {name: value for name, value in first.labels.items() if value is not None} == {"Edema": -1}
    assert (second.labels, second.report, second.metadata, second.split) == ({}, None, {"view": "PA"}, None)


def test_mimic_cxr_as_dicom_takes_the_dates_of_the_other_release(
    mimic: dict[str, object], write_table: Callable[..., None], records: Listed, tmp_path: Path
) -> None:
    write_table(tmp_path / "cxr-record-list.csv.gz", {**mimic, "path": "files/p10/p10000032/s50414267/aa-bb.dcm"})
    (record,) = records(tmp_path, "mimic-cxr")
    assert record.name == "files/p10/p10000032/s50414267/aa-bb.dcm"
    assert record.metadata == {"sex": "F"}
    write_table(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", {**mimic, "StudyDate": 21830506})
    (tmp_path / "mimic-cxr-reports").mkdir()
    (tmp_path / "files").rename(tmp_path / "mimic-cxr-reports" / "files")
    (record,) = records(tmp_path, "mimic-cxr")
    assert record.metadata == {"sex": "F", "age": 55.0}
    assert record.report == tmp_path / "mimic-cxr-reports" / "files" / "p10" / "p10000032" / "s50414267.txt"


def test_padchest(write_table: Callable[..., None], records: Listed, tmp_path: Path) -> None:
    row = {
        "": 0,
        "ImageID": "1_a.png",
        "ImageDir": "54",
        "StudyDate_DICOM": 20140915,
        "StudyID": "1",
        "PatientID": "839860488694292331637988235681460987",
        "PatientBirth": "1930.0",
        "PatientSex_DICOM": "F",
        "Projection": "AP_horizontal",
        "Manufacturer_DICOM": "Maker",
        "Report": " sin hallazg .",
        "Labels": "['normal', ' unchanged ']",
    }
    write_table(
        tmp_path / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",
        row,
        {
            **row,
            "ImageID": "2.png",
            "Projection": "COSTAL",
            "PatientSex_DICOM": "O",
            "PatientBirth": "",
            "Labels": "nan",
        },
        {**row, "ImageID": "3.png", "Labels": "['COPD signs']", "Report": ""},
    )
    first, second, third = records(tmp_path, "padchest")
    assert first.name == "54/1_a.png"
    assert first.patient == "839860488694292331637988235681460987"
    assert first.metadata == {"view": "AP", "sex": "F", "age": 84.0, "manufacturer": "Maker"}
    assert first.labels == {"COPD signs": 0, "normal": 1, "unchanged": 1}
    assert first.report == "sin hallazg ."
    assert second.metadata == {"manufacturer": "Maker"}
    assert second.labels == {"COPD signs": None, "normal": None, "unchanged": None}
    assert third.report is None


def test_brax(write_table: Callable[..., None], records: Listed, tmp_path: Path) -> None:
    row = {
        "DicomPath": "Anonymized_DICOMs/id_1/Study_2/Series_3/image-4.dcm",
        "PngPath": "images/id_1/image-4.png",
        "PatientID": "id_1",
        "PatientSex": "M",
        "PatientAge": "55-59",
        "AccessionNumber": "2",
        **dict.fromkeys(CHEXPERT, ""),
        "Edema": "0.0",
        "ViewPosition": "RLD",
        "Manufacturer": 3,
    }
    write_table(tmp_path / "master_spreadsheet.csv", {**row, "PatientID": "the table before the update"})
    write_table(
        tmp_path / "master_spreadsheet_update.csv", row, {**row, "PngPath": "images/b.png", "PatientAge": "85 or more"}
    )
    first, second = records(tmp_path, "brax")
    assert (first.name, first.patient, first.study) == ("images/id_1/image-4.png", "id_1", "2")
    assert first.metadata == {"view": "LATERAL", "sex": "M", "age": 57.5, "manufacturer": "3"}
    assert first.labels["Edema"] == 0
    assert second.metadata["age"] == 85.0
    (tmp_path / "Anonymized_DICOMs").mkdir()
    write_table(tmp_path / "master_spreadsheet_update.csv", row)
    assert records(tmp_path, "brax")[0].name == row["DicomPath"]


def test_vindr_cxr_readers_become_a_consensus(
    write_table: Callable[..., None], records: Listed, tmp_path: Path
) -> None:
    place = tmp_path / "annotations"
    votes = [(1, 1, 0), (1, 0, 0), (1, 0, 0)]
    write_table(
        place / "image_labels_train.csv",
        *(
            {"image_id": "a", "rad_id": f"R{i}", "Cardiomegaly": c, "Edema": e, "Other diseases": o}
            for i, (c, e, o) in enumerate(votes)
        ),
    )
    box = {"image_id": "a", "class_name": "Cardiomegaly", "x_min": 0, "y_min": 0, "x_max": 100, "y_max": 100}
    write_table(
        place / "annotations_train.csv",
        {**box, "rad_id": "R0"},
        {**box, "rad_id": "R1", "x_max": 110},
        {**box, "rad_id": "R2", "x_min": 500, "x_max": 600},
        {**box, "rad_id": "R2", "class_name": "No finding", "x_min": ""},
    )
    write_table(place / "image_labels_test.csv", {"image_id": "b", "Cardiomegaly": 0, "Edema": 0, "Other disease": 1})
    write_table(place / "annotations_test.csv", {**box, "image_id": "b", "class_name": "Other disease"})
    first, second = records(tmp_path, "vindr-cxr")
    assert first.labels == {"Cardiomegaly": 1, "Edema": -1, "Other diseases": 0}
    assert first.boxes == (Box("Cardiomegaly", 0, 0, 105, 100),)
    assert (first.name, first.split) == ("train/a.dicom", "train_val")
    assert second.labels == {"Cardiomegaly": 0, "Edema": 0, "Other diseases": 1}
    assert second.boxes == (Box("Other diseases", 0, 0, 100, 100),)
    assert second.split == "test"


def test_vinbigdata_on_kaggle_is_the_same_set(
    write_table: Callable[..., None], records: Listed, tmp_path: Path
) -> None:
    row = {
        "image_id": "a",
        "class_name": "Edema",
        "class_id": 3,
        "rad_id": "R1",
        "x_min": 1.0,
        "y_min": 2.0,
        "x_max": 11.0,
        "y_max": 22.0,
    }
    nothing = {**row, "class_name": "No finding", "x_min": "", "y_min": "", "x_max": "", "y_max": ""}
    write_table(
        tmp_path / "train.csv", row, nothing | {"image_id": "b"}, {**row, "rad_id": "R2"}, {**nothing, "rad_id": "R3"}
    )
    first, second = records(tmp_path, "vindr-cxr")
    assert first.labels == {"Edema": 1, "No finding": -1}
    assert first.boxes == (Box("Edema", 1, 2, 10, 20),)
    assert second.labels == {"Edema": 0, "No finding": 1}
