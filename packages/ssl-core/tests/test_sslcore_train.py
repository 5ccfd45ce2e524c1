"""A run is a function of configuration, seed and data; stopping and resuming changes nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ssl_core
import torch
from safetensors.torch import load_file

TINY = [
    "model.embed_dim=32",
    "model.depth=2",
    "model.num_heads=2",
    "model.drop_path=0.3",
    "head.prototypes=32",
    "head.hidden=32",
    "head.bottleneck=16",
    "crops.global_size=48",
    "crops.encode_size=72",
    "crops.local_size=24",
    "train.batch_size=6",
    "train.log_every=1",
    "train.checkpoint_every=2",
    "train.steps=6",
    "model.patch_size=12",
    "train.precision=float32",
]


def images(count: int = 20) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(count, 1, 64, 64, generator=generator) * 65535).to(torch.uint16)


def config(*more: str) -> ssl_core.Config:
    return ssl_core.load_config("cpu-tiny", [*TINY, *more])


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "encoder" / "model.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_same_configuration_same_bits_and_another_seed_other_bits(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        ssl_core.Trainer(config(f"train.seed={seed}"), images(), tmp_path / name, device="cpu").fit()
    assert equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not equal(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_resume_equals_never_stopping_bit_by_bit(tmp_path: Path) -> None:
    ssl_core.Trainer(config(), images(), tmp_path / "whole", device="cpu").fit()
    first = ssl_core.Trainer(config(), images(), tmp_path / "parts", device="cpu")
    for _ in range(3):
        first.train_step()
        if first.step == 2:
            first.save()
    second = ssl_core.Trainer(config(), images(), tmp_path / "parts", device="cpu")
    assert second.step == 2
    second.fit()
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_a_run_starts_whitened_alike_in_student_and_teacher_and_by_seed(tmp_path: Path) -> None:
    runs = [
        ssl_core.Trainer(config(f"model.whitening={w}"), images(), tmp_path / name, device="cpu").model
        for name, w in (("a", 0.3), ("b", 0.3), ("c", 0.0))
    ]
    a, b, c = (m.student.backbone.patch_embed.proj.weight for m in runs)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(a, runs[0].teacher.backbone.patch_embed.proj.weight)


SCRIPT = """
import sys, torch
sys.path.insert(0, {here!r})
torch.set_num_threads(1)
from test_sslcore_train import config, images
import ssl_core
ssl_core.Trainer(config("train.steps=12"), images(), sys.argv[1], device="cpu").fit()
"""


@pytest.mark.slow
def test_resume_after_kill_9_equals_never_stopping(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT.format(here=str(Path(__file__).parent))]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    for step in (2, 6):
        process = subprocess.Popen([*command, str(tmp_path / "killed")])
        wanted = tmp_path / "killed" / "checkpoints" / f"step-{step:08d}.safetensors"
        while not wanted.exists() and process.poll() is None:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "killed"))

    def rows(name: str) -> list[dict]:
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        measured = ("images_per_second", "data_wait", "utilisation", "peak_memory")
        return [{k: v for k, v in json.loads(line).items() if k not in measured} for line in lines]

    assert rows("whole") == rows("killed")


def test_another_configuration_in_the_same_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    ssl_core.Trainer(config(), images(), tmp_path, device="cpu")
    with pytest.raises(ssl_core.SslError, match=r"optim\.base_lr: 0\.\d+ -> 0\.5"):
        ssl_core.Trainer(config("optim.base_lr=0.5"), images(), tmp_path, device="cpu")


def test_damaged_checkpoint_is_named_and_not_executed(tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config(), images(), tmp_path, device="cpu")
    path = trainer.save()
    path.write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(ssl_core.SslError, match="expected a safetensors file"):
        ssl_core.Trainer(config(), images(), tmp_path, device="cpu")


def test_every_image_is_seen_once_an_epoch() -> None:
    seen = [i for step in range(10) for i in ssl_core.make_batch(config(), images(), step)[0]]
    for epoch in range(3):
        assert sorted(seen[epoch * 20 : (epoch + 1) * 20]) == list(range(20))


def test_an_image_with_holes_is_named(tmp_path: Path) -> None:
    data = images().float() / 65535
    data[4, 0, 3, 3] = float("nan")
    with pytest.raises(ssl_core.SslError, match="image 4: expected values from 0 to 1, got nan"):
        ssl_core.Trainer(config(), data, tmp_path, device="cpu").fit()


def test_exported_encoder_is_a_transformers_dinov2_with_equal_features(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ssl_core.Trainer(config("train.steps=2"), images(), tmp_path, device="cpu").fit()
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "encoder", local_files_only=True).eval()
    ours, processor = ssl_core.load_encoder(tmp_path)
    x = torch.randn(2, 1, 72, 72)
    with torch.no_grad():
        a, b = theirs(x).last_hidden_state, ours(x)
    assert (a[:, 0] - b.cls).abs().max() <= 1e-5
    assert (a[:, 1:] - b.patches).abs().max() <= 1e-5
    assert processor["image_mean"] == [0.5307]
    assert processor["crop_size"] == {"height": 72, "width": 72}


def test_weights_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    ssl_core.Trainer(config("train.steps=1"), images(), tmp_path, device="cpu").fit()
    path = tmp_path / "encoder" / "config.json"
    path.write_text(path.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(ssl_core.SslError, match=r"blocks\.2\.attn\.qkv\.weight"):
        ssl_core.load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.base_lrr=1", "nearest valid: optim.base_lr"),
        ("optm.base_lr=1", "nearest valid: optim"),
        ("optim.base_lr='x'", "expected float"),
        ("train.steps=1.5", "expected int"),
        ("crops.local_size=25", "crops.local_size to be a multiple of patch_size"),
        ("loss.centring=mean", "expected one of"),
        ("train.batch_size=1", "KoLeo needs a batch"),
    ],
)
def test_wrong_configuration_says_what_was_expected(override: str, message: str) -> None:
    with pytest.raises(ssl_core.SslError, match=re.escape(message)):
        config(override)


def test_every_recipe_loads_and_round_trips_through_toml(tmp_path: Path) -> None:
    assert "cpu-tiny" in ssl_core.recipes()
    for name in ssl_core.recipes():
        path = tmp_path / f"{name}.toml"
        path.write_text(ssl_core.load_config(name).to_toml())
        assert ssl_core.load_config(path) == ssl_core.load_config(name)


def test_every_configuration_key_is_read_by_something() -> None:
    source = Path(ssl_core.__file__).parent
    text = "".join(p.read_text() for p in source.glob("_*.py") if p.name != "_config.py")
    text += Path(ssl_core._config.__file__).read_text().split("class Config:")[1]
    for section, values in vars(ssl_core.Config()).items():
        for key in vars(values):
            # `blur` and the like are read as attributes of the section's object.
            assert re.search(rf"\.{key}\b|\"{section}\.{key}\"", text), f"{section}.{key} is read by nothing"
