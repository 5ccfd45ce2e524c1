"""Facts about hierarchical encoders in studies: trained, kept as timm's folders, counted; and weights as they start."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import raddino_encoders
import ssl_core
import timm
import torch
from raddino_cli.studies.runs import expand
from raddino_cli.studies.study import load_study, parse_study
from raddino_cli.work.hierarchical import hierarchical, step_flops
from safetensors.torch import load_file

Run = Callable[..., subprocess.CompletedProcess[str]]
STUDY = """
title = "Tiny"
seeds = [0]
[base]
data.patients = 150
data.size = 64
train.steps = 4
train.batch_size = 16
train.checkpoint_every = 2
model.whitening = 0.0
crops.global_size = 48
crops.encode_size = 64
evaluate.probes = []
evaluate.masks = ["lungs"]
evaluate.steps = 10
[[factors]]
name = "shape"
base = "plain"
[factors.levels]
plain = {}
hierarchical = {pretrain.encoder = "test_convnext"}
untrained = {pretrain.steps_share = 0.0}
"""


def folders(out: Path) -> dict[str, Path]:
    """A run's folder by its level."""
    return {run.levels[0]: out / "runs" / run.name for run in expand(parse_study(STUDY))}


def numbers(out: Path) -> list[Any]:
    effects: list[Any] = json.loads((out / "results.json").read_text())["effects"]
    return effects


@pytest.fixture(scope="module")
def done(raddino: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shape")
    (root / "study.toml").write_text(STUDY)
    ended = raddino("ablate", root / "study.toml", "--out", root / "out", "--replicates", 50)
    assert ended.returncode == 0, ended.stderr
    return root / "out"


@pytest.mark.slow
def test_a_hierarchical_encoder_is_a_level_and_its_folder_is_one_of_timm(done: Path) -> None:
    of = folders(done)
    folder = of["hierarchical"] / "encoder"
    encoder = raddino_encoders.load(str(of["hierarchical"]))
    assert (encoder.image_size, encoder.patch_size, encoder.embed_dim, encoder.pooled) == (64, 16, 64, True)
    own = timm.create_model("test_convnext", num_classes=0, in_chans=1, output_stride=16).eval()
    own.load_state_dict(load_file(folder / "model.safetensors"))
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(encoder.encode(x).patches, own.forward_features(x), rtol=1e-3, atol=1e-4)
    assert all(effect["value"] for effect in numbers(done))


@pytest.mark.slow
def test_untrained_weights_are_those_that_the_seed_drew(done: Path) -> None:
    of = folders(done)
    config = ssl_core.load_config(of["untrained"] / "config.toml")
    fresh = ssl_core.build(config).teacher.backbone
    kept, _ = ssl_core.load_encoder(of["untrained"])
    for (name, mine), (_, its) in zip(kept.named_parameters(), fresh.named_parameters(), strict=True):
        if name != "pos_embed":  # kept at another size
            torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_killed_while_a_hierarchical_encoder_is_trained_it_ends_with_the_same_numbers(done: Path, raddino: Run) -> None:
    out, study = done.with_name("killed"), str(done.with_name("study.toml"))
    command = [str(Path(sys.executable).parent / "raddino"), "ablate", study, "--out", str(out)]
    under_way = folders(out)["hierarchical"]
    with subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    ) as work:
        until = time.monotonic() + 300
        while not list(under_way.glob("checkpoints/*")) and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(work.pid, signal.SIGKILL)
    assert not (out / "stages" / f"train-{under_way.name}.json").exists()
    ended = raddino("ablate", study, "--out", out, "--replicates", 50)
    assert ended.returncode == 0, ended.stderr
    assert numbers(out) == numbers(done)


def test_the_shape_study_compares_tokens_of_one_length_at_equal_compute() -> None:
    runs = {run.levels[0]: run for run in expand(load_study("shape")) if run.seed == 0}
    config = ssl_core.load_config("cpu-tiny")
    assert hierarchical("test_convnext2", config).embed_dim == config.model.embed_dim
    equal, same = runs["hierarchical, equal compute"], runs["hierarchical"]
    assert equal.cost == pytest.approx(runs["plain"].cost, rel=0.01)
    assert same.settings["train.steps"] == runs["plain"].settings["train.steps"] != equal.settings["train.steps"]


def test_operations_grow_with_images_and_views() -> None:
    def of(*words: str) -> float:
        return step_flops("test_convnext", ssl_core.load_config("cpu-tiny", list(words)))

    assert of("train.batch_size=128") == pytest.approx(2 * of(), rel=0.01)
    assert of("crops.local_count=0") < of()


def test_weights_are_drawn_from_the_seed() -> None:
    one, again, other = (
        hierarchical("test_convnext", ssl_core.load_config("cpu-tiny", [f"train.seed={seed}"])) for seed in (1, 1, 2)
    )
    name, weights = next(iter(one.model.named_parameters()))
    assert torch.equal(weights, again.model.get_parameter(name))
    assert not torch.equal(weights, other.model.get_parameter(name))


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ('pretrain.encoder = "convnext_gigantic"', "a timm model that takes output_stride = 16"),
        ('pretrain.encoder = "vit_tiny_patch16_224"', "a timm model that takes output_stride = 16"),
        ('pretrain.encoder = "test_convnext", model.whitening = 0.3', "'model.whitening': 0.3"),
        ('pretrain.encoder = "test_convnext", foreign.before = 0.5', "'foreign.before': 0.5"),
        ('pretrain.encoder = "test_convnext", pretrain.method = "text"', "'pretrain.method': 'text'"),
    ],
)
def test_what_does_not_go_with_a_hierarchical_encoder_is_told_before_anything_is_made(level: str, words: str) -> None:
    study = parse_study(STUDY.replace('pretrain.encoder = "test_convnext"', level))
    with pytest.raises(ValueError, match=r".") as caught:
        expand(study)
    assert words in str(caught.value)
