"""`raddino pretrain --init`: a run that goes on from weights somebody trained."""

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import ssl_core
import torch

Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["train.steps=2", "train.batch_size=4", "crops.global_size=56", "crops.local_size=28", "crops.encode_size=0",
         "head.prototypes=16", "model.num_heads=2"]  # fmt: skip


def test_a_run_starts_from_dinov2s_weights_and_says_what_became_of_them(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    lines = ["path,split"]
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 65535, (64, 64), dtype=np.uint16)
        cv2.imwrite(str(tmp_path / "source" / f"{i}.png"), pixels)
        lines.append(f"{i}.png,train")
    (tmp_path / "source" / "labels.csv").write_text("\n".join(lines) + "\n")
    cxr_io.ingest(tmp_path / "source", tmp_path / "shards", short_side=64, workers=0, key="sixteen characters or more")
    vit = ssl_core.VisionTransformer(
        ssl_core.ViTConfig(embed_dim=32, depth=2, num_heads=2, image_size=84, channels=3, layerscale=0.1)
    )
    weights = tmp_path / "weights é.pth"
    torch.save(vit.state_dict(), weights)
    command = ["pretrain", tmp_path / "shards", "--out", tmp_path / "run", "--init", weights]
    settings = [word for line in SMALL for word in ("--set", line)]
    done = raddino(*command, *settings, "--processes", 1)
    assert done.returncode == 0, done.stderr
    assert "fresh: dino_head.last_layer.weight_g" in done.stderr
    assert "summed over 3 channels" in done.stderr
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["init"] == {"weights": str(weights), "head": "", "warmup_heads": 1250}
    assert (config["model"]["embed_dim"], config["model"]["depth"], config["model"]["patch_size"]) == (32, 2, 14)
    assert json.loads((tmp_path / "run" / "start.json").read_text())["weights"] == str(weights)
    assert (tmp_path / "run" / "encoder" / "model.safetensors").is_file()

    wrong = raddino(*command[:4], "--init-head", weights)
    assert wrong.returncode == 2
    assert "goes with --init" in wrong.stderr
