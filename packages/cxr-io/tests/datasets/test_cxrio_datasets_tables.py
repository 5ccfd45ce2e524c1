"""Facts about the real metadata tables that the package torchxrayvision carries: the published counts come out."""

import importlib.util
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cxr_io
import pytest
from cxr_io import Record
from cxr_io.datasets import check_splits


@pytest.fixture(scope="module")
def tables() -> Path:
    found = importlib.util.find_spec("torchxrayvision")  # found and not imported: it would import torch
    if found is None or found.origin is None:
        pytest.skip("torchxrayvision, whose metadata tables these tests read, is not installed")
    return Path(found.origin).parent / "data"


def read(source: Path, dataset: str, table: Path | None = None) -> Iterator[Record]:
    return iter(cxr_io.list_items(source, dataset, table)[1])


def test_chestxray14(tables: Path, tmp_path: Path) -> None:
    shutil.copy(tables / "BBox_List_2017.csv.gz", tmp_path)
    patients, views, sexes, boxes, oldest = set(), Counter[str](), Counter[str](), 0, 0.0
    for record in read(tmp_path, "nih", tables / "Data_Entry_2017_v2020.csv.gz"):
        patients.add(record.patient)
        views[record.metadata["view"]] += 1
        sexes[record.metadata["sex"]] += 1
        boxes += len(record.boxes)
        oldest = max(oldest, record.metadata["age"])
    assert views == {"PA": 67310, "AP": 44810}
    assert sexes == {"M": 63340, "F": 48780}
    assert (len(patients), boxes, oldest) == (30805, 984, 95)


def test_chexpert(tables: Path, tmp_path: Path) -> None:
    views, sexes, values = Counter[str | None](), Counter[str | None](), Counter[int | None]()
    for record in read(tmp_path, "chexpert", tables / "chexpert_train.csv.gz"):
        views[record.metadata.get("view")] += 1
        sexes[record.metadata.get("sex")] += 1
        values.update(record.labels.values())
    assert views == {"AP": 161590, "PA": 29420, "LATERAL": 32387 + 16 + 1}
    assert (sexes.total(), sexes[None]) == (223414, 1)
    assert set(values) == {1, 0, -1, None}


@pytest.mark.slow
def test_padchest(tables: Path, tmp_path: Path) -> None:
    patients, views, sexes, ageless, unlabelled, silent = set(), Counter[str | None](), Counter[str | None](), 0, 0, 0
    table = tables / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    for record in read(tmp_path, "padchest", table):
        patients.add(record.patient)
        views[record.metadata.get("view")] += 1
        sexes[record.metadata.get("sex")] += 1
        ageless += "age" not in record.metadata
        unlabelled += record.labels["normal"] is None
        silent += record.report is None
    assert views == {"PA": 91728, "LATERAL": 49579, "AP": 14346 + 4559, None: 630 + 11 + 8}
    assert sexes == {"M": 80920, "F": 79919, None: 22}
    assert (len(patients), ageless, unlabelled) == (67625, 6, 103)
    assert silent == 139  # 116 say nan, 23 say it with spaces around


def test_rsna(tables: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tables / "kaggle_stage_2_train_labels.csv.zip") as archive:
        archive.extract("stage_2_train_labels.csv", tmp_path)
    shutil.copy(tables / "kaggle_stage_2_train_images_dicom_headers.csv.gz", tmp_path)
    records = list(read(tmp_path, "auto"))
    assert len({record.patient for record in records}) == len(records) == 26684
    assert sum(len(record.boxes) for record in records) == 9555
    assert sum(record.labels["Lung Opacity"] == 0 for record in records) == 20672
    assert Counter(record.metadata["sex"] for record in records) == {"M": 15166, "F": 11518}
    assert max(record.metadata.get("age", 0) for record in records) <= 120  # the table goes up to 155
    assert sum("age" not in record.metadata for record in records) == 5


def test_siim_acr(tables: Path, tmp_path: Path) -> None:
    shutil.copy(tables / "siim-pneumothorax-train-rle.csv.gz", tmp_path / "train-rle.csv.gz")
    records = list(read(tmp_path, "auto"))
    assert len(records) == 12047
    assert sum(not record.masks for record in records) == 9378
    assert sum(len(mask.codes) for record in records for mask in record.masks.values()) == 12954 - 9378
    # Every mask of the table lies within its image of 1024 x 1024.
    drawn = [mask for record in records for mask in record.masks.values()]
    assert all(0 < cxr_io.load_mask(mask, (1024, 1024)).mean() < 0.25 for mask in drawn[:300])


def test_vinbigdata(tables: Path, tmp_path: Path) -> None:
    shutil.copy(tables / "vinbigdata-train.csv.gz", tmp_path / "train.csv.gz")
    records = list(read(tmp_path, "auto"))
    assert len(records) == 15000
    assert {len(record.labels) for record in records} == {15}
    assert not any(record.labels["No finding"] == 1 and record.boxes for record in records)
    agreed = sum(record.labels["Cardiomegaly"] == 1 for record in records)
    assert 0 < sum(any(box.name == "Cardiomegaly" for box in record.boxes) for record in records) <= agreed


def test_open_i(tables: Path, tmp_path: Path) -> None:
    with tarfile.open(tables / "NLMCXR_reports.tgz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert len(list((tmp_path / "ecgen-radiology").glob("*.xml"))) == 3955
    records = list(read(tmp_path, "auto"))
    assert len(records) == 7470
    assert len({record.study for record in records}) == 3851  # the rest have no image
    assert {"findings", "impression"} <= set(cxr_io.sections(str(records[0].report)))
    assert check_splits(records) == []


def test_real_radiographs_of_chestxray14_list_with_their_files() -> None:
    place = next((p for a in Path(__file__).parents if (p := a / "shared" / "data" / "nih").exists()), None)
    if place is None:
        pytest.skip("the real radiographs of ../shared/data are not here")
    records = list(read(place, "auto"))
    assert len(records) == 830
    assert all(record.path.is_file() for record in records)
    assert len({record.patient for record in records}) > 400
