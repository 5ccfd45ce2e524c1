"""How ingest scales to 50 million studies, simulated and checked here, as `docs/scaling.md`: `python -m tools.scaling`.

A task of eight files holds a core while it waits for the store, reads and converts; its result goes to the one process
that writes the shards, in order, and only so many tasks are ahead of it. Store, network of a node and writer each serve
one at a time, at their rates.
"""

from __future__ import annotations

import heapq
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
FILES, AHEAD = 8, 3  # of a task, and tasks for each core: as in cxr_io
_CHECKED = 600
STUDIES, IMAGES = 50_000_000, 1.7  # and images of a study, as in MIMIC-CXR: 377,110 of 227,835


@dataclass(frozen=True)
class Site:
    """A cluster and its store; seconds, bytes, and bytes a second."""

    nodes: int
    cores: int = 32
    convert: float = 0.3
    """Of a core, for a file."""
    spread: float = 0.5
    """Of the logarithm of that time."""
    file: float = 15e6
    latency: float = 0.03
    """Until the first byte of a file."""
    node_link: float = 3.1e9
    store: float = 20e9
    write: float = 1e-3
    """Of the writer, for a file."""


def simulate(site: Site, tasks: int, seed: int = 0) -> float:
    """Files a second, once the cores are busy."""
    cores = site.nodes * site.cores
    rng = np.random.default_rng(seed)
    times = rng.lognormal(np.log(site.convert) - site.spread**2 / 2, site.spread, (tasks, FILES)).sum(axis=1)
    free = [(0.0, core) for core in range(cores)]
    links, store, writer = [0.0] * site.nodes, 0.0, 0.0
    written = np.zeros(tasks)
    for task in range(tasks):
        now, core = heapq.heappop(free)
        if task >= AHEAD * cores:
            now = max(now, written[task - AHEAD * cores])
        node = core // site.cores
        store = max(store, now) + FILES * site.file / site.store
        links[node] = max(links[node], now) + FILES * site.file / site.node_link
        done = max(store, links[node], now) + FILES * site.latency + times[task]
        heapq.heappush(free, (done, core))
        writer = max(writer, done) + FILES * site.write
        written[task] = writer
    half = tasks // 2
    return FILES * (tasks - half) / float(written[-1] - written[half - 1])


def limits(site: Site) -> dict[str, float]:
    """Files a second that each part could serve alone."""
    return {
        "cores": site.nodes * site.cores / (site.convert + site.latency),
        "links of nodes": site.nodes * site.node_link / site.file,
        "store": site.store / site.file,
        "writer": 1 / site.write,
    }


def full_size(place: Path) -> float:
    """Seconds of a core for an uncompressed DICOM of 3,000 x 2,500 pixels: read and resized to 518; a median."""
    import cxr_io
    import pydicom
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    pixels = np.random.default_rng(0).normal(2000, 300, (3000, 2500)).astype(np.uint16)
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    ds.Modality, ds.PhotometricInterpretation, ds.SamplesPerPixel = "DX", "MONOCHROME2", 1
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    ds.save_as(place / "one.dcm", enforce_file_format=True)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        cxr_io.resize_radiograph(cxr_io.read(place / "one.dcm"), 518)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[2]


def ingested(place: Path, workers: int, files: int) -> tuple[float, float]:
    """Files a second of a local ingest, and seconds of the writer's own work for a file."""
    import cxr_io

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    before, start = spent(), time.perf_counter()
    cxr_io.ingest(place / "source", place / f"out{workers}", workers=workers, key="a key of a benchmark")
    return files / (time.perf_counter() - start), (spent() - before) / files


def check(place: Path, files: int) -> tuple[str, float]:
    """Predict two workers from one; and seconds of the writer for a file."""
    import cv2

    (place / "source").mkdir()
    rng = np.random.default_rng(0)
    for number in range(files):
        if number < 10:
            small = rng.integers(0, 65535, (60, 60), dtype=np.uint16)
            large = cv2.resize(small, (1200, 1000), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(place / "source" / f"{number:04d}.png"), large)
        else:
            (place / "source" / f"{number:04d}.png").hardlink_to(place / "source" / f"{number % 10:04d}.png")
    one, write = ingested(place, 1, files)
    two, _ = ingested(place, 2, files)
    here = Site(1, cores=1, convert=1 / one, spread=0.01, latency=0, node_link=1e12, store=1e12, write=write)
    predicted = simulate(replace(here, cores=2), 4000)
    told = (
        f"- one worker takes {one:.1f} files a second, and the writer works {write * 1e3:.2f} ms for each;\n"
        f"- two were predicted to take {predicted:.1f}, and took {two:.1f}: {predicted / two - 1:+.0%}."
    )
    return told, write


TEXT = """# Ingest of 50 million studies, on paper

Made by `.venv/bin/python -m tools.scaling`, which simulates tasks one by one (its first lines say how). Nothing here
was run on a cluster.

## What is assumed

- {images:.0f} million files: 50 million studies of {per} images; {mb:.0f} MB each, as an uncompressed DICOM of
  3,000 x 2,500 pixels. Compressed ones are a third of that and take several times as long to decode.
- Nodes of {cores} cores and 25 Gb/s; {latency:.0f} ms until a file's first byte; a store that gives {store:.0f} GB/s
  to all together. Nobody else uses them, and nothing fails: Ray runs lost tasks again, which costs those tasks.
- A core converts a file in {convert:.2f} s, measured here on such a one; times spread by a factor of e^0.5.
- One process writes the shards. {write:.2f} ms a file of its own work were measured here with files on a disk; sending
  of results over its link is not counted.

## What was checked

On this machine of two cores, with {files} PNG files of 1,000 x 1,200 pixels:

{told}

The writer's process needs a core too, and two workers share memory and caches; neither is in the model, so two workers
on two cores fall short of it. Latency, links and the store could not be checked here.

## What comes out

| nodes | cores | files a second | hours | what limits |
|---:|---:|---:|---:|---|
{rows}

The writer is what ends the scaling: more nodes than it can follow are idle. Several ingests, of parts of an archive
that share no patient, each with its own writer, go on in parallel; `Mixture` reads their shards as one.
"""


def main() -> None:
    """Measure, simulate and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        told, write = check(place, _CHECKED)
        convert = full_size(place)
    rows = []
    for nodes in (1, 4, 16, 64, 256):
        site = Site(nodes, convert=convert, write=write)
        rate = simulate(site, max(20_000, 6 * AHEAD * nodes * site.cores))
        least = min(limits(site).items(), key=lambda item: item[1])[0]
        hours = STUDIES * IMAGES / rate / 3600
        rows.append(f"| {nodes} | {nodes * site.cores:,} | {rate:,.0f} | {hours:,.0f} | {least} |")
    site = Site(1, convert=convert, write=write)
    text = TEXT.format(
        images=STUDIES * IMAGES / 1e6, per=IMAGES, mb=site.file / 1e6, cores=site.cores, latency=site.latency * 1e3,
        store=site.store / 1e9, convert=convert, write=write * 1e3, told=told, files=_CHECKED, rows="\n".join(rows),
    )  # fmt: skip
    PAGE.write_text(text, encoding="utf-8")
    print(told)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
