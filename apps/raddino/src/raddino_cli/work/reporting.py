"""Reports of the test images of a folder of features: by retrieval, and by the baselines that look at nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import raddino_reportgen as rg
from numpy.typing import NDArray

from raddino_cli.work.features import Features, NothingToMeasureError, load_features
from raddino_cli.work.scoring import Measures, as_rows
from raddino_cli.work.stages import write_text

DEMO_METRICS = ("bleu4", "rouge_l", "f1_14_micro")


@dataclass(frozen=True)
class Split:
    """The images of a split that have the section asked for: rows of the features, and the texts."""

    rows: NDArray[np.intp]
    texts: list[str]
    left_out: Counter[str]


def reports_of(features: Features, split: str, section: str = "findings") -> Split:
    """Reports of a split's images that aren't lateral; none at all is a `NothingToMeasureError`."""
    rows = features.rows(split)
    texts = features.samples["report"]
    lateral = np.array(features.samples.get("view", [None] * len(texts)))[rows] == "LATERAL"
    rows = rows[~lateral]
    if not any(texts[row] for row in rows):
        raise NothingToMeasureError(f"expected reports in the split {split}, found none; ingest a source that has them")
    chosen = rg.choose([texts[row] for row in rows], section)
    left_out = chosen.left_out + Counter({"lateral images": int(lateral.sum())})  # a sum keeps what is above 0
    return Split(rows[chosen.rows], chosen.texts, left_out)


def retrieve(features: Features, section: str = "findings") -> tuple[Split, list[str]]:
    """The test images, and of each the report of the training image nearest to it."""
    train, test = reports_of(features, "train", section), reports_of(features, "test", section)
    model = rg.Retrieval(features.cls[train.rows], train.texts)
    return test, model.generate(features.cls[test.rows])


def demo_scores(folder: Path) -> dict[str, dict[str, Any]]:
    """Retrieval on test by a few metrics."""
    features = load_features(folder)
    test, said = retrieve(features)
    scores = as_rows(rg.evaluate(said, test.texts, features.column("patient")[test.rows].tolist()))
    return {name: scores[name] for name in DEMO_METRICS}


def evaluate(
    folder: Path,
    written: list[Path],
    *,
    section: str = "findings",
    uncertain: str = "present",
    replicates: int = 500,
    seed: int = 0,
    measures: Measures | None = None,
) -> dict[str, Any]:
    """`pairs`, `counts`, `systems` {name: {metric: score}}, `findings` and `differences`, of the test images' reports.

    The systems are retrieval, the most frequent report, retrieval for shuffled images, and each file of `written`,
    which `report generate` wrote; `findings` are the first system's by finding, and `differences` those of its scores
    from each other system's, paired.
    """
    features = load_features(folder)
    train, (test, retrieved) = reports_of(features, "train", section), retrieve(features, section)
    shuffled = np.random.default_rng(seed).permutation(len(retrieved))
    systems = {path.stem: _read(path, features, test) for path in written}
    systems |= {
        "retrieval": retrieved,
        "most frequent": [rg.most_frequent(train.texts)] * len(retrieved),
        "shuffled": [retrieved[i] for i in shuffled],
    }
    patients = features.column("patient")[test.rows].tolist()
    measures = measures or Measures()
    options: dict[str, Any] = {
        "uncertain": uncertain, "replicates": replicates, "seed": seed, "labeller": measures.labeller,
    }  # fmt: skip
    first = next(iter(systems))
    return {
        "pairs": len(test.texts),
        "counts": dict(test.left_out),
        "systems": {
            name: as_rows(
                rg.evaluate(said, test.texts, patients, per_pair=measures.per_pair(said, test.texts), **options)
            )
            for name, said in systems.items()
        },
        "findings": {
            name: as_rows(part) for name, part in rg.findings(systems[first], test.texts, patients, **options).items()
        },
        "differences": {
            f"{first} - {name}": as_rows(rg.compare(systems[first], said, test.texts, patients, **options))
            for name, said in systems.items()
            if name != first
        },
    }


def write_reports(out: Path, features: Features, test: Split, said: list[str]) -> int:
    """Key, generated text and reference of each image as JSON lines; returns how many."""
    keys = features.samples["key"]
    lines = [
        json.dumps({"key": keys[row], "generated": text, "reference": truth}, ensure_ascii=False)
        for row, text, truth in zip(test.rows, said, test.texts, strict=True)
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, "".join(line + "\n" for line in lines))
    return len(lines)


def _read(path: Path, features: Features, test: Split) -> list[str]:
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        said = {line["key"]: str(line["generated"]) for line in lines}
        return [said[features.samples["key"][row]] for row in test.rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"expected a report of each test image in {path}, as `raddino report generate` writes them: {error!r}"
        ) from error
