"""Facts about hierarchical encoders in studies: trained, kept as timm's folders, counted; and weights as they start."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

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


@pytest.mark.slow
def test_a_hierarchical_encoder_is_a_level_and_its_folder_is_one_of_timm(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    done = raddino("ablate", tmp_path / "study.toml", "--out", tmp_path / "out", "--replicates", 50)
    assert done.returncode == 0, done.stderr
    of = {run.levels[0]: tmp_path / "out" / "runs" / run.name for run in expand(parse_study(STUDY))}
    folder = of["hierarchical"] / "encoder"
    encoder = raddino_encoders.load(str(of["hierarchical"]))
    assert (encoder.image_size, encoder.patch_size, encoder.embed_dim, encoder.pooled) == (64, 16, 64, True)
    own = timm.create_model("test_convnext", num_classes=0, in_chans=1, output_stride=16).eval()
    own.load_state_dict(load_file(folder / "model.safetensors"))
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(encoder.encode(x).patches, own.forward_features(x), rtol=1e-3, atol=1e-4)
    effects = json.loads((tmp_path / "out" / "results.json").read_text())["effects"]
    assert all(effect["value"] for effect in effects)

    config = ssl_core.load_config(of["untrained"] / "config.toml")
    fresh = ssl_core.build(config).teacher.backbone
    kept, _ = ssl_core.load_encoder(of["untrained"])
    for (name, mine), (_, its) in zip(kept.named_parameters(), fresh.named_parameters(), strict=True):
        if name != "pos_embed":  # kept at another size
            torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-8)


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
