"""Facts about identity: nothing that could name a patient gets into the folder of shards."""

import csv
import logging
import struct
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pydicom
import pytest
from cxr_io._identity import allowed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ComputedRadiographyImageStorage, ImplicitVRLittleEndian, generate_uid

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of every planted word
KEY = "a key for these tests"
PLANTED = "Zqxplanted"
TEXTUAL = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
# Without these as they should be, there is no image. They are planted one at a time.
STRUCTURE = (
    "SOPClassUID", "Modality", "PhotometricInterpretation", "NumberOfFrames", "PixelAspectRatio", "RescaleSlope",
    "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape", "SpecificCharacterSet",
    "PixelSpacing", "ImagerPixelSpacing",
)  # fmt: skip
TAGS = [
    Tag(tag) for tag, entry in DicomDictionary.items() if entry[0] in TEXTUAL and keyword_for_tag(tag) not in STRUCTURE
]


def radiograph(word: str, structure: str | None = None) -> Dataset:
    """A radiograph with a word in every textual tag, in private ones, and in sequences within sequences.

    Written in implicit VR, so that text stands even where the standard wants a number or a date.
    """
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.file_meta.SourceApplicationEntityTitle = word
    for tag in TAGS:
        if tag.group not in (0x0000, 0x0002, 0x0006) and not tag.is_private:
            ds[tag] = DataElement(tag, "UT", f"{word}{tag:08x}")
    ds.Modality, ds.SOPClassUID, ds.PhotometricInterpretation = "DX", ComputedRadiographyImageStorage, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = 40, 32, 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = np.arange(40 * 32, dtype=np.uint16).tobytes()
    ds.private_block(0x0011, f"{word} maker", create=True).add_new(0x01, "LO", word)
    inner = Dataset()
    inner[0x00100010] = DataElement(0x00100010, "UT", word)
    outer = Dataset()
    outer.OtherPatientIDsSequence = [inner]
    ds.RequestAttributesSequence = [outer]
    if structure:
        ds[structure] = DataElement(structure, "UT", word)
    return ds


def chunked(png: bytes, word: str) -> bytes:
    """A PNG with a comment."""
    text = b"tEXt" + b"Comment\0" + word.encode()
    at = 8 + 25  # the signature and IHDR
    return png[:at] + struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)) + png[at:]


def commented(jpeg: bytes, word: str) -> bytes:
    """A JPEG with a comment."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(word) + 2) + word.encode() + jpeg[2:]


def plant(root: Path, word: str, structure: str) -> Path:
    """An archive with the word wherever a person could have written it, images that are rejected included."""
    place = root / word / "sub"
    place.mkdir(parents=True)
    image = np.arange(40 * 32, dtype=np.uint16).reshape(40, 32)
    radiograph(word).save_as(place / f"{word}1.dcm", enforce_file_format=True)
    radiograph(word, structure).save_as(place / f"{word}2.dcm", enforce_file_format=True)
    (place / f"{word}3.png").write_bytes(chunked(bytes(cv2.imencode(".png", image)[1]), word))
    (place / f"{word}4.jpg").write_bytes(commented(bytes(cv2.imencode(".jpg", (image // 5).astype(np.uint8))[1]), word))
    (place / f"{word}5.txt").write_text(word)
    cut = radiograph(word)
    cut.PixelData = cut.PixelData[:100]
    cut.save_as(place / f"{word}7.dcm", enforce_file_format=True)
    other = radiograph(word)
    other.Modality = word[:16]
    other.save_as(place / f"{word}8.dcm", enforce_file_format=True)
    (place / f"{word}mask.png").write_bytes(chunked(bytes(cv2.imencode(".png", np.ones((40, 32), np.uint8))[1]), word))
    (place / f"{word}report.txt").write_text("FINDINGS: none")
    with (root / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "patient", "study", "view", "sex", "manufacturer", "opacity", "mask.lungs", "report"])
        for name in (
            f"{word}1.dcm",
            f"{word}2.dcm",
            f"{word}3.png",
            f"{word}4.jpg",
            f"{word}5.txt",
            f"{word}6.png",
            f"{word}7.dcm",
        ):
            more = [f"{word}/sub/{word}mask.png", f"{word}/sub/{word}report.txt"]
            table.writerow([f"{word}/sub/{name}", word, word, word, word, f"Siemens {word}", "1", *more])
    return root


def written(out: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte in the folder of shards and every value in its table, with where it is."""
    for path in out.rglob("*"):
        yield "name", str(path.relative_to(out)).encode()
        if path.is_file():
            yield path.name, path.read_bytes()
        if path.suffix == ".tar":
            with tarfile.open(path) as tar:
                for member in tar:
                    yield "member", repr(member.get_info()).encode()
    from cxr_io._table import read_table

    yield "rows", repr(list(read_table(out))).encode()


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "pydicom")


