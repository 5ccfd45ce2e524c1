"""`raddino report`: reports written, and scored with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Reports: written from features, and scored.", no_args_is_help=True)
Features = Annotated[Path, typer.Argument(help="Folder that `raddino embed` wrote, of images with reports.")]
Section = Annotated[str, typer.Option(help="findings, impression or another section; report is all of it.")]


@app.command()
def generate(
    features: Features,
    out: Annotated[Path, typer.Option(help="JSON lines to write.")],
    section: Section = "findings",
) -> None:
    """A report for every test image: key, generated text and reference. It is that of the nearest training image.

    Example: `raddino report generate features/first --out reports.jsonl`
    """
    from raddino_cli.work.features import load_features
    from raddino_cli.work.reporting import retrieve, write_reports

    known = load_features(features)
    test, said = retrieve(known, section)
    typer.echo(f"{write_reports(out, known, test, said)} reports in {out}")


@app.command()
def evaluate(
    features: Annotated[
        Path | None, typer.Argument(help="Folder that `raddino embed` wrote, of images with reports.")
    ] = None,
    references: Annotated[Path | None, typer.Option(help="Text file, a report a line, in place of features.")] = None,
    candidates: Annotated[Path | None, typer.Option(help="Text file whose lines answer those of --references.")] = None,
    patients: Annotated[Path | None, typer.Option(help="Text file, a patient a line (default: each its own).")] = None,
    generated: Annotated[
        list[Path] | None, typer.Option(help="JSON lines of `report generate`, beside the baselines; may be repeated.")
    ] = None,
    section: Section = "findings",
    convention: Annotated[str, typer.Option(help="plain, or coco: as pycocoevalcap counts (text files).")] = "plain",
    uncertain: Annotated[str, typer.Option(help="What doubt counts as: present, absent or left out.")] = "present",
    replicates: Annotated[int, typer.Option(min=2, help="Bootstrap replicates.")] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """BLEU, ROUGE-L, F1 of findings, hallucination and omission, with 95 % intervals over patients.

    Of features: retrieval, the most frequent report, shuffled images, and what `report generate` wrote. Of two text
    files: any system's reports.

    Examples: `raddino report evaluate features/first --generated reports.jsonl` or
    `raddino report evaluate --references a.txt --candidates b.txt`
    """
    from raddino_cli.console import print_json

    if features is not None and references is None and candidates is None and patients is None:
        from raddino_cli.work.reporting import evaluate as evaluate_features

        found = evaluate_features(
            features, generated or [], section=section, uncertain=uncertain, replicates=replicates
        )
    elif references is not None and candidates is not None and features is None and not generated:
        from raddino_cli.work.scoring import score_files

        found = score_files(
            references, candidates, patients=patients, convention=convention, uncertain=uncertain, replicates=replicates
        )
    else:
        raise typer.BadParameter("expected either a folder of features, or --references and --candidates")
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from raddino_cli.console import table
    from raddino_cli.work.probing import words

    systems = found["systems"]
    rows = [[name, *(words(scores[name]) for scores in systems.values())] for name in next(iter(systems.values()))]
    table(f"{found['pairs']} reports", ["metric", *systems], rows)
    for title, part in (("By finding", found.get("findings")), ("Paired differences", found.get("differences"))):
        if part:
            columns = (
                list(next(iter(part.values())))[:6] if title == "By finding" else ["bleu4", "rouge_l", "f1_14_micro"]
            )
            table(
                title, ["", *columns], [[name, *(words(scores[c]) for c in columns)] for name, scores in part.items()]
            )
    for reason, count in found["counts"].items():
        if count:
            typer.echo(f"{count} {reason}")
