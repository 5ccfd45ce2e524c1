"""Ingest against the script that is usually written for it: pydicom, SimpleITK's B-spline, min-max, 8-bit PNG."""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from tools.bench._interleave import interleave

_FILES = 12  # so that what a run costs once does not stand for what an image costs
_SIDE = 518


def ingest() -> str:
    """Images a second on one core of 2544 x 3056 16-bit DICOM to 8-bit PNG at 518, uncompressed and as JPEG 2000."""
    import cv2
    import SimpleITK as sitk  # noqa: N813 -- its own documentation's name

    cv2.setNumThreads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    told = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for kind in ("uncompressed", "J2K"):
            source = root / kind
            streams = _write(source, kind)
            _ours(source, root / "ours")
            _peer(source, root / "peer")
            equal = _compare(root / "ours", root / "peer", source)
            ours, peer = (
                seconds / _FILES
                for seconds in interleave(
                    partial(_ours, source, root / "ours"), partial(_peer, source, root / "peer"), repeats=3
                )
            )
            text = f"{kind}: {peer / ours:.1f} x the usual script ({1 / ours:.2f} against {1 / peer:.2f} images/s/core)"
            told.append(text + (f", {equal}" if kind == "uncompressed" else _share(streams, ours)))
    return "; ".join(told)


def _write(folder: Path, kind: str) -> list[bytes]:
    """A real radiograph, enlarged, as several files; the codestreams if there are any."""
    import cv2
    import imagecodecs
    import numpy as np
    import pydicom
    from pydicom.data import get_testdata_file
    from pydicom.encaps import encapsulate

    path = get_testdata_file("RG1_UNCR.dcm", download=False)
    if path is None:
        raise RuntimeError("expected pydicom-data with RG1_UNCR.dcm; pip install pydicom-data")
    folder.mkdir()
    ds = pydicom.dcmread(path)
    picture = cv2.resize(ds.pixel_array, (2544, 3056), interpolation=cv2.INTER_CUBIC)
    streams = []
    for number in range(_FILES):
        pixels = np.ascontiguousarray(np.roll(picture, 50 * number, axis=0)).astype(np.uint16)
        ds.Rows, ds.Columns = pixels.shape
        ds.PatientID = f"patient {number}"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        if kind == "J2K":
            streams.append(bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True)))
            ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
            ds.PixelData = encapsulate(streams[-1:])
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        else:
            ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            ds.PixelData = pixels.tobytes()
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OW", False
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return streams


def _ours(source: Path, out: Path) -> None:
    import cxr_io

    shutil.rmtree(out, ignore_errors=True)
    cxr_io.ingest(source, out, short_side=_SIDE, bits=8, workers=0, key="a key of a benchmark")


def _peer(source: Path, out: Path) -> None:
    import numpy as np
    import pydicom
    import SimpleITK as sitk  # noqa: N813
    from PIL import Image

    out.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        ds = pydicom.dcmread(path)
        values = ds.pixel_array.astype(np.float32)
        scale = min(values.shape) / _SIDE
        rows, columns = (round(side / scale) for side in values.shape)
        sy, sx = values.shape[0] / rows, values.shape[1] / columns
        resample = sitk.ResampleImageFilter()
        resample.SetInterpolator(sitk.sitkBSpline)
        resample.SetSize((columns, rows))
        resample.SetOutputSpacing((sx, sy))
        resample.SetOutputOrigin(((sx - 1) / 2, (sy - 1) / 2))
        small = sitk.GetArrayFromImage(resample.Execute(sitk.GetImageFromArray(values)))
        small = (small - small.min()) / (small.max() - small.min()) * 255
        if ds.PhotometricInterpretation == "MONOCHROME1":
            small = 255 - small
        Image.fromarray(np.round(small).astype(np.uint8)).save(out / f"{path.stem}.png")


def _compare(ours: Path, peer: Path, source: Path) -> str:
    """How equal the pixels are; two programs that compute different things have no ratio."""
    import cv2
    import numpy as np
    from cxr_io import ShardStream, info
    from cxr_io._identity import pseudonym

    samples = {
        sample.key: sample.image // 257 for split in info(ours)["splits"] for sample in ShardStream(ours, split=split)
    }
    differences: list[Any] = []
    for path in source.iterdir():
        mine = samples[pseudonym(b"a key of a benchmark", "image", path.name)].astype(int)
        theirs = np.asarray(cv2.imread(str(peer / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED))
        differences.append(np.abs(mine - theirs))
    apart = np.stack(differences)
    if apart.max() > 1:
        raise RuntimeError(f"expected the same pixels of both within 1 of 255, got a difference of {apart.max()}")
    return f"{(apart == 0).mean():.3%} of the pixels equal and none further apart than {apart.max()} of 255"


def _share(streams: list[bytes], seconds: float) -> str:
    """How much of the time per image its codec takes alone."""
    import imagecodecs

    spent = []
    for stream in streams[:3]:
        start = time.perf_counter()
        imagecodecs.jpeg2k_decode(stream, numthreads=1)
        spent.append(time.perf_counter() - start)
    alone = sorted(spent)[len(spent) // 2]
    return f", of which imagecodecs' decoder alone would take {alone / seconds:.0%}"
