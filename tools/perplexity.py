"""The small language model on Open-i's findings, words alone: perplexity of held-out reports.

python -m tools.perplexity OUT [KEY=VALUE ...]      # overrides of the recipe tiny; run again, it goes on
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import raddino_reportgen as rg
from raddino_reportgen import model as rm


def main() -> None:
    """Train on nine reports of ten, by their numbers, and print the perplexity of the tenth."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {(__doc__ or '').splitlines()[2]}")
    found = importlib.util.find_spec("torchxrayvision")
    if found is None or found.origin is None:
        sys.exit("error: expected torchxrayvision, which carries Open-i's reports; run `make setup`")
    reports = list(rg.read_openi(Path(found.origin).parent / "data" / "NLMCXR_reports.tgz"))
    held = [int(report.name.removeprefix("CXR")) % 10 == 0 for report in reports]
    known, unseen = (
        rg.choose([r for r, out in zip(reports, held, strict=True) if out is want]).texts for want in (False, True)
    )
    train, test = (rm.Examples(np.zeros((len(texts), 0, 1), np.float32), texts) for texts in (known, unseen))
    recipe = rm.load_recipe("tiny", sys.argv[2:])
    reporter = rm.Reporter.build(recipe, train)
    start = time.monotonic()
    rm.train(reporter, train, sys.argv[1], progress=_tell)
    words = sum(len(text.split()) for text in unseen)
    tokens = sum(len(reporter.tokenizer(text)["input_ids"]) + 1 for text in unseen)
    value = rm.perplexity(reporter, test)
    print(
        f"{len(known)} reports, {recipe.steps} steps, {time.monotonic() - start:.0f} s; on {len(unseen)} others "
        f"{value:.2f} a token of {len(reporter.tokenizer)}, {value ** (tokens / words):.1f} a word"
    )


def _tell(done: int, total: int) -> None:
    if done % 50 == 0:
        print(f"{done}/{total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
