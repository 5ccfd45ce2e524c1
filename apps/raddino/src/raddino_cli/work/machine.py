"""What this machine can do."""

from __future__ import annotations

import importlib.util
import os
import platform
from typing import Any


def examine() -> dict[str, Any]:
    """`machine`: facts; `abilities`: each `ready` or not, with the line that adds it."""
    import torch
    from cxr_io import is_decodable
    from pydicom.uid import (
        HTJ2K,
        JPEG2000,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        JPEG2000Lossless,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLosslessSV1,
        JPEGLSLossless,
        RLELossless,
    )

    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory": _memory(),
        "torch": torch.__version__,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none (training runs on the CPU)",
    }
    codecs = "pip install 'cxr-io[codecs]'"
    abilities: dict[str, dict[str, Any]] = {}
    for uid in (
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEG2000Lossless,
        JPEG2000,
        HTJ2K,
    ):
        ready = is_decodable(uid)
        abilities[f"DICOM {uid.name}"] = {"ready": ready, "add": None if ready else codecs}
    for module, purpose, line in (
        ("xformers", "memory-efficient attention (GPU)", "pip install xformers"),
        ("timm", "timm encoders", "pip install timm"),
        ("transformers", "loading exports with transformers", "pip install transformers"),
        ("segmentation_models_pytorch", "U-Net as a reference", "pip install 'raddino-seg[unet]'"),
        ("nibabel", "masks as NIfTI", "pip install 'raddino-seg[nifti]'"),
        ("highdicom", "masks as DICOM SEG", "pip install 'raddino-seg[dicom]'"),
    ):
        ready = importlib.util.find_spec(module) is not None
        abilities[purpose] = {"ready": ready, "add": None if ready else line}
    return {"machine": machine, "abilities": abilities}


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):
        return "unknown"
