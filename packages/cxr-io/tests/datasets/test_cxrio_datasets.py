"""Facts about what data sets share: tables, files, masks, reports, splits, exclusions."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import cxr_io
import numpy as np
import pytest
from cxr_io import CxrError, Record, check_splits, load_mask, sections
from cxr_io.datasets import Polygons, RunLength, split_for
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

Listed = Callable[[Path, str], list[Record]]


KEY = "a key for these tests"


def listed(source: Path, dataset: str = "auto", labels: Path | None = None) -> list[Record]:
    return list(cxr_io.list_items(source, dataset, labels)[1])


def test_a_folder_is_listed_in_the_order_of_its_paths(tmp_path: Path) -> None:
    names = ["b.png", "a/z.png", "a/b/c.png", "a-b.png", "a.png", "a/.hidden/x.png", ".DS_Store", "é.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = [record.name for record in listed(tmp_path)]
    assert found == sorted(name for name in names if "/." not in name and not name.startswith("."))


def test_a_long_table_is_not_kept_in_memory(tmp_path: Path) -> None:
    code = (
        "import resource, sys, cxr_io\n"
        "from pathlib import Path\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count = sum(1 for _ in cxr_io.list_items(Path(sys.argv[1]), 'csv', None)[1])\n"
        "print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    with (tmp_path / "labels.csv").open("w") as file:
        file.write("path,patient,opacity,report\n")
        file.writelines(f"images/{i:06d}.png,{i},1,r/{i}.txt\n" for i in range(100_000))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    count, megabytes = done.stdout.split()
    assert int(count) == 100_000
    assert float(megabytes) < 30  # as records they take more than 100


def test_an_image_that_comes_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path\na.png\nb.png\na.png\n")
    with pytest.raises(CxrError, match=r"a\.png again"):
        listed(tmp_path)


def test_a_single_file_is_a_source_and_a_folder_that_went_away_is_not(records: Listed, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").touch()
    assert [record.name for record in listed(tmp_path / "a.dcm")] == ["a.dcm"]
    records = iter(cxr_io.list_items(tmp_path, "folder", None)[1])
    (tmp_path / "a.dcm").unlink()
    tmp_path.rmdir()
    with pytest.raises(CxrError, match="a readable folder") as caught:
        next(records)
    assert caught.value.code == "missing_source"


def test_a_table_may_lie_elsewhere_but_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.png").touch()
    (tmp_path / "mine.csv").write_text("path\na.png\n")
    (record,) = listed(tmp_path / "source", labels=tmp_path / "mine.csv")
    assert record.path == tmp_path / "source" / "a.png"
    with pytest.raises(CxrError, match="found nothing at"):
        listed(tmp_path / "source", labels=tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "content", "dataset", "message"),
    [
        ("train.csv", b"Path\ntrain/patient1.jpg\n", "chexpert", "expected .*view1|expected .*x.jpg"),
        ("train.csv", b"\xff\xfe\n", "vindr-cxr", "UTF-8"),
        ("stage_2_train_labels.csv", b"patientId,x,y,width,height,Target\na,,,,,yes\n", "rsna", "tables of rsna.*yes"),
        ("master_spreadsheet.csv", b"PngPath,PatientID,AccessionNumber,Edema\na,b,c,2\n", "brax", "tables of brax.*2"),
        ("VinDr_RibCXR_train_mask.json", b"{}", "vindr-ribcxr", "columns img"),
        ("ecgen-radiology/1.xml", b"<a>", "open-i", "XML at 1.xml"),
    ],
)
def test_a_table_that_is_not_what_its_name_says_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, dataset: str, message: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CxrError, match=message):
        listed(tmp_path, dataset)


def test_a_table_of_another_kind_recognises_nothing(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"\xff\xfe\n")
    assert cxr_io.list_items(tmp_path, "auto", None)[0] == "folder"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image\n1\n", "a column 'path'"),
        (b"", "a column 'path'"),
        (b"path\n\xff\n", "UTF-8"),
        (b"path,x\na,2\n", "1, 0, -1"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(CxrError, match=message):
        listed(tmp_path)


def test_a_layout_without_its_table_says_which(tmp_path: Path) -> None:
    for name in cxr_io.DATASETS:
        if name not in ("auto", "folder", "csv", "chexpert", "vindr-ribcxr", "montgomery", "shenzhen", "jsrt"):
            with pytest.raises(CxrError, match=r"expected .*(csv|xml)"):
                listed(tmp_path, name)


@settings(deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_lengths_of_both_conventions_render_the_mask_they_encode(start: type[Any], mask: np.ndarray) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel().astype(int), [0]]))).reshape(-1, 2)
    kaggle = " ".join(f"{start + 1} {stop - start}" for start, stop in edges)
    before = [0, *edges[:-1, 1]] if len(edges) else []
    siim = " ".join(f"{start - end} {stop - start}" for (start, stop), end in zip(edges, before, strict=True))
    assert np.array_equal(load_mask(RunLength((kaggle,), "kaggle"), mask.shape), mask)
    assert np.array_equal(load_mask(RunLength((siim,)), mask.shape), mask)


@pytest.mark.parametrize("code", ["1", "a b", "-3 2", "0 17", "3 -1", "99999999999999999999 1"])
def test_a_code_that_leaves_the_image_is_refused(code: str) -> None:
    with pytest.raises(CxrError, match="expected") as caught:
        load_mask(RunLength((code,)), (4, 4))
    assert caught.value.code == "bad_mask"


def test_several_codes_are_parts_of_one_mask() -> None:
    assert load_mask(RunLength(("0 2", "4 2")), (4, 3)).T.ravel().tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]


def test_a_mask_file_keeps_its_values_and_must_have_the_image_s_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), np.array([[0, 3], [300, 1]], np.uint16))
    assert load_mask(tmp_path / "m.png", (2, 2)).tolist() == [[0, 3], [300, 1]]
    (tmp_path / "empty.png").touch()
    for path, shape in (("m.png", (2, 3)), ("absent.png", (2, 2)), ("empty.png", (2, 2))):
        with pytest.raises(CxrError, match=path) as caught:
            load_mask(tmp_path / path, shape)
        assert caught.value.code == "bad_mask"
    data = bytearray((tmp_path / "m.png").read_bytes())
    data[16:24] = struct.pack(">II", 30000, 30000)  # refused before it is decoded, which would take two gigabytes
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(CxrError, match=r"shape \(30000, 30000\) in bomb"):
        load_mask(tmp_path / "bomb.png", (2, 2))


def test_polygons_cover_the_pixels_that_their_outline_crosses() -> None:
    mask = load_mask(Polygons((((2.4, 2.4), (7.4, 2.4), (7.4, 5.6), (2.4, 5.6)), ((0, 0), (0, 0)))), (10, 12))
    assert mask.dtype == np.uint8
    assert mask[2:7, 2:8].all()
    assert mask[0, 0]
    assert mask.sum() == 31


def test_sections_of_a_report_in_mimic_s_style() -> None:
    report = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 TECHNIQUE:  Chest PA and lateral

 FINDINGS:

 There is no focal consolidation: the lungs are clear.

 WET READ: No change.

 CONCLUSION:
 No acute process.
"""
    assert sections(report) == {
        "": "FINAL REPORT",
        "examination": "CHEST (PA AND LAT)",
        "indication": "___F with new onset ascites  // eval for infection",
        "technique": "Chest PA and lateral",
        "findings": "There is no focal consolidation: the lungs are clear.",
        "wet read": "No change.",
        "impression": "No acute process.",
    }
    assert sections("FINDINGS: a\nIMPRESSION:\nHISTORY: b\nINDICATION: c") == {"findings": "a", "indication": "b\n\nc"}
    assert sections("") == {}


