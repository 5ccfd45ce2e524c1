"""A run as a model card: what its files tell, and in words what they don't."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from raddino_probes import Result, render_models

from raddino_cli.work.card_data import training_data
from raddino_cli.work.cells import restored
from raddino_cli.work.stages import write_text

_USE = """\
For research: frozen features of chest radiographs, for probes, retrieval, segmentation and report generation, and as a
start for further training. Research software, not a medical device: not for diagnosis, triage, or any decision about
a patient.

Limits:

- It is known to do what the tables say, on the images that they are of, and nothing more. Other hospitals, devices and
  patients may give other numbers; measure on your own before you rely on it.
- Features hold sex, age, view and device as well as findings; a model on top of them may take these for a finding.
- An interval is over patients of the test split. It tells nothing of another training run's luck."""


@dataclass(frozen=True)
class _Evaluation:
    """What a bench found of the run, and in `results` of the encoders beside it, none named by a folder."""

    data: str
    counts: dict[str, int]
    results: dict[str, list[Result]]
    groups: list[Result]
    shots: list[Result]
    leaks: list[str]


def write_card(
    run: Path,
    out: Path,
    *,
    shards: Path | None = None,
    results: Sequence[Path] = (),
    name: str | None = None,
    licence: str | None = None,
) -> None:
    """Write the card of a run.

    Raises:
        ValueError: the run, its shards or a bench lacks what is expected of it.
    """
    name = name or run.resolve().name
    found = [_evaluation(path, run, name) for path in results]
    config = (_file(run, "config.toml")).read_text("utf-8")
    settings = tomllib.loads(config)
    parts = [
        f"---\n{_front(name, licence, found)}\n---",
        f"# {name}",
        f"An image encoder for chest radiographs, trained without labels by self-distillation "
        f"({objective(settings['loss'])}) with `raddino`. Research software, not a medical device.",
        "" if licence else "License: not stated. Whoever shares the weights has to choose one.",
        *_model(run, settings),
        *training_data(_file(run, "training.csv"), shards),
        *_evaluated(found),
        f"## Intended use and limits\n\n{_USE}",
        f"## Again\n\nThe whole configuration, for `raddino pretrain --recipe config.toml`:\n\n```toml\n"
        f"{_public(config).strip()}\n```",
    ]
    write_text(out, "\n\n".join(part for part in parts if part) + "\n")


def objective(loss: Mapping[str, Any]) -> str:
    """What a recipe's `loss` weighs in, by its names in the literature."""
    names = {"DINO": "dino_weight", "iBOT": "ibot_weight", "KoLeo": "koleo_weight", "Gram": "gram_weight"}
    return " + ".join(name for name, key in names.items() if loss[key])


def _file(run: Path, name: str) -> Path:
    if not (run / name).is_file():
        raise ValueError(f"expected a run of `raddino pretrain` at {run}, found no {name}; give its folder")
    return run / name


def _public(config: str) -> str:
    """The configuration with weights named by their file alone."""
    start: dict[str, str] = tomllib.loads(config).get("init", {})
    for path in (start.get("weights"), start.get("head")):
        config = config.replace(json.dumps(path), json.dumps(Path(path).name)) if path else config
    return config


def _front(name: str, licence: str | None, found: Sequence[_Evaluation]) -> str:
    """The YAML that the Hub reads; its index holds what is of all test images, and not what a confounder adds."""
    index = [
        EvalResult(
            task_type="image-feature-extraction", dataset_type=of.data, dataset_name=of.data, dataset_split="test",
            metric_type=result.metric, metric_value=round(result.value, 4),
            metric_name=f"{result.metric} of {result.name} (95 % interval {result.low:.3f} to {result.high:.3f})",
        )
        for of in found for result in of.results[name] if result.estimable and not result.group
    ]  # fmt: skip
    data = ModelCardData(
        license=licence,
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        tags=["chest-x-ray", "radiology", "self-supervised", "dino", "ibot", "raddino"],
        metrics=sorted({result.metric_type for result in index}) or None,
        model_name=name if index else None,
        eval_results=index or None,
    )
    return data.to_yaml().strip()


