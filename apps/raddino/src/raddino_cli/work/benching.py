"""Encoders x targets: embed each encoder once, measure each cell once, and put them into one table.

What is finished is kept in its own file, named by all that it depends on: the encoder's spec and weights, the shards,
the target and the method. So a bench that was stopped goes on, and one more encoder or target costs only itself.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, fields
from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cxr_io
import raddino_encoders
from raddino_probes import MEASURES, Comparison, Protocol, Result, protocol

from raddino_cli.console import bar, say
from raddino_cli.work import cells
from raddino_cli.work.bench_table import Settings, Table
from raddino_cli.work.embedding import embed
from raddino_cli.work.encoding import files_of
from raddino_cli.work.features import Features, load_features
from raddino_cli.work.leaks import find_leaks, training_list
from raddino_cli.work.stages import Stages, named
from raddino_cli.work.targets import METHODS, check_groups


@dataclass(frozen=True)
class Bench:
    """What was found."""

    results: dict[str, list[Result]]
    """By encoder; confounders alone are one more, such as "view alone"."""
    groups: dict[str, list[Result]]
    shots: dict[str, list[Result]]
    comparisons: dict[str, list[Comparison]]
    """Each encoder minus the first, by title."""
    leaks: dict[str, list[str]]
    """By encoder: sentences about its training list and the test split."""
    data: dict[str, Any]
    protocol: Protocol | None
    command: str
    """The line that does it again, from the shards."""


def bench(
    source: Path,
    out: Path,
    settings: Settings,
    *,
    trained_on: dict[str, Path] | None = None,
    workers: int | None = None,
    fresh: bool = False,
) -> Bench:
    """Measure what isn't measured yet. `source` is a folder of shards, or an archive, which is ingested first.

    `trained_on` holds encoders' training lists; a run brings its own.
    """
    known = _check(settings, trained_on or {})
    if known:
        _check_dataset(source, known)
    versions = {name: version(name) for name in ("raddino-encoders", "raddino-probes")}
    stages = Stages(out, "bench", {"replicates": settings.replicates, "versions": versions}, fresh=fresh)
    shards = _shards(source, out, settings.short_side, workers)
    index = json.loads((shards / "index.json").read_bytes())
    tables, leaks = {}, {}
    for spec in settings.encoders:
        patches = settings.patches or settings.method == "attentive"
        features, digest = _embedded(shards, spec, patches, settings, stages)
        tables[spec] = Table(spec, features, digest, settings, known, stages)
        if listed := training_list(spec, trained_on or {}):
            leaks[spec] = find_leaks(listed, features, shards)
    results = {spec: table.results() for spec, table in tables.items()}
    first = tables[settings.encoders[0]]
    if settings.beyond:
        results[f"{', '.join(settings.beyond)} alone"] = first.confounders_alone()
    groups = {spec: table.groups() for spec, table in tables.items()}
    shots = {spec: table.shots() for spec, table in tables.items()}
    compared = {k: v for spec in settings.encoders[1:] for k, v in tables[spec].minus(first).items()}
    return Bench(
        results, groups, shots, compared, leaks, {"shards": str(shards), **index["splits"]}, known,
        _command(shards, settings, trained_on or {}),
    )  # fmt: skip


def _command(shards: Path, settings: Settings, trained_on: dict[str, Path]) -> str:
    """Every setting that isn't the usual one, and the training lists."""
    words = ["raddino", "bench", str(shards)]
    for field in fields(Settings):
        value, option = getattr(settings, field.name), "--" + field.name.replace("_", "-")
        if value is True:
            words.append(option)
        elif value != field.default:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    for encoder, path in trained_on.items():
        words += ["--trained-on", f"{encoder}={path}"]
    return shlex.join(words)


def _check(settings: Settings, trained_on: dict[str, Path]) -> Protocol | None:
    """The protocol, once nothing is wrong with what was asked for."""
    known = protocol(settings.protocol) if settings.protocol else None
    for kind, given, allowed in (
        ("the method", (settings.method,), METHODS),
        ("metrics of", settings.metrics, tuple(MEASURES)),
        ("confounders of", settings.beyond, cells.CONFOUNDERS),
        ("training lists of the encoders", tuple(trained_on), settings.encoders),
    ):
        for name in given:
            if name not in allowed:
                raise ValueError(f"expected {kind} {', '.join(allowed)}; got {name!r}")
    check_groups(settings.by)
    return known


def _check_dataset(source: Path, known: Protocol) -> None:
    note = source / "index.json"
    if note.is_file():
        found = json.loads(note.read_bytes())["preprocessing"]["dataset"]
    else:
        found, _ = cxr_io.list_items(source, "auto", None)
    if found not in known.layouts:
        raise ValueError(
            f"expected {known.dataset} for this protocol (layout {' or '.join(known.layouts)}), {source} is {found}; "
            "give that data set's folder"
        )


def _shards(source: Path, out: Path, short_side: int, workers: int | None) -> Path:
    if (source / "index.json").is_file():
        return source
    shards = out / "shards"
    with bar("ingest") as tell:
        summary = cxr_io.ingest(source, shards, short_side=short_side, workers=workers, progress=tell)
    if summary.rejected:
        say(f"{summary.rejected} files rejected; each is in {shards}.rejected.jsonl")
    return shards


def _embedded(shards: Path, spec: str, patches: bool, settings: Settings, stages: Stages) -> tuple[Features, str]:
    """An encoder's features, and the digest of all that they depend on."""
    layers, grid = settings.layers, settings.grid
    asked = (spec, patches, layers, grid)
    hashed = sha256(repr(asked).encode() + (shards / "index.json").read_bytes())
    for path in files_of(spec):
        with path.open("rb") as file:
            hashed.update(file_digest(file, "sha256").digest())
    digest = hashed.hexdigest()
    folder = stages.out / "features" / named(spec, digest)

    def work() -> int:
        kept = (layers, grid)
        if layers > 1 or grid:
            model = raddino_encoders.load(spec)
            kept = min(layers, model.most_layers), min(grid, model.image_size // model.patch_size)
        with bar(f"embed {spec}") as tell:
            return embed(shards, spec, folder, patches=patches, layers=kept[0], grid=kept[1], progress=tell)

    stages.run(named(f"embed {spec}", digest), work)
    return load_features(folder), digest
