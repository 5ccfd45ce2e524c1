"""Facts about masks as files: what is written is read back, with its geometry and its references."""

import shutil
import subprocess
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import raddino_seg
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from raddino_seg import SegError


def mask() -> np.ndarray:
    found = np.zeros((30, 20), np.uint8)
    found[5:20, 2:9] = 1
    found[8:25, 11:18] = 2
    return found


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("spacing", [None, (0.2, 0.3)])
def test_a_nifti_file_holds_the_mask_and_its_spacing(
    ending: str, spacing: tuple[float, float] | None, tmp_path: Path
) -> None:
    path = tmp_path / f"mask{ending}"
    raddino_seg.write_nifti(path, mask(), spacing)
    image = nibabel.load(path)
    assert np.array_equal(np.asanyarray(image.dataobj)[:, :, 0].T, mask())
    assert image.header.get_zooms()[:2] == pytest.approx((0.3, 0.2) if spacing else (1, 1))
    assert image.header.get_xyzt_units()[0] == ("mm" if spacing else "unknown")
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_planes_are_a_fourth_axis_of_a_nifti_file(tmp_path: Path) -> None:
    planes = np.stack([mask() == 1, mask() > 0, mask() == 2])
    raddino_seg.write_nifti(tmp_path / "planes.nii.gz", planes, None)
    found = np.asanyarray(nibabel.load(tmp_path / "planes.nii.gz").dataobj)
    assert found.shape == (20, 30, 1, 3)
    assert np.array_equal(found[:, :, 0].T, planes)
    with pytest.raises(SegError, match=r"ends with \.nii or \.nii\.gz"):
        raddino_seg.write_nifti(tmp_path / "mask.png", planes, None)
    with pytest.raises(SegError, match="of one image"):
        raddino_seg.write_nifti(tmp_path / "mask.nii", planes[None], None)


def radiograph(sop_class: str) -> pydicom.Dataset:
    """A radiograph's header of the kind that a machine writes, without a frame of reference."""
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, highdicom.UID()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = highdicom.UID(), highdicom.UID()
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "17", "X^Y", "", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = (
        "20200101",
        "1200",
        "1",
        "",
        "",
    )
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CR", 1, 1
    ds.Manufacturer, ds.PatientOrientation = "M", ["L", "F"]
    ds.Rows, ds.Columns, ds.ImagerPixelSpacing, ds.PixelSpacing = 30, 20, [0.2, 0.2], [0.0, 0.0]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 16, 12, 11, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


@pytest.mark.parametrize("sop_class", [ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation])
@pytest.mark.parametrize("overlapping", [False, True])
def test_a_dicom_segmentation_reads_back_and_refers_to_its_radiograph(
    sop_class: str, overlapping: bool, tmp_path: Path
) -> None:
    source, drawn = radiograph(sop_class), mask()
    planes = np.stack([drawn > 0, drawn == 2]) if overlapping else np.stack([drawn == 1, drawn == 2])
    raddino_seg.write_dicom_seg(tmp_path / "m.dcm", planes if overlapping else drawn, ["right lung", "edge"], source)
    found = highdicom.seg.segread(tmp_path / "m.dcm")
    pixels = found.get_pixels_by_source_instance([source.SOPInstanceUID])
    assert np.array_equal(pixels[0], planes.transpose(1, 2, 0))
    assert [found.get_segment_description(k).segment_label for k in (1, 2)] == ["right lung", "edge"]
    assert found.get_segment_description(1).segmented_property_type.meaning == "Lung"
    assert (found.PatientID, found.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    assert found.SeriesInstanceUID != source.SeriesInstanceUID
    ((study, series, instance),) = found.get_source_image_uids()
    assert (study, series, instance) == (source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID)
    (reference,) = found.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    assert reference.ReferencedSOPClassUID == sop_class


def test_a_dicom_segmentation_is_valid(tmp_path: Path) -> None:
    if not shutil.which("dciodvfy"):
        pytest.skip("needs dciodvfy of dicom3tools")
    raddino_seg.write_dicom_seg(tmp_path / "m.dcm", mask(), ["a", "b"], radiograph(ComputedRadiographyImageStorage))
    done = subprocess.run(["dciodvfy", str(tmp_path / "m.dcm")], capture_output=True, text=True, check=False)
    assert "Segmentation" in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_a_structure_that_was_not_found_is_an_empty_segment(tmp_path: Path) -> None:
    source = radiograph(ComputedRadiographyImageStorage)
    raddino_seg.write_dicom_seg(tmp_path / "m.dcm", np.zeros_like(mask()), ["a", "b"], source)
    pixels = highdicom.seg.segread(tmp_path / "m.dcm").get_pixels_by_source_instance([source.SOPInstanceUID])
    assert pixels.shape == (1, 30, 20, 2)
    assert not pixels.any()


def test_a_mask_of_another_size_or_value_and_a_source_without_identity_are_refused(tmp_path: Path) -> None:
    source = radiograph(ComputedRadiographyImageStorage)
    with pytest.raises(SegError, match=r"the source's \(30, 20\) rows and columns, got \(10, 20\)"):
        raddino_seg.write_dicom_seg(tmp_path / "m.dcm", mask()[:10], ["a", "b"], source)
    with pytest.raises(SegError, match=r"values 0\.\.1"):
        raddino_seg.write_dicom_seg(tmp_path / "m.dcm", mask(), ["a"], source)
    del source.StudyInstanceUID
    with pytest.raises(SegError, match="that a segmentation can refer to"):
        raddino_seg.write_dicom_seg(tmp_path / "m.dcm", mask(), ["a", "b"], source)
    assert not (tmp_path / "m.dcm").exists()