def _model(run: Path, config: dict[str, Any]) -> list[str]:
    """Shape, training and a way to load it."""
    model, train, crops = config["model"], config["train"], config["crops"]
    steps = json.loads(_file(run, "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"]
    start = json.loads((run / "start.json").read_bytes())["weights"] if (run / "start.json").is_file() else ""
    own = run / "encoder" / "config.json"
    encoder = json.loads(own.read_bytes()) if own.is_file() else {"model_type": "dinov2"}
    shape = {
        "width, depth, heads": f"{model['embed_dim']}, {model['depth']}, {model['num_heads']}",
        "patch": f"{model['patch_size']} pixels",
    }
    if not encoder.get("model_type", "").startswith("dinov2"):  # a given one, of which the recipe tells nothing
        shape = {"architecture": str(encoder.get("architecture") or encoder.get("model_type"))}
    facts = shape | {
        "channels": model["channels"],
        "crops": f"{crops['global_size']} and {crops['local_size']} pixels",
        "steps": f"{steps} of {train['steps']}",
        "batch": f"{train['batch_size']} images",
        "precision": train["precision"],
        "seed": train["seed"],
        "started from": Path(start).name if start else "random weights",
    }
    return [
        f"## Model\n\n{_table(['', ''], [[key, str(value)] for key, value in facts.items()])}",
        '```python\nfrom transformers import AutoModel\n\nmodel = AutoModel.from_pretrained(".")  # this folder\n```',
    ]


def _evaluation(path: Path, run: Path, name: str) -> _Evaluation:
    """The bench's part that is about the run."""
    try:
        found = json.loads(path.read_bytes())
        benched, data = found["results"], found["data"]
        splits = {key: value for key, value in data.items() if key != "shards"}
        mine = [spec for spec in benched if Path(spec).resolve() == run.resolve()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected the results.json of a `raddino bench` at {path}: {error!r}") from error
    if not mine:
        raise ValueError(f"{path}: expected {run} among the encoders, got {', '.join(benched)}; bench it, or leave it")
    (spec,) = mine

    def public(other: str) -> str:
        return name if other == spec else other.replace(spec, name) if spec in other else _nameless(other)

    return _Evaluation(
        Path(data["shards"]).resolve().name,
        splits,
        {public(other): restored(Result, rows) for other, rows in benched.items()},
        restored(Result, found["groups"].get(spec, [])),
        restored(Result, found["shots"].get(spec, [])),
        ["not checked" if line.startswith("not checked") else line for line in found["leaks"].get(spec, [])],
    )


def _nameless(spec: str) -> str:
    """An encoder's spec without the folders before a file's name."""
    kind, colon, place = spec.rpartition(":")
    return kind + colon + Path(place).name if place.startswith(("/", ".", "~")) else spec


def _evaluated(found: Sequence[_Evaluation]) -> list[str]:
    """What was measured, by bench, then what was not."""
    parts = ["## Evaluation"]
    if not found:
        parts.append(
            "**Not evaluated.** No bench was given to this card, so nothing is known of findings, sex, age, or gaps "
            "between groups of patients. `raddino bench` measures them."
        )
    for of in found:
        counts = ", ".join(f"{count} {split}" for split, count in of.counts.items())
        leaks = "; ".join(of.leaks) or "not checked"
        parts += [
            f"### {of.data}\n\nFrozen features, probes fitted on train ({counts} images). Values on test with 95 % "
            f"intervals over patients. Test images among those of training: {leaks}.",
            render_models(of.results, "markdown").strip(),
            "#### Groups and gaps",
            _table(["target", "rows", "metric", "value (95 % interval)", "images"], [_row(r) for r in of.groups])
            if of.groups
            else "**Not measured.** `raddino bench --by sex,age,view` measures each group and the gaps between them.",
        ]
        if of.shots:
            header = ["target", "of each class", "metric", "value (95 % interval)", "images"]
            parts += ["#### From few images", _table(header, [_row(r) for r in of.shots])]
    parts.append(
        "Not part of this card: segmentation, report generation, and whatever else these tables don't list. That they "
        "are missing says nothing of how well the encoder does there."
    )
    return parts


def _row(result: Result) -> list[str]:
    words = f"{result.value:.3f} ({result.low:.3f} to {result.high:.3f})" if result.estimable else result.reason
    return [result.name, result.group, result.metric, words, str(result.n)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines)
