"""Facts about each data set's layout, on tiny trees as their publishers lay them out."""

import csv
import gzip
import json
import pickle
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from cxr_io import Box, Record, load_mask
from cxr_io.datasets import RunLength

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


def table(path: Path, *rows: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def picture(path: Path, side: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.arange(side * side, dtype=np.uint16).reshape(side, side))


def records(source: Path, expected: str) -> list[Record]:
    """All records of a source, recognised, the same each time, and fit to cross processes."""
    name, found = cxr_io.list_items(source, "auto", None)
    assert name == expected
    listed = list(found)
    assert listed == list(found) == pickle.loads(pickle.dumps(listed))
    assert {record.dataset for record in listed} == {expected}
    return listed


def test_chestxray14(tmp_path: Path) -> None:
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
    table(tmp_path / "Data_Entry_2017_v2020.csv", row, other)
    picture(tmp_path / "images_002" / "images" / "00000001_000.png")
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


def test_chexpert(tmp_path: Path) -> None:
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
    table(tmp_path / "train.csv", row, {**side, "Sex": "Unknown"})
    table(tmp_path / "valid.csv", {**row, "Path": "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg"})
    first, second, third = records(tmp_path, "chexpert")
    assert first.name == "train/patient00001/study1/view1_frontal.jpg"
    assert first.path == tmp_path / first.name
    assert (first.patient, first.study, first.split) == ("patient00001", "patient00001/study1", "train")
    assert first.metadata == {"view": "AP", "sex": "F", "age": 68.0}
    assert (first.labels["Lung Lesion"], first.labels["Lung Opacity"], first.labels["Edema"]) == (-1, 1, None)
    assert second.metadata == {"view": "LATERAL", "age": 68.0}
    assert third.split == "val"


def mimic(root: Path) -> dict[str, object]:
    image = {"dicom_id": "aa-bb", "subject_id": "10000032", "study_id": "50414267"}
    table(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz",
        {"subject_id": "10000032", "study_id": "50414267", **dict.fromkeys(sorted(CHEXPERT), ""), "Edema": "-1.0"},
    )
    table(root / "mimic-cxr-2.0.0-split.csv.gz", {**image, "split": "validate"})
    table(
        root / "hosp" / "patients.csv.gz",
        {"subject_id": "10000032", "gender": "F", "anchor_age": 52, "anchor_year": 2180, "dod": ""},
    )
    report = root / "files" / "p10" / "p10000032" / "s50414267.txt"
    report.parent.mkdir(parents=True)
    report.write_text("FINDINGS: clear.")
    return image


def test_mimic_cxr_jpg_with_mimic_iv(tmp_path: Path) -> None:
    image = mimic(tmp_path)
    table(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz",
        {**image, "ViewPosition": "LL", "StudyDate": 21830506},
        {**image, "dicom_id": "cc", "subject_id": "19", "study_id": "7", "ViewPosition": "PA", "StudyDate": 21830506},
    )
    first, second = records(tmp_path, "mimic-cxr-jpg")
    assert first.name == "files/p10/p10000032/s50414267/aa-bb.jpg"
    assert first.report == tmp_path / "files" / "p10" / "p10000032" / "s50414267.txt"
    assert first.metadata == {"view": "LATERAL", "sex": "F", "age": 55.0}
    assert first.split == "val"
    assert list(first.labels) == list(CHEXPERT)
    assert {name: value for name, value in first.labels.items() if value is not None} == {"Edema": -1}
    assert (second.labels, second.report, second.metadata, second.split) == ({}, None, {"view": "PA"}, None)


def test_mimic_cxr_as_dicom_takes_the_dates_of_the_other_release(tmp_path: Path) -> None:
    image = mimic(tmp_path)
    table(tmp_path / "cxr-record-list.csv.gz", {**image, "path": "files/p10/p10000032/s50414267/aa-bb.dcm"})
    (record,) = records(tmp_path, "mimic-cxr")
    assert record.name == "files/p10/p10000032/s50414267/aa-bb.dcm"
    assert record.metadata == {"sex": "F"}
    table(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", {**image, "StudyDate": 21830506})
    (tmp_path / "mimic-cxr-reports").mkdir()
    (tmp_path / "files").rename(tmp_path / "mimic-cxr-reports" / "files")
    (record,) = records(tmp_path, "mimic-cxr")
    assert record.metadata == {"sex": "F", "age": 55.0}
    assert record.report == tmp_path / "mimic-cxr-reports" / "files" / "p10" / "p10000032" / "s50414267.txt"


def test_padchest(tmp_path: Path) -> None:
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
    table(
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


def test_brax(tmp_path: Path) -> None:
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
    table(tmp_path / "master_spreadsheet.csv", {**row, "PatientID": "the table before the update"})
    table(
        tmp_path / "master_spreadsheet_update.csv", row, {**row, "PngPath": "images/b.png", "PatientAge": "85 or more"}
    )
    first, second = records(tmp_path, "brax")
    assert (first.name, first.patient, first.study) == ("images/id_1/image-4.png", "id_1", "2")
    assert first.metadata == {"view": "LATERAL", "sex": "M", "age": 57.5, "manufacturer": "3"}
    assert first.labels["Edema"] == 0
    assert second.metadata["age"] == 85.0
    (tmp_path / "Anonymized_DICOMs").mkdir()
    table(tmp_path / "master_spreadsheet_update.csv", row)
    assert records(tmp_path, "brax")[0].name == row["DicomPath"]


def test_vindr_cxr_readers_become_a_consensus(tmp_path: Path) -> None:
    place = tmp_path / "annotations"
    votes = [(1, 1, 0), (1, 0, 0), (1, 0, 0)]
    table(
        place / "image_labels_train.csv",
        *(
            {"image_id": "a", "rad_id": f"R{i}", "Cardiomegaly": c, "Edema": e, "Other diseases": o}
            for i, (c, e, o) in enumerate(votes)
        ),
    )
    box = {"image_id": "a", "class_name": "Cardiomegaly", "x_min": 0, "y_min": 0, "x_max": 100, "y_max": 100}
    table(
        place / "annotations_train.csv",
        {**box, "rad_id": "R0"},
        {**box, "rad_id": "R1", "x_max": 110},
        {**box, "rad_id": "R2", "x_min": 500, "x_max": 600},
        {**box, "rad_id": "R2", "class_name": "No finding", "x_min": ""},
    )
    table(place / "image_labels_test.csv", {"image_id": "b", "Cardiomegaly": 0, "Edema": 0, "Other disease": 1})
    table(place / "annotations_test.csv", {**box, "image_id": "b", "class_name": "Other disease"})
    first, second = records(tmp_path, "vindr-cxr")
    assert first.labels == {"Cardiomegaly": 1, "Edema": -1, "Other diseases": 0}
    assert first.boxes == (Box("Cardiomegaly", 0, 0, 105, 100),)
    assert (first.name, first.split) == ("train/a.dicom", "train_val")
    assert second.labels == {"Cardiomegaly": 0, "Edema": 0, "Other diseases": 1}
    assert second.boxes == (Box("Other diseases", 0, 0, 100, 100),)
    assert second.split == "test"


def test_vinbigdata_on_kaggle_is_the_same_set(tmp_path: Path) -> None:
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
    table(
        tmp_path / "train.csv", row, nothing | {"image_id": "b"}, {**row, "rad_id": "R2"}, {**nothing, "rad_id": "R3"}
    )
    first, second = records(tmp_path, "vindr-cxr")
    assert first.labels == {"Edema": 1, "No finding": -1}
    assert first.boxes == (Box("Edema", 1, 2, 10, 20),)
    assert second.labels == {"Edema": 0, "No finding": 1}


@pytest.mark.parametrize("keyed", [True, False])
def test_vindr_ribcxr(tmp_path: Path, keyed: bool) -> None:
    square = [{"x": 2, "y": 1}, {"x": 6, "y": 1}, {"x": 6, "y": 4}, {"x": 2, "y": 4}]
    content = {"img": ["data/val/img/a.png", "data/val/img/b.png"], "R1": [square, "None"], "L1": ["None", square]}
    if keyed:
        content = {name: {str(i): value for i, value in enumerate(column)} for name, column in content.items()}
    (tmp_path / "data" / "val").mkdir(parents=True)
    (tmp_path / "data" / "val" / "Vindr_RibCXR_val_mask.json").write_text(json.dumps(content))
    first, second = records(tmp_path, "vindr-ribcxr")
    assert (first.name, first.split) == ("data/val/img/a.png", "val")
    assert (list(first.masks), list(second.masks)) == (["R1"], ["L1"])
    mask = load_mask(first.masks["R1"], (8, 10))
    assert mask.sum() == mask[1:5, 2:7].sum() == 20


def test_candid_ptx_with_names_of_ones_own(tmp_path: Path) -> None:
    row = {
        "SOPInstanceUID": "1.2",
        "filename": "P0042_20100101.dcm",
        "Report": "Small pneumothorax.",
        "EncodedPixels": "3 2",
    }
    rows = (
        row,
        row,
        {**row, "EncodedPixels": "9 1"},
        {**row, "SOPInstanceUID": "1.3", "EncodedPixels": "-1", "Report": ""},
    )
    table(tmp_path / "Pneumothorax_reports.csv", *rows)
    table(tmp_path / "chest_tube.csv", {"anon_SOPUID": "1.3", "mask_rle": "0 4"})
    first, second = records(tmp_path, "candid-ptx")
    assert (first.name, first.patient, first.report) == ("dataset/1.2.dcm", "0042", "Small pneumothorax.")
    assert first.masks == {"pneumothorax": RunLength(("3 2", "9 1"))}
    assert first.labels == {"pneumothorax": 1, "chest_tube": 0}
    assert (list(second.masks), second.report) == (["chest_tube"], None)
    table(
        tmp_path / "Pneumothorax_reports.csv",
        *({("rle" if k == "EncodedPixels" else k): v for k, v in r.items()} for r in rows),
    )
    layout = cxr_io.candid_ptx(mask="rle", images="dicom")
    assert next(iter(cxr_io.list_items(tmp_path, layout, None)[1])).name == "dicom/1.2.dcm"


def test_rsna(tmp_path: Path) -> None:
    box = {"patientId": "a", "x": 264.0, "y": 152.0, "width": 213.0, "height": 379.0, "Target": 1}
    none = {"patientId": "b", "x": "", "y": "", "width": "", "height": "", "Target": 0}
    table(tmp_path / "stage_2_train_labels.csv", box, {**box, "x": 1.0}, none)
    a = {"patientId": "a", "class": "Lung Opacity"}
    table(tmp_path / "stage_2_detailed_class_info.csv", a, a, {"patientId": "b", "class": "Normal"})
    table(
        tmp_path / "kaggle_stage_2_train_images_dicom_headers.csv",
        {"PatientID": "b", "ViewPosition": "PA", "PatientSex": "M", "PatientAge": 155},
    )
    first, second = records(tmp_path, "rsna")
    assert first.boxes == (Box("Lung Opacity", 264, 152, 213, 379), Box("Lung Opacity", 1, 152, 213, 379))
    assert first.labels == {"Lung Opacity": 1, "Normal": 0}
    assert second.labels == {"Lung Opacity": 0, "Normal": 1}
    assert second.metadata == {"view": "PA", "sex": "M"}
    assert second.boxes == ()


def test_siim_acr(tmp_path: Path) -> None:
    column = " EncodedPixels"
    table(
        tmp_path / "train-rle.csv",
        {"ImageId": "1.2", column: " 3 2 4 2"},
        {"ImageId": "1.3", column: " -1"},
        {"ImageId": "1.2", column: " 0 1"},
    )
    nested = tmp_path / "dicom-images-train" / "1.9" / "1.8" / "1.2.dcm"
    picture(nested.with_suffix(".png"))
    nested.with_suffix(".png").rename(nested)
    first, second = records(tmp_path, "siim-acr")
    assert first.path == nested
    assert (first.labels, second.labels) == ({"Pneumothorax": 1}, {"Pneumothorax": 0})
    assert (first.masks, second.masks) == ({"pneumothorax": RunLength(("3 2 4 2", "0 1"))}, {})


def test_open_i(tmp_path: Path) -> None:
    report = (
        '<eCitation><AbstractText Label="FINDINGS">Clear.</AbstractText><AbstractText Label="IMPRESSION"/>'
        '<MeSH><major>{}</major></MeSH><parentImage id="CXR{}"/></eCitation>'
    )
    (tmp_path / "ecgen-radiology").mkdir()
    (tmp_path / "ecgen-radiology" / "10.xml").write_text(report.format("No Indexing", "10_1"))
    (tmp_path / "ecgen-radiology" / "2.xml").write_text(report.format("Cardiomegaly/mild", "2_1"))
    picture(tmp_path / "NLMCXR_png" / "CXR2_1.png")
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "10_1.dcm").touch()
    first, second = records(tmp_path, "open-i")
    assert first.path == tmp_path / "NLMCXR_png" / "CXR2_1.png"
    assert second.path == tmp_path / "dicom" / "10_1.dcm"
    assert (first.patient, first.labels, second.labels) == ("2", {"cardiomegaly": 1}, {})
    assert first.report == "FINDINGS: Clear."
    (tmp_path / "ecgen-radiology" / "3.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(cxr_io.CxrError, match=r"3\.xml"):
        records(tmp_path, "open-i")


def test_montgomery(tmp_path: Path) -> None:
    for name in ("MCUCXR_0001_0.png", "MCUCXR_0104_1.png"):
        picture(tmp_path / "CXR_png" / name)
    picture(tmp_path / "ManualMask" / "leftMask" / "MCUCXR_0001_0.png")
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings" / "MCUCXR_0001_0.txt").write_text("Patient's Sex: F\nPatient's Age: 027Y\nnormal")
    first, second = records(tmp_path, "montgomery")
    assert first.metadata == {"view": "PA", "sex": "F", "age": 27.0}
    assert (first.labels, second.labels) == ({"Tuberculosis": 0}, {"Tuberculosis": 1})
    assert list(first.masks) == ["left_lung"]
    assert second.report is None


def test_shenzhen(tmp_path: Path) -> None:
    for name in ("CHNCXR_0001_0.png", "CHNCXR_0327_1.png"):
        picture(tmp_path / "CXR_png" / name)
    picture(tmp_path / "mask" / "CHNCXR_0327_1_mask.png")
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings" / "CHNCXR_0001_0.txt").write_text("female, 14 days\nnormal")
    first, second = records(tmp_path, "shenzhen")
    assert first.metadata == {"sex": "F", "age": 0.038}
    assert second.labels == {"Tuberculosis": 1}
    assert list(second.masks) == ["lungs"]


def test_jsrt_with_its_raw_pixels(tmp_path: Path) -> None:
    density = np.arange(2048 * 2048, dtype=np.int64).reshape(2048, 2048) % 4096
    (tmp_path / "All247images").mkdir()
    for name in ("JPCLN001.IMG", "JPCNN001.IMG"):
        density.astype(">u2").tofile(tmp_path / "All247images" / name)
    (tmp_path / "CLNDAT_EN.txt").write_text(
        "JPCLN001.IMG\t5\t14\t53\tMale\t1634\t692\tmalignant\tl.upper lobe\tcancer\n"
    )
    (tmp_path / "CNNDAT_EN.TXT").write_text("JPCNN001.IMG\t78\tFemale\tnon-nodule\n")
    first, second = records(tmp_path, "jsrt")
    assert first.metadata == {"view": "PA", "sex": "M", "age": 53.0}
    assert first.boxes == (Box("Nodule", 1594, 652, 80, 80),)
    assert second.metadata == {"view": "PA", "sex": "F", "age": 78.0}
    assert (first.labels, second.labels) == ({"Nodule": 1}, {"Nodule": 0})
    (tmp_path / "CLNDAT_EN.txt").write_text("JPCLN001.IMG\t5\tlarge\t53\tMale\t1634\t692\nJPCNN001.IMG\n")
    assert [(record.metadata.get("sex"), record.boxes) for record in records(tmp_path, "jsrt")] == [
        ("M", ()),
        ("F", ()),
    ]
    seen = cxr_io.read(first.path)
    assert seen.spacing_mm == (0.175, 0.175)
    assert (seen.pixels[0, 0], seen.pixels[0, 4095 % 2048], seen.pixels[1, 2047]) == (65535, 32776, 0)


def test_lungs_of_the_shared_radiographs_pair_with_their_masks(tmp_path: Path) -> None:
    place = next((p for a in Path(__file__).parents if (p := a / "shared" / "data" / "lungs").exists()), None)
    if place is None:
        pytest.skip("the real radiographs of ../shared/data are not here")
    with (place / "lungs.csv").open() as file:
        rows = list(csv.DictReader(file))[:8]
    table(
        tmp_path / "labels.csv",
        *(
            {
                "path": r["image"],
                "patient": r["patient_id"],
                "mask.lungs": r["mask"],
                "normal": int(r["label"] == "normal"),
            }
            for r in rows
        ),
    )
    summary = cxr_io.ingest(
        place, tmp_path / "out", labels=tmp_path / "labels.csv", short_side=128, workers=1, key="k" * 16
    )
    assert (summary.accepted, summary.rejected) == (8, 0)
