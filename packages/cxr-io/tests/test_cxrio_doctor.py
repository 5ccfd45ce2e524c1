"""Facts about `survey`: it tells before an ingest what the ingest would meet."""

from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4096, (300, 250), dtype=np.uint16)


def radiograph(path: Path, pixels: np.ndarray, **attributes: object) -> Path:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    ds.Modality, ds.PhotometricInterpretation, ds.SamplesPerPixel = "CR", "MONOCHROME2", 1
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    radiograph(root / "a.dcm", image(0), ViewPosition="PA", PatientName="Doe^Jane", StudyDate="20200101")
    radiograph(root / "b.dcm", image(1), ViewPosition="PA", PhotometricInterpretation="MONOCHROME1", PatientName="X^Y")
    (root / "b again.dcm").write_bytes((root / "b.dcm").read_bytes())
    radiograph(root / "c.dcm", image(1)[:, :200].copy(), BurnedInAnnotation="YES", Modality="DX")
    ds = radiograph(root / "d.dcm", image(3), SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")
    (root / "e.dcm").write_bytes(ds.read_bytes()[:200])
    cv2.imwrite(str(root / "f.png"), image(4))
    (root / "g.txt").write_text("words")
    return root


def test_it_counts_what_headers_say(archive: Path) -> None:
    found = cxr_io.survey(archive)
    assert (found["files"], found["examined"]) == (8, 8)
    assert found["kinds"] == {"dicom": 6, "raster": 1, "not_an_image": 1}
    assert {name[:11]: entry["files"] for name, entry in found["transfer_syntaxes"].items()} == {
        "Explicit VR": 5, "Implicit VR": 1,
    }  # fmt: skip
    assert found["photometric"] == {"MONOCHROME2": 3, "MONOCHROME1": 2, "absent": 1}
    assert found["bits"] == {"12 of 16": 5, "? of ?": 1}
    assert found["sizes"] == {"250 x 300": 5, "200 x 300": 1, "? x ?": 1}
    assert found["views"] == {"PA": 3, "absent": 3}
    assert found["modalities"] == {"CR": 3, "DX": 1, "OT": 1, "absent": 1}
    assert found["burned_in"] == {"not said": 4, "yes": 1, "secondary capture": 1}
    assert found["identifying"] == {"PatientName": 3, "StudyDate": 1}


def test_duplicates_are_found_by_instance_and_by_pixels(archive: Path, tmp_path: Path) -> None:
    assert cxr_io.survey(archive)["duplicates"] == {"instance": 2, "pixels": 2}
    radiograph(tmp_path / "a.dcm", image(0), PatientID="one")
    radiograph(tmp_path / "b.dcm", image(0), PatientID="another")
    assert cxr_io.survey(tmp_path)["duplicates"] == {"instance": 0, "pixels": 2}
    # One pixel apart, between the blocks that are looked at first.
    other = image(0)
    other[12, 0] ^= 1
    radiograph(tmp_path / "b.dcm", other)
    assert cxr_io.survey(tmp_path)["duplicates"] == {"instance": 0, "pixels": 0}


def test_the_estimate_is_what_an_ingest_then_does(archive: Path, tmp_path: Path) -> None:
    estimate = cxr_io.survey(archive, workers=2)["estimate"]
    summary = cxr_io.ingest(archive, tmp_path / "out", workers=0)
    assert (estimate["images"], estimate["rejected"]) == (summary.accepted, summary.rejected)
    size = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.tar"))
    assert 0.8 * size < estimate["bytes"] <= size
    assert estimate["seconds"] > 0
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("words")
    assert cxr_io.survey(tmp_path / "words")["estimate"] is None


def test_a_sample_is_drawn_by_seed_and_every_file_as_likely(tmp_path: Path) -> None:
    for i in range(20):
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), np.zeros((20, 20 + i), np.uint8))
    drawn = [cxr_io.survey(tmp_path, sample=5, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0]["sizes"] == drawn[1]["sizes"] != drawn[2]["sizes"]
    assert [(found["files"], found["examined"]) for found in drawn] == [(20, 5)] * 3
    with pytest.raises(cxr_io.CxrError, match="1 file or more, got 0"):
        cxr_io.survey(tmp_path, sample=0)


def test_every_file_of_a_sample_is_as_likely() -> None:
    from cxr_io import Record
    from cxr_io._doctor import _draw

    items = [Record(str(i), Path()) for i in range(10)]
    drawn = [int(item.name) for seed in range(2000) for item in _draw(items, 3, seed)[0]]
    assert np.abs(np.bincount(drawn) / 600 - 1).max() < 0.2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_that_a_header_says_is_repeated(tmp_path: Path) -> None:
    names = (
        "PatientName", "PatientID", "Modality", "PhotometricInterpretation", "ViewPosition", "BurnedInAnnotation",
        "InstitutionName", "StationName", "ImageComments",
    )  # fmt: skip
    words = dict.fromkeys(names, "ZQXSECRET")
    radiograph(tmp_path / "ZQXSECRET.dcm", image(0), **words)
    data = radiograph(tmp_path / "b.dcm", image(1)).read_bytes()
    (tmp_path / "b.dcm").write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"ZQXSECRETSECRETSECR\0"))
    found = cxr_io.survey(tmp_path)
    assert found["modalities"] == {"other": 1, "CR": 1}
    assert found["identifying"]["InstitutionName"] == 1
    assert "ZQXSECRET" not in repr(found)


def test_a_syntax_is_called_decodable_when_it_can_be_decoded() -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    for path in [*folder.glob("SC_rgb_*.dcm"), *folder.glob("JPEG*.dcm")]:
        meta = pydicom.filereader.read_file_meta_info(path)
        try:
            cxr_io.read(path)
            code = ""
        except cxr_io.CxrError as error:
            code = error.code
        decodable = cxr_io.is_decodable(meta.TransferSyntaxUID)
        assert (code == "missing_codec") <= (not decodable), path.name
        assert (code == "") <= decodable, path.name
