"""Encoders on a sample of NIH ChestX-ray14, as `docs/encoders-nih.md`: `python -m tools.encoders_nih [ENCODER ...]`.

Without arguments the two baselines; with them the baselines and these. What was measured before is kept in
`runs/encoders-nih` and not measured again.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path("../shared/data/nih")
OUT = Path("runs/encoders-nih")
PAGE = Path("docs/encoders-nih.md")
BASELINES = ("pixels:32", "random:vit_small_patch16_224")
TARGETS = "Pneumonia,sex,age,view"
# The images are public. A key of everybody's makes the same split by patient on every machine.
KEY = "encoders on nih, a public set"

INTRODUCTION = """# Encoders on NIH ChestX-ray14

Frozen encoders on a sample of 830 images of 572 patients (Wang et al., CVPR 2017; images from the NIH Clinical Center),
{counts}, split by patient. Made by

```
.venv/bin/python -m tools.encoders_nih{arguments}
```

that is `raddino bench` with probes on frozen features: logistic for Pneumonia, sex (F) and view (AP), ridge for age in
years. Features (class token, or with the mean patch token), strengths and penalties are chosen on
val; values are those of test, with 95 % intervals by patient.

What to know before reading a number:

- The view is a confounder. Of the images with pneumonia 45 % are AP, of the others 63 %: in the whole sample the view
  alone tells pneumonia with an AUROC of 0.59, and the column "view alone" is what a probe of it reaches in test.
  "beyond view" is a probe on features less all that is linear in the view, "gain over view" what features add to it.
- The labels were mined from reports. The sample is half No Finding and half Pneumonia, which no clinic is, so average
  precision is not that of a clinic either. Children are among the patients.
- The test split is small: intervals that overlap do not rank two encoders. The last tables compare encoders on the same
  patients, `p_holm` corrected over the targets of a table.
- Research software, not a medical device.

"""


def main(encoders: list[str]) -> None:
    """Measure what is missing and write the page."""
    words = [
        "bench", str(SOURCE), "--encoders", ",".join(dict.fromkeys((*BASELINES, *encoders))), "--targets", TARGETS,
        "--beyond", "view", "--out", str(OUT),
    ]  # fmt: skip
    raddino = Path(sys.executable).parent / "raddino"
    subprocess.run([str(raddino), *words], cwd=ROOT, env={**os.environ, "CXR_IO_KEY": KEY}, check=True)
    import cxr_io

    splits = cxr_io.info(ROOT / OUT / "shards")["splits"]
    counts = ", ".join(f"{name} {split['samples']} of {split['patients']}" for name, split in splits.items())
    arguments = "".join(f" {shlex.quote(encoder)}" for encoder in encoders)
    table = (ROOT / OUT / "results.md").read_text("utf-8").replace("(results.svg)", f"({PAGE.stem}.svg)")
    text = INTRODUCTION.format(counts=counts, arguments=arguments) + table
    (ROOT / PAGE).write_text(text, encoding="utf-8")
    shutil.copyfile(ROOT / OUT / "results.svg", (ROOT / PAGE).with_suffix(".svg"))
    print(f"{PAGE}: {len(splits)} splits, {len({*BASELINES, *encoders})} encoders")


if __name__ == "__main__":
    main(sys.argv[1:])
