"""`raddino report`: reports written, and scored with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Reports: written from features, and scored.", no_args_is_help=True)
Features = Annotated[Path, typer.Argument(help="Folder that `raddino embed` wrote, of images with reports.")]
Section = Annotated[str, typer.Option(help="findings, impression or another section; report is all of it.")]


@app.command()
def train(
    features: Features,
    out: Annotated[Path, typer.Option(help="Run folder to write, or to go on with.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")] = "tiny",
    language_model: Annotated[
        str | None, typer.Option(help="Folder or id of a causal language model of transformers (default: a small one).")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override, as `steps=500`; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a language model to write the findings from patch tokens; run again, it goes on where it stopped.

    Examples: `raddino report train features/first --out runs/reporter` or
    `raddino report train features/first --out runs/vicuna --recipe rad-dino-vicuna7b --language-model vicuna-7b-v1.5`
    """
    from raddino_cli.console import bar, print_json
    from raddino_cli.work.writing import train_reporter

    with bar("report training") as progress:
        found = train_reporter(features, out, recipe, overrides or [], language_model, progress)
    if as_json:
        print_json(found)
        return
    typer.echo(f"reporter in {out / 'reporter'}; perplexity on validation {found['val_perplexity']:.3f}")
    for reason, count in found["left_out"].items():
        typer.echo(f"{count} {reason}")


@app.command()
def generate(
    features: Features,
    out: Annotated[Path, typer.Option(help="JSON lines to write.")],
    reporter: Annotated[
        Path | None, typer.Option(help="Run of `report train` (default: the report of the nearest training image).")
    ] = None,
    beams: Annotated[int, typer.Option(help="Beams of the search; 1 is greedy.")] = 1,
    temperature: Annotated[float, typer.Option(help="Sample at this temperature; 0 doesn't.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest tokens with this probability.")] = 1.0,
    samples: Annotated[
        int, typer.Option(help="Sample so many and keep the one whose findings agree best with the others'.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    shuffled: Annotated[
        bool, typer.Option("--shuffled", help="Give each another's image: what the language model says unseen.")
    ] = False,
    section: Section = "findings",
) -> None:
    """A report for every test image: key, generated text and reference.

    Examples: `raddino report generate features/first --out retrieved.jsonl` or
    `raddino report generate features/first --reporter runs/reporter --temperature 1 --samples 16 --out reports.jsonl`
    """
    from raddino_cli.console import bar
    from raddino_cli.work.features import load_features
    from raddino_cli.work.reporting import retrieve, write_reports

    known = load_features(features)
    if reporter is None:
        if shuffled or beams != 1 or temperature or samples != 1:
            raise typer.BadParameter("expected --reporter beside --shuffled, --beams, --temperature and --samples")
        test, said = retrieve(known, section)
    else:
        from raddino_reportgen.model import Decoding

        from raddino_cli.work.writing import write_with

        decoding = Decoding(beams, temperature, top_p, samples, seed)
        with bar("reports") as progress:
            test, said = write_with(known, reporter, decoding, shuffled=shuffled, progress=progress)
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
    published: Annotated[
        Path | None, typer.Option(help="Folder of published weights: chexbert/, radgraph/, bertscore/, radcliq/.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=2, help="Bootstrap replicates.")] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """BLEU, ROUGE-L, F1 of findings, hallucination and omission, with 95 % intervals over patients.

    Of features: retrieval, the most frequent report, shuffled images, and what `report generate` wrote. Of two text
    files: any system's reports. With --published also what its weights measure; findings are then CheXbert's if its
    are there.

    Examples: `raddino report evaluate features/first --generated reports.jsonl` or
    `raddino report evaluate --references a.txt --candidates b.txt`
    """
    from raddino_cli.console import print_json
    from raddino_cli.work.scoring import load_measures

    if features is not None and references is None and candidates is None and patients is None:
        from raddino_cli.work.reporting import evaluate as evaluate_features

        found = evaluate_features(
            features,
            generated or [],
            section=section,
            uncertain=uncertain,
            replicates=replicates,
            measures=load_measures(published),
        )
    elif references is not None and candidates is not None and features is None and not generated:
        from raddino_cli.work.scoring import score_files

        found = score_files(
            references,
            candidates,
            patients=patients,
            convention=convention,
            uncertain=uncertain,
            replicates=replicates,
            measures=load_measures(published),
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
