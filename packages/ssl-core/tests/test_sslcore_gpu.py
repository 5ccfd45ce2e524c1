"""What a GPU computes is what a CPU computes, and nothing waits for it."""

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_attention import draw
from test_sslcore_steps import SCRIPT, difference
from test_sslcore_train import config, equal, images, weights

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]

# Drop path draws on the device, so a GPU leaves out other images than a CPU does.
ALIKE = ["model.drop_path=0", "train.steps=4"]
VIT_B = [
    "model.embed_dim=768", "model.depth=12", "model.num_heads=12", "model.patch_size=14", "model.drop_path=0.3",
    "head.prototypes=65536", "head.hidden=2048", "head.bottleneck=256", "crops.global_size=224", "crops.local_size=98",
    "crops.local_count=8", "crops.encode_size=224", "train.batch_size=16", "train.precision=bfloat16",
    "loss.centring=centering",
]  # fmt: skip


def train(out: Path, device: str, *overrides: str) -> dict[str, torch.Tensor]:
    ssl_core.Trainer(config(*overrides), images(), out, device=device).fit()
    return weights(out)


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(["plain", "sdpa", "varlen", "xformers"], 2)))
def test_each_pair_of_attentions_agrees_on_outputs_and_gradients(a: str, b: str) -> None:
    if "xformers" in (a, b):
        operators = pytest.importorskip("xformers._cpp_lib")._built_with_cuda
        if not operators:
            pytest.skip("this xformers was built for another torch, so it has no operators here")
    found = []
    for backend in (a, b):
        q, k, v = (x.requires_grad_() for x in draw(4, 257, "cuda", torch.bfloat16))
        with ssl_core.force_attention(backend):
            out = ssl_core.attention(q, k, v)
        out.backward(draw(4, 257, "cuda", torch.bfloat16)[0])
        found.append([out, q.grad, k.grad, v.grad])
    for mine, its in zip(*found, strict=True):
        assert (mine - its).abs().max() <= 2e-2 * its.abs().max()


@pytest.mark.parametrize("centring", ["sinkhorn_knopp", "centering"])
@pytest.mark.parametrize("separate", [False, True])
def test_loss_and_gradients_are_the_cpus_in_float64(centring: str, separate: bool) -> None:
    settings = config(f"loss.centring={centring}", f"head.separate={str(separate).lower()}", "model.drop_path=0")
    sides = []
    for device in ("cpu", "cuda"):
        model = ssl_core.build(settings).double().to(device)
        batch = ssl_core.make_batch(settings, images(), 0)[1].to(torch.device(device))
        batch.global_crops, batch.local_crops = batch.global_crops.double(), batch.local_crops.double()
        terms = model(batch, 0.05)
        terms["loss"].backward()
        found = {name: value.detach().cpu() for name, value in terms.items()}
        sides.append(found | {n: p.grad.cpu() for n, p in model.student.named_parameters() if p.grad is not None})
    assert difference(*sides) < 1e-9


@pytest.mark.parametrize("preset", ["radiograph", "dinov2", "dinov2-as-run"])
@pytest.mark.parametrize("resampling", ["bicubic", "bilinear"])
def test_views_are_the_cpus(preset: str, resampling: str) -> None:
    settings = config(f"crops.preset={preset}", f"crops.resampling={resampling}")
    mine, its = (ssl_core.make_batch(settings, images(), 0, device=device)[1] for device in ("cuda", "cpu"))
    for name in ("global_crops", "local_crops"):
        # Solarising turns values about a threshold, where rounding decides.
        apart = (getattr(mine, name).cpu() - getattr(its, name)).abs() > 1e-3
        assert apart.float().mean() < 1e-3


@pytest.mark.parametrize("more", [[], ["loss.centring=centering"], ["train.accumulate=2", "loss.koleo_weight=0"]])
def test_a_run_follows_the_cpus_trajectory(more: list[str], tmp_path: Path) -> None:
    a, b = (train(tmp_path / device, device, *ALIKE, *more) for device in ("cpu", "cuda"))
    assert difference(a, b) < 1e-3


def test_blocks_compile_whole_and_give_the_same_run(tmp_path: Path) -> None:
    # In a process of its own, where no shapes are checked: the checks can't be compiled.
    script = SCRIPT.format(here=str(Path(__file__).parent)).replace('"cpu"', '"cuda"')
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "b"), *ALIKE, "train.compile=true"], check=True)
    assert difference(train(tmp_path / "a", "cuda", *ALIKE), weights(tmp_path / "b")) < 1e-3


def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch asks for it
    with deterministic():
        whole = train(tmp_path / "whole", "cuda", "model.drop_path=0.3")
        first = ssl_core.Trainer(config("model.drop_path=0.3"), images(), tmp_path / "parts", device="cuda")
        for _ in range(3):
            first.train_step()
            if first.step == 2:
                first.save()
        assert equal(whole, train(tmp_path / "parts", "cuda", "model.drop_path=0.3"))


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_nothing_in_a_step_waits_for_the_device(tmp_path: Path) -> None:
    for centring, resampling in (("sinkhorn_knopp", "bicubic"), ("centering", "bilinear")):
        views = [f"crops.resampling={resampling}", "crops.rotation=5"]
        settings = config(
            f"loss.centring={centring}", *views, "train.accumulate=2", "model.drop_path=0.3", "train.steps=9"
        )
        trainer = ssl_core.Trainer(settings, images(), tmp_path / centring, device="cuda")
        trainer.train_step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                trainer.train_step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("more", [[], ["train.activation_checkpointing=true"], ["model.drop_path=0"]])
def test_a_step_takes_the_memory_that_was_told(more: list[str], tmp_path: Path) -> None:
    settings = config(*VIT_B, *more)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    trainer = ssl_core.Trainer(settings, images(), tmp_path, device="cuda")
    for _ in range(2):
        trainer.train_step()
    took = torch.cuda.max_memory_allocated() - before
    assert took == pytest.approx(ssl_core.step_memory(settings)["total"], rel=0.15)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Within it torch computes with operations alone that give the same bits each time."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