def record(patient: str | None, split: str | None, dataset: str = "nih") -> Record:
    return Record("x", Path("x"), patient=patient, split=split, dataset=dataset)


def test_a_patient_on_two_sides_is_a_leak() -> None:
    fine = [
        record("1", "train"),
        record("1", "train_val"),
        record("2", "test"),
        record(None, "test"),
        record("3", None),
    ]
    assert check_splits(fine) == []
    (leak,) = check_splits([*fine, record("1", "test"), record("2", "train", "chexpert")])
    assert (leak.kind, leak.what, leak.reason) == ("patient", "nih: 1", "in test and train")


def test_data_sets_that_share_images_are_a_leak() -> None:
    leaks = check_splits([record("1", "train", "nih"), record("1", "test", "rsna"), record("1", "test", "siim-acr")])
    assert [leak.what for leak in leaks] == ["nih and rsna", "nih and siim-acr", "rsna and siim-acr"]
    assert {leak.kind for leak in leaks} == {"overlap"}


@settings(deadline=None)
@given(st.text(min_size=1))
def test_a_published_test_set_stays_one(patient: str) -> None:
    key = KEY.encode()
    assert split_for(key, "test", patient) == "test"
    assert split_for(key, "train_val", patient) in ("train", "val")
    free = split_for(key, None, patient)
    # With a test set or without, a patient for training stays one.
    assert free != "train" or split_for(key, "train_val", patient) == "train"


def test_an_eighth_of_train_val_is_for_validation() -> None:
    drawn = [split_for(KEY.encode(), "train_val", str(i)) for i in range(4000)]
    assert 430 < drawn.count("val") < 570


def test_boxes_codes_and_texts_reach_the_shards_at_the_image_s_scale(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65535, (64, 96), dtype=np.uint16)
    source = tmp_path / "source"
    source.mkdir()
    for i in range(4):
        cv2.imwrite(str(source / f"{i}.png"), pixels)

    def records(root: Path, _table: Path | None):  # type: ignore[no-untyped-def]
        for i in range(4):
            yield Record(
                f"{i}.png", root / f"{i}.png", split="train", boxes=(cxr_io.Box("a", 8, 4, 40, 20),),
                masks={"m": RunLength((f"0 {64 * 48}",))}, report="Clear.", dataset="mine",
            )  # fmt: skip

    layout = cxr_io.Layout("mine", lambda _: True, records)
    cxr_io.ingest(source, tmp_path / "shards", dataset=layout, short_side=32, workers=1, key=KEY)
    for sample in cxr_io.ShardStream(tmp_path / "shards", split="train"):
        assert sample.image.shape == (32, 48)
        assert sample.meta["boxes"] == [{"name": "a", "x": 4, "y": 2, "width": 20, "height": 10}]
        assert sample.masks["m"][:, :24].all()
        assert not sample.masks["m"][:, 24:].any()
        assert sample.report == "Clear."
