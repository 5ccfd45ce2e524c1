"""The demo: the other commands in sequence, and what they found in one file and one page."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raddino_cli.console import Progress, bar, say
from raddino_cli.work.stages import Stages, write_text

PACKAGES = (
    "raddino-cli", "cxr-phantom", "cxr-io", "ssl-core", "raddino-encoders", "raddino-probes", "raddino-seg",
    "raddino-reportgen",
)  # fmt: skip
ENCODERS = ("trained", "random", "pixels")


@dataclass(frozen=True)
class Settings:
    """What the results are a function of, besides the versions."""

    source: str | None
    labels: str | None
    patients: int
    size: int
    recipe: str
    steps: int | None
    seed: int


def run(settings: Settings, out: Path, *, workers: int | None = None, fresh: bool = False) -> dict[str, Any]:
    """Do what is not done yet and return the results, which are also in `results.json`."""
    import cxr_phantom

    _check_source(settings)
    versions = {name: version(name) for name in PACKAGES}
    stages = Stages(out, "demo", {**asdict(settings), "versions": versions}, fresh=fresh)
    source, shards, trained = out / "phantoms", out / "shards", out / "run"
    if settings.source is None:
        stages.run("phantoms", lambda: _phantoms(cxr_phantom.generate, source, settings, workers))
    else:
        source = Path(settings.source)
    counts = stages.run("ingest", lambda: _ingest(source, shards, settings, workers))
    if counts["rejected"]:
        say(f"{counts['rejected']} files rejected; each is in {shards}.rejected.jsonl")
    stages.run("pretrain", lambda: _pretrain(shards, trained, settings))
    specs = _specs(trained)
    for name in ENCODERS:
        stages.run(f"embed-{name}", partial(_embed, shards, specs[name], out / "features" / name))
    skipped: dict[str, str] = {}
    probes = _each("probes", "Probes", stages, out, _probe, skipped)
    segmentation = _each("segmentation", "Segmentation", stages, out, partial(_segment, shards), skipped)
    reports = _each("reports", "Reports", stages, out, _report, skipped)
    results: dict[str, Any] = {
        "format": 1,
        "synthetic": settings.source is None,
        "source": settings.source,
        "data": counts,
        "encoders": _specs(trained, Path("run")),
        "probes": probes,
        "segmentation": segmentation,
        "reports": reports,
        "skipped": skipped,
        "proof": proof(probes, segmentation),
        "configuration": asdict(settings),
        "versions": {**versions, "python": platform.python_version(), "torch": version("torch")},
        "seconds": stages.seconds(),
    }
    write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
    from raddino_cli.page import write_page

    say("writing the page")
    write_page(out, results)
    return results


def proof(probes: dict[str, Any], segmentation: dict[str, Any]) -> dict[str, Any]:
    """Whether training beat both baselines: where 95 % intervals don't overlap, and where the value is better."""
    own = probes.get("trained", {})
    others = [probes.get(name, {}) for name in ENCODERS[1:]]

    def apart(target: str) -> bool:
        mine = own.get(target, {}).get("low")
        highs = [other.get(target, {}).get("high") for other in others]
        return mine is not None and all(high is not None and mine > high for high in highs)

    def better(table: list[Any], target: str, sign: int) -> bool:
        values = [entry.get(target, {}).get("value") for entry in table]
        return all(value is not None for value in values) and all(sign * values[0] > sign * v for v in values[1:])

    findings = [name for name, score in own.items() if score["metric"] == "auroc" and name != "sex" and apart(name)]
    return {
        "findings_apart": findings,
        "sex_apart": apart("sex"),
        "age_error_lower": better([own, *others], "age", -1),
        "lung_dice_higher": better([segmentation.get(name, {}) for name in ENCODERS], "mean", 1),
    }


def _check_source(settings: Settings) -> None:
    if settings.labels and not settings.source:
        raise ValueError("expected --source beside --labels; the phantoms bring their own labels")
    if settings.source and not Path(settings.source).exists():
        raise ValueError(f"expected a folder of radiographs, found nothing at {settings.source}; check the path")


def _phantoms(generate: Callable[..., int], out: Path, settings: Settings, workers: int | None) -> int:
    with bar("phantoms") as tell:
        size = max(settings.size, 64)
        return generate(out, patients=settings.patients, seed=settings.seed, size=size, workers=workers, progress=tell)


def _ingest(source: Path, shards: Path, settings: Settings, workers: int | None) -> dict[str, Any]:
    import cxr_io

    with bar("ingest") as tell:
        summary = cxr_io.ingest(
            source, shards, labels=settings.labels, short_side=settings.size, workers=workers, progress=tell
        )
    return vars(summary)


def _pretrain(shards: Path, out: Path, settings: Settings) -> None:
    from raddino_cli.work.training import pretrain

    overrides = [f"train.seed={settings.seed}"] + ([f"train.steps={settings.steps}"] if settings.steps else [])
    pretrain(shards, out, settings.recipe, overrides)


def _specs(trained: Path, named: Path | None = None) -> dict[str, str]:
    """The trained encoder, the same with random weights, and raw pixels on its patch grid; `named` by another path."""
    config, processor = (
        json.loads((trained / "encoder" / name).read_bytes()) for name in ("config.json", "preprocessor_config.json")
    )
    run = named or trained
    grid = f"pixels:16@{processor['crop_size']['height']}/{config['patch_size']}"
    return dict(zip(ENCODERS, (str(run), f"random:{run}", grid), strict=True))


def _embed(shards: Path, spec: str, out: Path) -> int:
    from raddino_cli.work.embedding import embed

    with bar(f"embed {out.name}") as tell:
        return embed(shards, spec, out, patches=True, progress=tell)


def _each(
    stage: str,
    title: str,
    stages: Stages,
    out: Path,
    work: Callable[[Path, Progress], dict[str, Any]],
    skipped: dict[str, str],
) -> dict[str, Any]:
    """One evaluation for every encoder; a source that lacks what it needs is a sentence rather than an error."""
    found: dict[str, Any] = {}
    for name in ENCODERS:

        def once(name: str = name) -> dict[str, Any]:
            from raddino_cli.work.features import NothingToMeasureError

            with bar(f"{stage} {name}") as tell:
                try:
                    return {"scores": work(out / "features" / name, tell)}
                except NothingToMeasureError as error:
                    return {"skipped": str(error)}

        result = stages.run(f"{stage}-{name}", once)
        if "skipped" in result:
            skipped[stage] = f"{title} skipped: {result['skipped']}"
        else:
            found[name] = result["scores"]
    return found


def _probe(folder: Path, tell: Progress) -> dict[str, Any]:
    from raddino_cli.work.probing import probe

    return probe(folder, progress=tell)


def _segment(shards: Path, folder: Path, tell: Progress) -> dict[str, Any]:
    from raddino_cli.work.features import load_features
    from raddino_cli.work.segmenting import Plan, evaluate_model, fit_model, read_training

    features, plan = load_features(folder), Plan()
    data, held = read_training(features, shards, plan)
    model = fit_model(features, data, held, plan, progress=tell)
    model.save(folder / "lungs.safetensors")
    return evaluate_model(model, folder, shards, plan.masks, train=data.masks)


def _report(folder: Path, _tell: Progress) -> dict[str, Any]:
    from raddino_cli.work.reporting import demo_scores

    return demo_scores(folder)
