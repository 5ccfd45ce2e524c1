"""python -m tools.real_radiographs DATA OUT: an encoder of real radiographs, and what probes find in it.

DATA holds `nih` (official layout of NIH ChestX-ray14) and `pool224` (`pool.csv`: image, label, patient_id).
Pre-training sees all of the pool and half of NIH's patients; probes learn from that half and are tested on others.
Stopped and started again it goes on.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

RECIPE = "cpu-hour"
BASELINES = {"random": "random:{run}", "pixels": "pixels:32"}
TARGETS = ("sex", "age", "pneumonia")


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
    """Ingest, pre-train, embed, probe."""
    data, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    write_table(data, out)
    shards, run = out / "shards", out / "run"
    raddino("data", "ingest", out, shards, "--dataset", "csv", "--short-side", "224")
    raddino("pretrain", shards, "--out", run, "--recipe", RECIPE)
    scores = {}
    for name, spec in {"trained": str(run), **BASELINES}.items():
        raddino("embed", shards, "--encoder", spec.format(run=run), "--out", out / "features" / name, "--patches")
        targets = [word for target in TARGETS for word in ("--target", target)]
        scores[name] = json.loads(raddino("probe", out / "features" / name, *targets, "--json"))
    (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    for name, found in scores.items():
        cells = [f"{target} {s['value']:.3f} ({s['low']:.3f}-{s['high']:.3f})" for target, s in found.items()]
        print(f"{name:<8} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
