"""What an encoder's patch tokens let a small language model say, beside what says as much without looking.

python -m tools.studies.reports FEATURES OUT [KEY=VALUE ...]     # such as runs/demo/features/trained, after `make demo`

Trains the recipe `tiny` with these overrides, writes the test images' findings, and those of shuffled images, and ends
with the table, as OUT/reports.md; run again, it goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import raddino_reportgen as rg
from raddino_cli.console import bar, say
from raddino_cli.work.features import Features, load_features
from raddino_cli.work.reporting import Split, evaluate, reports_of, write_reports
from raddino_cli.work.stages import write_text
from raddino_cli.work.writing import train_reporter, write_with
from raddino_reportgen.model import Decoding, agree

METRICS = {
    "f1_14_micro": "F1-14 micro", "f1_14_macro": "F1-14 macro", "hallucination": "hallucination",
    "omission": "omission", "bleu4": "BLEU-4", "rouge_l": "ROUGE-L",
}  # fmt: skip
SYSTEMS = {
    "reporter": "reporter", "blind": "reporter, shuffled images", "greedy": "reporter, greedy",
    "sixteen": "16 nearest training images", "retrieval": "nearest training image",
    "shuffled": "nearest training image, shuffled images",
    "most frequent": "most frequent report",
}  # fmt: skip
DRAFTS = Decoding(temperature=1.0, samples=16)


def run(features: Path, out: Path, overrides: list[str]) -> str:
    """Train, write, score; returns the table as Markdown."""
    start = time.monotonic()
    with bar("train") as tell:
        trained = train_reporter(features, out / "run", "tiny", overrides, None, tell)
    known = load_features(features)
    written = []
    for name, decoding, shuffled in (
        ("reporter", DRAFTS, False),
        ("blind", DRAFTS, True),
        ("greedy", Decoding(), False),
    ):
        written.append(out / f"{name}.jsonl")
        if not written[-1].exists():
            with bar(name) as tell:
                test, said = write_with(known, out / "run", decoding, shuffled=shuffled, progress=tell)
            write_reports(written[-1], known, test, said)
    written.append(out / "sixteen.jsonl")
    write_reports(written[-1], known, *_of_nearest(known, DRAFTS.samples))
    found = evaluate(features, written)
    say(f"{time.monotonic() - start:.0f} s since this command began")
    return _table(found, trained)


def _of_nearest(known: Features, count: int) -> tuple[Split, list[str]]:
    """Of each test image the report that agrees best among those of so many nearest training images."""
    train, test = reports_of(known, "train"), reports_of(known, "test")
    rows = rg.Retrieval(known.cls[train.rows], train.texts).ranked(known.cls[test.rows], count)
    return test, agree([[train.texts[row] for row in column] for column in rows.T])


def _table(found: dict[str, Any], trained: dict[str, Any]) -> str:
    systems = found["systems"]
    lines = [
        f"| {found['pairs']} test images | " + " | ".join(METRICS.values()) + " |",
        "|---" * (1 + len(METRICS)) + "|",
    ]
    for name, title in SYSTEMS.items():
        lines.append(f"| {title} | " + " | ".join(_cell(systems[name][metric]) for metric in METRICS) + " |")
    lines += ["", f"{trained['reports']} reports to learn from; perplexity of validation reports "
                  f"{trained['val_perplexity']:.3f} a token.", ""]  # fmt: skip
    low = systems["reporter"]["f1_14_micro"]["low"]
    for name in ("retrieval", "most frequent", "shuffled", "blind", "sixteen"):
        holds = "yes" if low > systems[name]["f1_14_micro"]["high"] else "no"
        gain = found["differences"][f"reporter - {name}"]["f1_14_micro"]
        lines.append(f"- Micro F1's interval lies above that of {SYSTEMS[name]}: {holds}; difference {_cell(gain)}.")
    return "\n".join(lines) + "\n"


def _cell(score: dict[str, Any]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def main() -> None:
    """Read the command line, run, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    table = run(arguments.features, arguments.out, arguments.overrides)
    write_text(arguments.out / "reports.md", table)
    print(table)
    say(f"table in {arguments.out / 'reports.md'}")


if __name__ == "__main__":
    main()
