"""Files that several tests write."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from cxr_io._shards import Sample, ShardWriter, encode
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)  # fmt: skip

KEY = "a key for these tests"
SMALL = {"short_side": 64, "samples_per_shard": 4, "key": KEY}
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
LOSSLESS = (
    RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL,
)  # fmt: skip
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
SYNTAXES = (*NATIVE, *LOSSLESS, *LOSSY)


def dicom(pixels: np.ndarray, **attributes: object) -> FileDataset:
    """A computed radiograph of pixels (H, W) or (H, W, 3), explicit little endian; attributes replace what it has."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PatientID, ds.PatientName = "CR", "secret-id", "Secret^Name"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    if pixels.ndim == 3:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if pixels.itemsize == 2 else "OB"
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


def save(ds: FileDataset, pixels: np.ndarray, path: Path, syntax: str) -> Path:
    """Write a data set of `dicom`'s in any of `SYNTAXES`; 8 bits are needed for baseline, at most 12 for extended."""
    import imagecodecs

    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
        ds.set_original_encoding(is_implicit_vr=False, is_little_endian=False)
    elif syntax == RLELossless:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(syntax, generate_instance_uid=False)
    elif syntax not in NATIVE:
        encoded = {
            JPEGLossless: lambda: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4),
            JPEGLosslessSV1: lambda: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1),
            JPEGBaseline8Bit: lambda: imagecodecs.jpeg8_encode(pixels, level=95),
            JPEGExtended12Bit: lambda: imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12),
            JPEGLSLossless: lambda: imagecodecs.jpegls_encode(pixels),
            JPEGLSNearLossless: lambda: imagecodecs.jpegls_encode(pixels, level=2),
            JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True),
            JPEG2000: lambda: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=80),
            HTJ2KLossless: lambda: imagecodecs.htj2k_encode(pixels),
            HTJ2KLosslessRPCL: lambda: imagecodecs.htj2k_encode(pixels),
            HTJ2K: lambda: imagecodecs.htj2k_encode(pixels, level=0.0001, reversible=False),
        }[syntax]()
        ds.PixelData = encapsulate([bytes(encoded)])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def write_dicom() -> Callable[..., Path]:
    """`write_dicom(path, pixels, syntax=..., **attributes)` writes a computed radiograph and returns its path."""

    def write(path: Path, pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **attributes: object) -> Path:
        return save(dicom(pixels, **attributes), pixels, path, syntax)

    return write


@pytest.fixture(params=SYNTAXES, ids=lambda syntax: syntax.keyword)
def syntax(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def syntaxes() -> tuple[str, ...]:
    return SYNTAXES


@pytest.fixture(scope="session")
def take() -> Callable[..., cxr_io.IngestSummary]:
    """`take(source, out, **options)` ingests into small shards, without processes unless `workers` says so."""

    def run(source: Path, out: Path, **options: object) -> cxr_io.IngestSummary:
        return cxr_io.ingest(source, out, **{**SMALL, "workers": 0, **options})  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, bytes]]:
    """`content(out)` is everything that an ingest leaves but its journal."""

    def read(out: Path) -> dict[str, bytes]:
        files = [*out.iterdir(), out.with_name(out.name + ".rejected.jsonl")]
        return {path.name.removeprefix(out.name): path.read_bytes() for path in files if path.is_file()}

    return read


@pytest.fixture(scope="session")
def write_labelled() -> Callable[..., Path]:
    """`write_labelled(root, count)` writes images of two for each patient, all with labels, a mask and a report."""

    def write(root: Path, count: int = 40) -> Path:
        rng = np.random.default_rng(0)
        (root / "sub").mkdir(parents=True)
        lines = ["path,patient,sex,age,opacity,mask.lungs,report"]
        for i in range(count):
            cv2.imwrite(str(root / "sub" / f"SECRET{i:03d}.png"), rng.integers(0, 65535, (96, 103), dtype=np.uint16))
            cv2.imwrite(str(root / f"m{i}.png"), (rng.random((96, 103)) > 0.5).astype(np.uint8))
            (root / f"r{i}.txt").write_text(f"FINDINGS: case {i}")
            lines.append(f"sub/SECRET{i:03d}.png,Jane^Doe{i // 2},F,{60 + i},{i % 2},m{i}.png,r{i}.txt")
        (root / "labels.csv").write_text("\n".join(lines) + "\n")
        return root

    return write


