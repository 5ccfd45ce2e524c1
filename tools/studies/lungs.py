"""How much of the lungs is in an encoder's patch tokens: 300 real radiographs with masks, split by patient.

python -m tools.studies.lungs OUT --encoder runs/first      the table, as OUT/lungs.md; run again, it goes on
python -m tools.studies.lungs OUT --test-patients           who must not be among the images an encoder learns from

`--test-patients` prints one a line, as `raddino data ingest --exclude` reads them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr_io import Layout, Record, ingest
from raddino_cli.console import bar, say
from raddino_cli.work.embedding import embed
from raddino_cli.work.shots import Study, few_shot, words_of
from raddino_cli.work.stages import write_text

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "lungs"
INTRODUCTION = """# Lungs of real radiographs from few masks

Decoders on frozen patch tokens, and a U-Net trained end to end, on 300 radiographs of children (Kermany et al., Cell
2018), split by patient, with V7's masks of the lungs, which hold the lung behind the heart too and are not comparable
with those of JSRT or Montgomery. Made by

```
.venv/bin/python -m tools.studies.lungs OUT {words}
```

where RUN is the encoder of [real-radiographs.md](real-radiographs.md), which has seen other children and none of those
who are tested on. Dice at {size} x {size} pixels; {draws} draws of each number of images, one of all; {steps} steps of
each fit, all of the same images and none of the split val. The U-Net is that of segmentation-models-pytorch with an
untrained ResNet-18; it sees images at the size at which the encoder does. Research software, not a medical device.

"""


def split(patient: str) -> str:
    """Of ten patients two are for test, one to choose by, seven to learn from."""
    tenth = int(hashlib.sha256(patient.encode()).hexdigest(), 16) % 10
    return "test" if tenth < 2 else "val" if tenth == 2 else "train"


def rows(data: Path) -> list[dict[str, str]]:
    """The data's table."""
    with (data / "lungs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def records(data: Path, count: int | None) -> Iterator[Record]:
    """The first so many images with their masks."""
    for row in rows(data)[:count]:
        patient = row["patient_id"]
        masks: dict[str, Any] = {"lungs": data / row["mask"]}
        yield Record(row["image"], data / row["image"], patient=patient, split=split(patient), masks=masks)


def run(
    data: Path, encoder: str, out: Path, study: dict[str, Any], *, images: int | None, side: int, **placed: Any
) -> str:
    """Ingest, embed, fit every row of the table; returns it as Markdown."""
    layout = Layout("lungs", lambda _: True, lambda _source, _labels: records(data, images))
    with bar("ingest") as tell:
        ingest(data, out / "shards", dataset=layout, short_side=side, progress=tell)
    found: list[dict[str, Any]] = []
    for name, spec, methods in (
        ("trained", encoder, ("mean-mask", "propagate", "linear", "upernet", "unet")),
        ("random", f"random:{_architecture(encoder)}", ("linear", "upernet")),
    ):
        folder = out / "features" / name
        with bar(f"embed {name}") as tell:
            embed(out / "shards", spec, folder, patches=True, progress=tell, **placed)
        plan = Study(methods=methods, **study)
        with bar(name) as tell:
            scores = few_shot(folder, out / "shards", out / f"few-shot-{name}", plan, progress=tell)
        found += [{**row, "method": _title(row["method"], name)} for row in scores]
    return _table(found, encoder)


def _architecture(encoder: str) -> str:
    """Of a folder, or of a timm model, the spec without its weights."""
    return encoder.removeprefix("random:").removeprefix("timm:").partition("@")[0]


def _title(method: str, name: str) -> str:
    plain = {"mean-mask": "mean mask", "unet": "U-Net, end to end"}
    tokens = f"{name} tokens"
    return plain.get(method) or (f"nearest of {tokens}" if method == "propagate" else f"{method} on {tokens}")


def _table(found: list[dict[str, Any]], encoder: str) -> str:
    """A row a method, a column a number of images."""
    counts = sorted({row["shots"] for row in found})
    cells = {(row["method"], row["shots"]): row["scores"]["mean"] for row in found}
    lines = [
        "| Dice (95 % interval) | " + " | ".join(f"{n} image{'s' * (n > 1)}" for n in counts) + " |",
        "|---" * (1 + len(counts)) + "|",
    ]
    for method in dict.fromkeys(row["method"] for row in found):
        words = [_cell(cells[method, n]) for n in counts]
        lines.append(f"| {method} | " + " | ".join(words) + " |")
    most = counts[-1]
    ours, unet = cells["upernet on trained tokens", most], cells["U-Net, end to end", most]
    lines += ["", f"Encoder: {Path(encoder).name}. {ours['n']} test images, one a patient.", ""]
    for other in ("linear on trained tokens", "linear on random tokens", "upernet on random tokens"):
        lines.append(
            f"- UPerNet's interval lies above that of {other}: {_yes(ours['low'] > cells[other, most]['high'])}."
        )
    lines.append(
        f"- UPerNet comes within 0.02 of the U-Net trained on all: {_yes(ours['value'] > unet['value'] - 0.02)}."
    )
    if (five := cells.get(("upernet on trained tokens", 5))) is not None:
        few = cells["U-Net, end to end", 5]
        lines.append(f"- UPerNet beats the U-Net on 5 images: {_yes(five['value'] > few['value'])}.")
    return "\n".join(lines) + "\n"


def _cell(score: dict[str, Any]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f}-{score['high']:.3f})"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def main() -> None:
    """Read the command line, run, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoder", help="as `raddino embed --encoder` takes it")
    parser.add_argument("--test-patients", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--images", type=int, help="the first so many alone, to try it out")
    parser.add_argument("--side", type=int, default=224, help="pixels of the short side of the shards")
    parser.add_argument("--image-size", type=int, help="pixels a side that the encoder sees (default: its own)")
    parser.add_argument(
        "--fit", default="stretch", help="how an image becomes a square: stretch, as the pool's, crop or letterbox"
    )
    parser.add_argument("--size", type=int, default=224, help="pixels a side of the masks")
    parser.add_argument("--steps", type=int, default=400, help="of each fit")
    parser.add_argument("--shots", default="1,5,20,100,all", help="numbers of images with masks")
    parser.add_argument("--draws", type=int, default=3, help="of each number of images")
    arguments = parser.parse_args()
    if arguments.test_patients:
        print("\n".join(sorted({r["patient_id"] for r in rows(arguments.data) if split(r["patient_id"]) == "test"})))
        return
    if not arguments.encoder:
        parser.error("expected --encoder, or --test-patients")
    study = {
        "shots": words_of(arguments.shots.split(",")), "steps": arguments.steps, "draws": arguments.draws,
        "size": arguments.size,
    }  # fmt: skip
    table = run(
        arguments.data, arguments.encoder, arguments.out, study,
        images=arguments.images, side=arguments.side, image_size=arguments.image_size, fit=arguments.fit,
    )  # fmt: skip
    words = shlex.join(["RUN" if word == arguments.encoder else word for word in sys.argv[2:]])
    write_text(arguments.out / "lungs.md", INTRODUCTION.format(words=words, **vars(arguments)) + table)
    print(table)
    say(f"table in {arguments.out / 'lungs.md'}")


if __name__ == "__main__":
    main()