@pytest.mark.slow
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=6, max_size=12), st.sampled_from(STRUCTURE),
    st.sampled_from(["csv", "folder"]), st.sampled_from(["png", "jxl"]),
)  # fmt: skip
def test_what_is_planted_anywhere_is_found_nowhere(
    tmp_path_factory: pytest.TempPathFactory, tail: str, structure: str, dataset: str, codec: str
) -> None:
    place = tmp_path_factory.mktemp("planted")
    word = PLANTED + tail
    source = plant(place / "source", word, structure)
    summary = cxr_io.ingest(
        source, place / "out", dataset=dataset, codec=codec, short_side=32, key=KEY, workers=0, samples_per_shard=2
    )
    assert summary.accepted >= 3
    assert summary.rejected >= 1
    for where, data in written(place / "out"):
        assert word.lower().encode() not in data.lower(), where


def test_workers_say_nothing_of_what_is_in_a_header(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", PLANTED, "PixelSpacing")
    code = "import sys, cxr_io\ncxr_io.ingest(sys.argv[1], sys.argv[2], workers=1, key=sys.argv[3])"
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "out"), KEY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_words_of_the_test_are_really_in_the_file(tmp_path: Path) -> None:
    radiograph(PLANTED).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert PLANTED in str(found.PatientName)
    assert (tmp_path / "a.dcm").read_bytes().count(PLANTED.encode()) > 1000


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text of a fresh checkout: its table is made
@given(
    st.dictionaries(
        st.sampled_from(["view", "sex", "age", "height_cm", "weight_kg", "bmi", "manufacturer", "name"]),
        st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.sampled_from(["Siemens AG", "GE", "pa", "m"])),
    )
)
def test_only_members_of_a_list_and_numbers_of_a_body_pass(known: dict[str, object]) -> None:
    found = allowed(known)
    assert found.pop("view") in ("PA", "AP", "LATERAL", None)
    assert found.pop("sex") in ("M", "F", None)
    maker = found.pop("manufacturer")
    assert maker is None or maker in ("other", "Siemens", "GE") or maker.lower() in str(known["manufacturer"]).lower()
    assert set(found) == {"age", "height_cm", "weight_kg", "bmi"}
    assert all(value is None or 0 <= value <= 700 for value in found.values())
    assert found["age"] is None or found["age"] <= 90


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("GE Healthcare", "GE"), ('"GE MEDICAL SYSTEMS"', "GE"), ("FUJI PHOTO FILM Co., ltd.", "Fujifilm"),
        ("FUJIFILM Corporation", "Fujifilm"), ("Philips Medical Systems", "Philips"), ("Siemens John Doe", "Siemens"),
        ("Geraldine Jones", "other"), ("", None), ("  ", None),
    ],
)  # fmt: skip
def test_a_manufacturer_is_one_of_a_list(text: str, maker: str | None) -> None:
    assert allowed({"manufacturer": text})["manufacturer"] == maker


def test_a_key_file_gives_the_same_hashes_and_a_short_key_is_refused(tmp_path: Path) -> None:
    from cxr_io._identity import read_key

    (tmp_path / "key").write_text(KEY + "\n")
    assert read_key(tmp_path / "key") == KEY
    (tmp_path / "key").write_text("short")
    with pytest.raises(cxr_io.CxrError, match="at least 16 characters, got 5"):
        read_key(tmp_path / "key")
    with pytest.raises(cxr_io.CxrError, match="expected a key in"):
        read_key(tmp_path / "none")
