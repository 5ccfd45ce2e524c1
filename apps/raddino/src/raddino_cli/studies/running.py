"""Doing what is missing of a study's runs. What is finished has a stamp; training and embedding go on within a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import ssl_core

from raddino_cli.console import bar, say
from raddino_cli.image_text import training as image_text
from raddino_cli.studies.measuring import FINDINGS, MASK, Measured, measure_masks, measure_targets
from raddino_cli.studies.runs import Levels, Run, expand, pairs_of, steps_before
from raddino_cli.studies.study import Settings, Study
from raddino_cli.work.embedding import embed
from raddino_cli.work.images import Chosen
from raddino_cli.work.stages import Finished, Stages, UnfinishedError, named, plain
from raddino_cli.work.targets import CLASSES, DEVICE, NUMBERS
from raddino_cli.work.training import pretrain

_PHANTOM_KEY = "phantoms are nobody: this key is no secret"


def run_all(study: Study, stages: Stages, *, workers: int | None = None) -> dict[tuple[Levels, int], Measured]:
    """Do what is not done yet; what was measured, by levels and seed."""
    runs = expand(study)
    names = list(dict.fromkeys(run.name for run in runs))
    say(f"{study.title}: {len(names)} encoders for {len(runs)} runs of {len(study.seeds)} seeds")
    found: dict[tuple[Levels, int], Measured] = {}
    shards: dict[str, Path] = {}
    start = time.monotonic()
    left, spent = {run.name: run.cost for run in runs if not stages.has(f"train-{run.name}")}, 0.0
    for done, run in enumerate(runs, 1):
        data = _data_key(run.settings)
        if data not in shards:
            shards[data] = _data(run.settings, stages, workers)
            _check_measures(run.settings, shards[data])
        say(f"run {run.name}: {', '.join(run.levels)}, seed {run.seed}")
        found[run.levels, run.seed] = _one(run, shards[data], stages)
        spent += left.pop(run.name, 0.0)
        if done < len(runs):
            seconds = (time.monotonic() - start) / spent * sum(left.values()) if spent else 0.0
            eta = f", about {timedelta(seconds=round(seconds))} left" if seconds else ""
            say(f"{study.title}: {done} of {len(runs)} runs{eta}")
    return found


def run_encoder(name: str, study: Study, stages: Stages) -> None:
    """Do what is not done yet of the runs that share an encoder."""
    for run in expand(study):
        if run.name == name:
            _one(run, _data(run.settings, stages, None), stages)


def make_data(study: Study, stages: Stages, *, workers: int | None = None) -> None:
    """Make the shards that are not there yet."""
    for settings in {_data_key(run.settings): run.settings for run in expand(study)}.values():
        _check_measures(settings, _data(settings, stages, workers))


def has_data(study: Study, out: Path) -> bool:
    """Whether all shards are there."""
    try:
        make_data(study, Finished(out))
    except UnfinishedError:
        return False
    return True


def unfinished(study: Study, out: Path) -> list[str]:
    """Names of the encoders of which something is not done yet."""
    found = []
    for name in dict.fromkeys(run.name for run in expand(study)):
        try:
            run_encoder(name, study, Finished(out))
        except UnfinishedError:
            found.append(name)
    return found


def _one(run: Run, shards: Path, stages: Stages) -> Measured:
    settings = run.settings
    folder, features = stages.out / "runs" / run.name, stages.out / "runs" / run.name / "features"
    stages.run(f"train-{run.name}", partial(_train, run, shards, folder))
    stages.run(f"embed-{run.name}", partial(_embed, shards, folder, features, bool(settings["evaluate.masks"])))
    found: Measured = {}
    if probes := settings["evaluate.probes"]:
        names = list(dict.fromkeys(name for words in probes for name in words.split("+")))
        stage = named(f"probe {run.name}", names)
        found |= stages.run(stage, partial(measure_targets, features, names))
    evaluation = {key: value for key, value in settings.items() if key.startswith("evaluate.")}
    for mask in settings["evaluate.masks"]:
        stage = named(f"segment {run.name} {mask}", sorted(evaluation.items()))
        dice = stages.run(stage, partial(measure_masks, features, shards, mask, settings, run.seed))
        found |= {MASK + name: of for name, of in dice.items()}
    return found


def _train(run: Run, shards: Path, folder: Path) -> None:
    s = run.settings
    if s["pretrain.method"] == "text":
        config = ssl_core.load_config(s["pretrain.recipe"], run.overrides)
        with bar("image-text") as tell:
            image_text.train(shards, folder, config, pairs_of(s), share=s["pretrain.share"], progress=tell)
        return
    init = Path(s["pretrain.init"]) if s["pretrain.init"] else None
    if before := steps_before(s):
        first = folder / "before"
        words = [*run.overrides, f"train.steps={before}"]
        pretrain(shards, first, s["pretrain.recipe"], words, init=init, chosen=Chosen(foreign=1.0))
        init = first
    chosen = Chosen(s["pretrain.share"], s["pretrain.manufacturer"], s["foreign.share"], s["foreign.balance"])
    encoder = s["pretrain.encoder"]
    pretrain(shards, folder, s["pretrain.recipe"], run.overrides, init=init, chosen=chosen, encoder=encoder)


def _embed(shards: Path, folder: Path, features: Path, patches: bool) -> int:
    with bar("embed") as tell:
        return embed(shards, str(folder), features, patches=patches, progress=tell)


def _data_key(settings: Settings) -> str:
    """The same for settings that have the same shards."""
    return str({key: value for key, value in settings.items() if key.startswith("data.")})


def _data(settings: Settings, stages: Stages, workers: int | None) -> Path:
    """The shards of some settings, made of phantoms that all sizes share unless there is a source."""
    import cxr_io
    import cxr_phantom

    data = {key.removeprefix("data."): value for key, value in settings.items() if key.startswith("data.")}
    side, place = data["size"], stages.out / "data"
    rendered = max(data["rendered"] or side, 64)
    phantoms = place / f"phantoms-{data['patients']}-{data['seed']}-{rendered}"
    source = Path(data["source"]) if data["source"] else phantoms

    def make() -> int:
        with bar("phantoms") as tell:
            return cxr_phantom.generate(
                phantoms, patients=data["patients"], seed=data["seed"], size=rendered, workers=workers, progress=tell
            )

    def ingest() -> dict[str, Any]:
        key = next(_keys(place), None) if data["source"] else _PHANTOM_KEY
        with bar("ingest") as tell:
            summary = cxr_io.ingest(
                source, shards, labels=data["labels"] or None, short_side=side, workers=workers, key=key, progress=tell
            )
        return vars(summary)

    if not data["source"]:
        stages.run(phantoms.name, make)
    shards = place / named(f"shards {side}", source.name, data)
    stages.run(shards.name, ingest)
    return shards


def _check_measures(settings: Settings, shards: Path) -> None:
    """Before hours of training: whether what is to be measured is there.

    Raises:
        ValueError: it isn't, and what is.
    """
    import cxr_io

    row: dict[str, Any] = {}
    makers, masks = set[str](), set[str]()
    for row in cxr_io.read_table(shards):
        makers.add(row["manufacturer"])
        masks |= set(row["masks"] or ())
    labels = [name.removeprefix("label.") for name in row if name.startswith("label.")]  # columns, the same in all rows
    devices = [f"{DEVICE}={maker}" for maker in sorted(maker for maker in makers if maker)]
    known = [FINDINGS, *sorted(labels), *CLASSES, *NUMBERS, *devices]
    for name in (name for words in settings["evaluate.probes"] for name in words.split("+")):
        if plain(name) not in map(plain, known):
            raise ValueError(f"evaluate.probes: expected one of {', '.join(known)}; got {name!r}")
    for name in settings["evaluate.masks"]:
        if name.partition(":")[0] not in masks:
            raise ValueError(f"evaluate.masks: expected one of {', '.join(sorted(masks)) or 'none'}; got {name!r}")
    if (maker := settings["pretrain.manufacturer"]) not in ("", *makers):
        raise ValueError(f"pretrain.manufacturer: expected the maker in one of {', '.join(devices)}; got {maker!r}")


def _keys(place: Path) -> Iterator[str]:
    """The secret of shards that there are, for others of the same archive, so that patients stay the same."""
    import cxr_io

    for path in sorted(place.glob("shards-*.key")):
        yield cxr_io.read_key(path)
