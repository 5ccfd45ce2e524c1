"""Facts about a set on disk: layout, valid DICOM, determinism, resume."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import cxr_phantom
import numpy as np
import pydicom
import pytest


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set") / "phantoms"
    count = cxr_phantom.generate(out, patients=16, size=96, workers=1)
    assert count == len(list((out / "dicom").iterdir()))
    return out


def test_any_number_of_workers_gives_the_same_bytes(phantoms: Path, tmp_path: Path) -> None:
    cxr_phantom.generate(tmp_path / "two", patients=16, size=96, workers=2)
    assert tree(tmp_path / "two") == tree(phantoms)


def test_another_seed_gives_other_pictures(phantoms: Path, tmp_path: Path) -> None:
    cxr_phantom.generate(tmp_path / "b", patients=1, size=96, seed=1, workers=1)
    assert tree(tmp_path / "b")["dicom/p000000_0.dcm"] != tree(phantoms)["dicom/p000000_0.dcm"]


def test_killed_and_started_again_makes_the_rest(phantoms: Path, tmp_path: Path) -> None:
    code = "import sys, cxr_phantom; cxr_phantom.generate(sys.argv[1], patients=16, size=96, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "cut")])
    while len(list((tmp_path / "cut").glob("truth/*.json"))) < 3 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut" / "truth").glob("*.json")}
    cxr_phantom.generate(tmp_path / "cut", patients=16, size=96, workers=1)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())
    for part in (tmp_path / "cut").rglob("*.part"):
        part.unlink()
    assert tree(tmp_path / "cut") == tree(phantoms)


def test_a_folder_of_another_set_is_refused(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(cxr_phantom.PhantomError, match="size 96, and size 128"):
        cxr_phantom.generate(phantoms, patients=2, size=128)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(cxr_phantom.PhantomError, match="other files"):
        cxr_phantom.generate(tmp_path, patients=2)
    with pytest.raises(cxr_phantom.PhantomError, match="at least one patient"):
        cxr_phantom.generate(tmp_path / "n", patients=0)


def test_the_table_names_files_that_are_there_and_splits_by_patient(phantoms: Path) -> None:
    with (phantoms / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(list((phantoms / "dicom").iterdir()))
    splits: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.items():
            if key in ("path", "report") or key.startswith("mask."):
                assert (phantoms / value).is_file()
        splits.setdefault(row["patient"], set()).add(row["split"])
        truth = json.loads((phantoms / "truth" / f"{row['study']}.json").read_text())
        assert {name: int(row[name]) for name in truth["labels"]} == truth["labels"]
        size = pydicom.dcmread(phantoms / row["path"], stop_before_pixels=True).Rows
        assert cv2.imread(str(phantoms / row["mask.ribs_left"]), cv2.IMREAD_UNCHANGED).shape == (size, size)
    assert all(len(found) == 1 for found in splits.values())


def test_the_files_are_radiographs_of_nobody(phantoms: Path) -> None:
    seen = {"sense": set(), "modality": set(), "maker": set()}  # type: ignore[var-annotated]
    uids = set()
    for path in sorted((phantoms / "dicom").iterdir()):
        ds = pydicom.dcmread(path)
        seen["sense"].add(ds.PhotometricInterpretation)
        seen["modality"].add(ds.Modality)
        seen["maker"].add(ds.Manufacturer)
        uids.add(ds.SOPInstanceUID)
        assert ds.PatientID.startswith("PHANTOM")
        assert ds.pixel_array.max() < 1 << ds.BitsStored
        assert ds.pixel_array.dtype == np.uint16
    assert seen["modality"] == {"CR", "DX"}
    assert len(uids) == len(list((phantoms / "dicom").iterdir()))
    assert len(seen["maker"]) > 1


def test_dciodvfy_finds_no_error(phantoms: Path) -> None:
    if not shutil.which("dciodvfy"):
        pytest.skip("dicom3tools is not installed")
    for path in sorted((phantoms / "dicom").iterdir()):
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")], path.name


def test_dcmtk_reads_them(phantoms: Path) -> None:
    if not shutil.which("dcmdump"):
        pytest.skip("dcmtk is not installed")
    for path in sorted((phantoms / "dicom").iterdir())[:6]:
        subprocess.run(["dcmdump", "-q", str(path)], check=True, stdout=subprocess.DEVNULL)


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), {})
    assert Path("phantoms/labels.csv").is_file()
