"""Synthetic labelled chest radiographs: anatomy in projection, findings with their place, reports and masks."""

from importlib.metadata import version

from cxr_phantom._dataset import generate
from cxr_phantom._errors import PhantomError
from cxr_phantom._patient import DEVICES, FINDINGS, Exposure, Finding, Patient, sample_patient
from cxr_phantom._render import Phantom, render
from cxr_phantom._report import write_report

__all__ = [
    "DEVICES",
    "FINDINGS",
    "Exposure",
    "Finding",
    "Patient",
    "Phantom",
    "PhantomError",
    "generate",
    "render",
    "sample_patient",
    "write_report",
]
__version__ = version("cxr-phantom")
