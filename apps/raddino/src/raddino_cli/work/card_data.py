"""Who is in the images that a run was trained on: counts by sex, age and view."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import cxr_io
from raddino_probes import age_bands

from raddino_cli.work.leaks import count_trained

_NAMES = {"F": "women", "M": "men"}


def training_data(listed: Path, shards: Path | None) -> list[str]:
    """The card's part on training images: how many by the run's list, and who by the samples of its shards.

    Raises:
        ValueError: the folder holds no shards, or others than those of the run.
    """
    lines = listed.read_text("utf-8").splitlines()
    textures = count_trained(lines)[1]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    images, patients, studies = (len({row[name] for row in rows}) for name in ("key", "patient", "study"))
    seen = f"{images} images of {patients} patients in {studies} studies; no labels were used."
    besides = f" In the places of {textures} more there were textures, no radiographs." if textures else ""
    parts = [f"## Training data\n\n{seen}{besides}"]
    if shards is None or not rows:
        why = " This card was written without the shards (`--shards`)." if rows else ""
        return [*parts, f"**Unknown**: sex, age and view.{why}"]
    made = cxr_io.info(shards)["preprocessing"]
    samples = {row["key"]: row for row in cxr_io.read_table(shards, ["key", "sex", "age", "view"])}
    known = [samples[row["key"]] for row in rows if row["key"] in samples]
    if len(known) < len(rows):
        raise ValueError(
            f"expected the shards of the run at {shards}, {len(rows) - len(known)} of {len(rows)} images of {listed} "
            "are not there; give the folder that it was trained on"
        )
    chosen = {name: [sample[name] for sample in known] for name in ("sex", "age", "view")}
    columns = {
        "sex": [_NAMES.get(sex, sex) for sex in chosen["sex"]],
        "age": age_bands([float("nan") if age is None else age for age in chosen["age"]]),
        "view": chosen["view"],
    }
    parts.append(
        f"Read as `{made['dataset']}` by `raddino data ingest`: short side {made['short_side']} pixels, "
        f"{made['bits']} bits, intensity {made['intensity']}."
    )
    counted = [line for name, values in columns.items() for line in _counts(name, values)]
    return [*parts, "| | | images |\n|---|---|---|\n" + "\n".join(counted)]


def _counts(name: str, values: list[Any]) -> list[str]:
    """A line a value, the unknown last."""
    count = Counter(value or "unknown" for value in values)
    order = sorted(
        count, key=lambda value: (value == "unknown", not value.startswith("<"), value.startswith(">"), value)
    )
    return [f"| {name} | {value} | {count[value]} ({count[value] / len(values):.1%}) |" for value in order]
