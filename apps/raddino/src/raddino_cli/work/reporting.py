"""Reports by retrieval, from a folder of features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import raddino_reportgen

from raddino_cli.work.features import Features, NothingToMeasureError, load_features


def retrieve(features: Features) -> tuple[list[int], list[str], list[str]]:
    """Rows of the test images that have a report, the retrieved texts and the references."""
    texts = features.samples["report"]
    train = [row for row in features.rows("train") if texts[row]]
    test = [int(row) for row in features.rows("test") if texts[row]]
    if not train or not test:
        raise NothingToMeasureError(
            "expected reports in the splits train and test, found none; ingest a source that has them"
        )
    model = raddino_reportgen.Retrieval(features.cls[np.array(train)], [texts[row] for row in train])
    return test, model.generate(features.cls[np.array(test)]), [texts[row] for row in test]


def evaluate_retrieval(folder: Path) -> dict[str, dict[str, Any]]:
    """BLEU-4 and ROUGE-L on test."""
    features = load_features(folder)
    rows, candidates, references = retrieve(features)
    patients = [features.samples["patient"][row] for row in rows]
    scores = raddino_reportgen.evaluate(candidates, references, patients)
    return {name: vars(score) for name, score in scores.items()}


def generate_to(folder: Path, out: Path) -> int:
    """Write key, generated text and reference of each test image as JSON lines; returns how many."""
    features = load_features(folder)
    rows, candidates, references = retrieve(features)
    lines = [
        json.dumps({"key": features.samples["key"][row], "generated": said, "reference": truth})
        for row, said, truth in zip(rows, candidates, references, strict=True)
    ]
    part = out.with_name(out.name + ".part")
    part.write_text("".join(line + "\n" for line in lines))
    part.replace(out)
    return len(rows)
