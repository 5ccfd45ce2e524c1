"""Memory of ingest: it does not grow with the archive, nor pass a bound on large images. There is no peer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_CODE = (
    "import sys, cxr_io\n"
    "cxr_io.ingest(sys.argv[1], sys.argv[2], short_side=int(sys.argv[3]), workers=2, key='a key of a benchmark')"
)


def memory() -> str:
    """Peak of the parent and of its largest worker: 1,000 and 20,000 small files, and files of 12 megapixels."""
    told = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for count in (1_000, 20_000):
            _small(root / str(count), count)
            told.append(f"{count:,} small files: {_peaks(root / str(count), root / f'out{count}', 32)}")
        _large(root / "large")
        told.append(f"12 megapixels: {_peaks(root / 'large', root / 'out', 518)}")
    return "; ".join(told)


def million() -> str:
    """A listing of a million items through the scheduler, without decoding them: begun, and then taken up again."""
    done = subprocess.run([sys.executable, "-m", "tools.bench._million"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _small(folder: Path, count: int) -> None:
    import cv2
    import numpy as np

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(50):
        cv2.imwrite(str(folder / f"{number:05d}.png"), rng.integers(0, 65535, (40, 40), dtype=np.uint16))
    for number in range(50, count):
        (folder / f"{number:05d}.png").hardlink_to(folder / f"{number % 50:05d}.png")


def _large(folder: Path) -> None:
    import numpy as np
    import pydicom
    from pydicom.data import get_testdata_file

    folder.mkdir()
    path = get_testdata_file("RG1_UNCR.dcm", download=False)
    if path is None:
        raise RuntimeError("expected pydicom-data with RG1_UNCR.dcm; pip install pydicom-data")
    ds = pydicom.dcmread(path)
    for number in range(6):
        ds.Rows, ds.Columns = 4000, 3000
        ds.PixelData = np.random.default_rng(number).integers(0, 4096, (4000, 3000), dtype=np.uint16).tobytes()
        ds.PatientID = str(number)
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def _peaks(source: Path, out: Path, side: int) -> str:
    """The most resident memory that the kernel saw of an ingest and of its workers."""
    process = subprocess.Popen([sys.executable, "-c", _CODE, str(source), str(out), str(side)])
    peaks: dict[int, int] = {}

    def watch() -> None:
        while process.poll() is None:
            for path in Path("/proc").glob("[0-9]*/status"):
                try:
                    fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
                except OSError:
                    continue
                if process.pid in (int(path.parent.name), int(fields["PPid"])) and "VmHWM" in fields:
                    peaks[int(path.parent.name)] = int(fields["VmHWM"].split()[0])
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"expected an ingest of {source} to end well")
    parent = peaks.pop(process.pid)
    return f"parent {parent / 1e3:.0f} MB, worker {max(peaks.values()) / 1e3:.0f} MB"
