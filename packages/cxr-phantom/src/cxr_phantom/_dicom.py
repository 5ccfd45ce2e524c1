"""A phantom as a DICOM file: Computed Radiography or Digital X-Ray, explicit little endian, nobody's identity."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from cxr_phantom._patient import Patient
from cxr_phantom._render import Phantom

# The 2.25 root is for UIDs made of a UUID's 128 bits (DICOM PS3.5 B.2); ours come from a hash, so they repeat.
_IMPLEMENTATION = "2.25.206512841095430211047320175531164882943"


def uid(*parts: object) -> str:
    """A UID that is the same for the same parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def dicom_bytes(phantom: Phantom, patient: Patient, seed: int) -> bytes:
    """The whole file. UIDs follow from seed, patient and visit."""
    exposure = patient.exposure
    who = (seed, patient.index)
    storage = DigitalXRayImageStorageForPresentation if exposure.digital else ComputedRadiographyImageStorage
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = uid(*who, patient.visit, "image")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "CXR_PHANTOM"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = storage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.PatientName = f"PHANTOM^{patient.index:06d}"
    ds.PatientID = f"PHANTOM-{seed}-{patient.index:06d}"
    ds.PatientBirthDate = ""
    ds.PatientSex = patient.sex
    ds.PatientAge = f"{patient.age:03d}Y"
    ds.PatientSize = f"{patient.height_cm / 100:.3f}"
    ds.PatientWeight = f"{patient.weight_kg:.1f}"
    ds.StudyInstanceUID = uid(*who, patient.visit, "study")
    ds.SeriesInstanceUID = uid(*who, patient.visit, "series")
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyID = str(patient.visit + 1)
    ds.SeriesNumber = ds.InstanceNumber = 1
    ds.Modality = "DX" if exposure.digital else "CR"
    ds.Manufacturer = exposure.manufacturer
    ds.ManufacturerModelName = "PHANTOM"
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = exposure.view
    ds.PatientOrientation = ["L", "F"]
    ds.ImageComments = "Synthetic radiograph"
    ds.KVP = str(exposure.kvp)
    if exposure.digital:
        _digital(ds, exposure.view)
    else:
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
    _pixels(ds, phantom)
    out = BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def _digital(ds: Dataset, view: str) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageLaterality = "U"
    ds.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    ds.PixelIntensityRelationship = "LOG"
    ds.DetectorType = "DIRECT"
    ds.PositionerType = "NONE"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.AcquisitionContextSequence = []
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.ViewCodeSequence = [
        _code(*(("399348003", "SCT", "antero-posterior") if view == "AP" else ("399368009", "SCT", "postero-anterior")))
    ]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _pixels(ds: Dataset, phantom: Phantom) -> None:
    ds.Rows, ds.Columns = phantom.pixels.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if phantom.inverted else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if phantom.inverted else "IDENTITY"
    if ds.Modality == "DX":
        ds.PixelIntensityRelationshipSign = -1 if phantom.inverted else 1
    ds.ImagerPixelSpacing = [f"{phantom.spacing_mm:.6f}"] * 2
    ds.PixelSpacing = ds.ImagerPixelSpacing
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, phantom.bits, phantom.bits - 1
    ds.PixelRepresentation = 0
    ds.WindowCenter, ds.WindowWidth = str(1 << (phantom.bits - 1)), str(1 << phantom.bits)
    ds.PixelData = phantom.pixels.astype("<u2").tobytes()