@pytest.fixture(scope="session")
def write_mixed() -> Callable[..., Path]:
    """`write_mixed(root, count, side)`: a third of the images has a mask and a report, every ninth is damaged."""

    def write(root: Path, count: int, side: int = 40) -> Path:
        rng = np.random.default_rng(0)
        root.mkdir(parents=True)
        lines = ["path,patient,opacity,mask.lungs,report"]
        for i in range(count):
            cv2.imwrite(str(root / f"{i:03d}.png"), rng.integers(0, 65535, (side, side + 7), dtype=np.uint16))
            more = ","
            if i % 3 == 0:
                cv2.imwrite(str(root / f"m{i}.png"), (rng.random((side, side + 7)) > 0.5).astype(np.uint8))
                (root / f"r{i}.txt").write_text(f"FINDINGS: case {i}")
                more = f"m{i}.png,r{i}.txt"
            if i % 9 == 4:
                (root / f"{i:03d}.png").write_bytes(b"damaged")
            lines.append(f"{i:03d}.png,p{i // 2},{i % 2},{more}")
        (root / "labels.csv").write_text("\n".join(lines) + "\n")
        return root

    return write


@pytest.fixture(scope="session")
def large(
    tmp_path_factory: pytest.TempPathFactory, write_mixed: Callable[..., Path], take: Callable[..., object],
    content: Callable[[Path], dict[str, bytes]],
) -> tuple[Path, dict[str, bytes]]:  # fmt: skip
    """An archive of a second or two of work for two processes, and what it becomes when nothing goes wrong."""
    place = tmp_path_factory.mktemp("large")
    source = write_mixed(place / "source", 90, 500)
    take(source, place / "whole")
    return source, content(place / "whole")


@pytest.fixture(scope="session")
def small(
    tmp_path_factory: pytest.TempPathFactory, write_mixed: Callable[..., Path], take: Callable[..., object]
) -> tuple[Path, Path]:
    """An archive of 30 images, and its shards."""
    place = tmp_path_factory.mktemp("small")
    source = write_mixed(place / "source", 30)
    take(source, place / "whole")
    return source, place / "whole"


class Running(subprocess.Popen[str]):
    """An ingest by two workers in a process of its own."""

    def __init__(self, source: Path, out: Path, **options: object) -> None:
        code = f"import sys, cxr_io\ncxr_io.ingest(sys.argv[1], sys.argv[2], workers=2, **{SMALL})"
        command = [sys.executable, "-c", code, str(source), str(out)]
        super().__init__(command, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to happen while it lives."""
        while not condition() and self.poll() is None:
            time.sleep(0.002)

    def ended(self, seconds: float = 60) -> str:
        """Wait for the end; what it had to say."""
        return self.communicate(timeout=seconds)[1]

    def workers(self) -> list[int]:
        """The processes that it started and that live."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, above = path.read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            found += [int(path.parent.name)] if int(above) == self.pid and state != "Z" else []
        return found


@pytest.fixture(scope="session")
def start() -> type[Running]:
    return Running


@pytest.fixture(scope="session")
def sound() -> Callable[[Path], None]:
    """`sound(out)` asserts that whatever is called a shard and noted in the journal is whole."""

    def check(out: Path) -> None:
        for note in (out / ".journal").glob("*.tar.json"):
            shard = json.loads(note.read_text())["shard"]
            assert sha256((out / shard["name"]).read_bytes()).hexdigest() == shard["sha256"]

    return check


@pytest.fixture(scope="session")
def write_shards() -> Callable[..., Path]:
    """`write_shards(folder, *counts)` writes shards with so many samples each, whose keys tell shard and sample."""

    def write(folder: Path, *counts: int, prefix: str = "s") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        entries = []
        for i, count in enumerate(counts):
            pixels = np.random.default_rng(i).integers(0, 65535, (18, 20), dtype=np.uint16)
            writer = ShardWriter(folder / f"train-{i:06d}.tar")
            for j in range(count):
                writer.add(encode(Sample(f"{prefix}{i}-{j}", pixels, {"n": j}), 16))
            entries.append({**writer.close(), "split": "train"})
        (folder / "index.json").write_text(json.dumps({"format": 1, "preprocessing": {}, "shards": entries}))
        return folder

    return write
