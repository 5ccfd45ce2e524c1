"""Facts about the layouts of data sets with masks and boxes, on tiny trees as their publishers lay them out."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cxr_io
import numpy as np
import pytest
from cxr_io import Box, Record, load_mask
from cxr_io.datasets import RunLength

Content = Callable[[Path], dict[str, bytes]]
Listed = Callable[[Path, str], list[Record]]


@pytest.mark.parametrize("keyed", [True, False])
def test_vindr_ribcxr(content: Content, records: Listed, tmp_path: Path, keyed: bool) -> None:
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


def test_candid_ptx_with_names_of_ones_own(write_table: Callable[..., None], records: Listed, tmp_path: Path) -> None:
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
    write_table(tmp_path / "Pneumothorax_reports.csv", *rows)
    write_table(tmp_path / "chest_tube.csv", {"anon_SOPUID": "1.3", "mask_rle": "0 4"})
    first, second = records(tmp_path, "candid-ptx")
    assert (first.name, first.patient, first.report) == ("dataset/1.2.dcm", "0042", "Small pneumothorax.")
    assert first.masks == {"pneumothorax": RunLength(("3 2", "9 1"))}
    assert first.labels == {"pneumothorax": 1, "chest_tube": 0}
    assert (list(second.masks), second.report) == (["chest_tube"], None)
    write_table(
        tmp_path / "Pneumothorax_reports.csv",
        *({("rle" if k == "EncodedPixels" else k): v for k, v in r.items()} for r in rows),
    )
    layout = cxr_io.candid_ptx(mask="rle", images="dicom")
    assert next(iter(cxr_io.list_items(tmp_path, layout, None)[1])).name == "dicom/1.2.dcm"


def test_rsna(write_table: Callable[..., None], records: Listed, tmp_path: Path) -> None:
    box = {"patientId": "a", "x": 264.0, "y": 152.0, "width": 213.0, "height": 379.0, "Target": 1}
    none = {"patientId": "b", "x": "", "y": "", "width": "", "height": "", "Target": 0}
    write_table(tmp_path / "stage_2_train_labels.csv", box, {**box, "x": 1.0}, none)
    a = {"patientId": "a", "class": "Lung Opacity"}
    write_table(tmp_path / "stage_2_detailed_class_info.csv", a, a, {"patientId": "b", "class": "Normal"})
    write_table(
        tmp_path / "kaggle_stage_2_train_images_dicom_headers.csv",
        {"PatientID": "b", "ViewPosition": "PA", "PatientSex": "M", "PatientAge": 155},
    )
    first, second = records(tmp_path, "rsna")
    assert first.boxes == (Box("Lung Opacity", 264, 152, 213, 379), Box("Lung Opacity", 1, 152, 213, 379))
    assert first.labels == {"Lung Opacity": 1, "Normal": 0}
    assert second.labels == {"Lung Opacity": 0, "Normal": 1}
    assert second.metadata == {"view": "PA", "sex": "M"}
    assert second.boxes == ()


def test_siim_acr(
    write_table: Callable[..., None], write_picture: Callable[..., None], records: Listed, tmp_path: Path
) -> None:
    column = " EncodedPixels"
    write_table(
        tmp_path / "train-rle.csv",
        {"ImageId": "1.2", column: " 3 2 4 2"},
        {"ImageId": "1.3", column: " -1"},
        {"ImageId": "1.2", column: " 0 1"},
    )
    nested = tmp_path / "dicom-images-train" / "1.9" / "1.8" / "1.2.dcm"
    write_picture(nested.with_suffix(".png"))
    nested.with_suffix(".png").rename(nested)
    first, second = records(tmp_path, "siim-acr")
    assert first.path == nested
    assert (first.labels, second.labels) == ({"Pneumothorax": 1}, {"Pneumothorax": 0})
    assert (first.masks, second.masks) == ({"pneumothorax": RunLength(("3 2 4 2", "0 1"))}, {})


def test_open_i(write_picture: Callable[..., None], records: Listed, tmp_path: Path) -> None:
    report = (
        '<eCitation><AbstractText Label="FINDINGS">Clear.</AbstractText><AbstractText Label="IMPRESSION"/>'
        '<MeSH><major>{}</major></MeSH><parentImage id="CXR{}"/></eCitation>'
    )
    (tmp_path / "ecgen-radiology").mkdir()
    (tmp_path / "ecgen-radiology" / "10.xml").write_text(report.format("No Indexing", "10_1"))
    (tmp_path / "ecgen-radiology" / "2.xml").write_text(report.format("Cardiomegaly/mild", "2_1"))
    write_picture(tmp_path / "NLMCXR_png" / "CXR2_1.png")
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


def test_montgomery(write_picture: Callable[..., None], records: Listed, tmp_path: Path) -> None:
    for name in ("MCUCXR_0001_0.png", "MCUCXR_0104_1.png"):
        write_picture(tmp_path / "CXR_png" / name)
    write_picture(tmp_path / "ManualMask" / "leftMask" / "MCUCXR_0001_0.png")
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings" / "MCUCXR_0001_0.txt").write_text("Patient's Sex: F\nPatient's Age: 027Y\nnormal")
    first, second = records(tmp_path, "montgomery")
    assert first.metadata == {"view": "PA", "sex": "F", "age": 27.0}
    assert (first.labels, second.labels) == ({"Tuberculosis": 0}, {"Tuberculosis": 1})
    assert list(first.masks) == ["left_lung"]
    assert second.report is None


def test_shenzhen(write_picture: Callable[..., None], records: Listed, tmp_path: Path) -> None:
    for name in ("CHNCXR_0001_0.png", "CHNCXR_0327_1.png"):
        write_picture(tmp_path / "CXR_png" / name)
    write_picture(tmp_path / "mask" / "CHNCXR_0327_1_mask.png")
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings" / "CHNCXR_0001_0.txt").write_text("female, 14 days\nnormal")
    first, second = records(tmp_path, "shenzhen")
    assert first.metadata == {"sex": "F", "age": 0.038}
    assert second.labels == {"Tuberculosis": 1}
    assert list(second.masks) == ["lungs"]


def test_jsrt_with_its_raw_pixels(records: Listed, tmp_path: Path) -> None:
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


def test_lungs_of_the_shared_radiographs_pair_with_their_masks(
    write_table: Callable[..., None], tmp_path: Path
) -> None:
    place = next((p for a in Path(__file__).parents if (p := a / "shared" / "data" / "lungs").exists()), None)
    if place is None:
        pytest.skip("the real radiographs of ../shared/data are not here")
    with (place / "lungs.csv").open() as file:
        rows = list(csv.DictReader(file))[:8]
    write_table(
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
