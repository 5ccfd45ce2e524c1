"""Several processes that share each batch take the steps of one process that has it all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_train import config, images, weights

# KoLeo looks for neighbours within each process and drop path draws its own images there: both are per process.
SHARED = ["loss.koleo_weight=0", "model.drop_path=0", "train.steps=4", "train.checkpoint_every=2"]
SCRIPT = """
import sys, torch
sys.path.insert(0, {here!r})
torch.set_num_threads(1)
from test_sslcore_train import config, images
import ssl_core
with ssl_core.process_group(device="cpu") as device:
    ssl_core.Trainer(config(*sys.argv[2:]), images(), sys.argv[1], device=str(device)).fit()
"""


def run(processes: int, out: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Train under torchrun, on loopback only."""
    script = out.with_suffix(".py")
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*command, str(script), str(out), *overrides],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("centring", ["sinkhorn_knopp", "centering"])
def test_two_processes_follow_the_trajectory_of_one(centring: str, tmp_path: Path) -> None:
    overrides = [*SHARED, f"loss.centring={centring}"]
    ssl_core.Trainer(config(*overrides), images(), tmp_path / "one", device="cpu").fit()
    done = run(2, tmp_path / "two", *overrides)
    assert done.returncode == 0, done.stderr[-2000:]
    assert largest_difference(weights(tmp_path / "one"), weights(tmp_path / "two")) < 2e-4
    rows = [len((tmp_path / name / "metrics.jsonl").read_text().splitlines()) for name in ("one", "two")]
    assert rows == [4, 4]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_of_two_processes_goes_on_with_one(parallel: str, tmp_path: Path) -> None:
    shared = [*SHARED, f"train.parallel={parallel}", "train.accumulate=3"]
    ssl_core.Trainer(config(*shared), images(), tmp_path / "one", device="cpu").fit()
    done = run(2, tmp_path / "two", *shared)
    assert done.returncode == 0, done.stderr[-3000:]
    assert largest_difference(weights(tmp_path / "one"), weights(tmp_path / "two")) < 2e-4
    (tmp_path / "two" / "checkpoints" / "step-00000004.safetensors").unlink()
    again = ssl_core.Trainer(config(*shared), images(), tmp_path / "two", device="cpu")
    assert again.step == 2
    again.fit()
    assert largest_difference(weights(tmp_path / "one"), weights(tmp_path / "two")) < 2e-4


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    done = run(4, tmp_path / "run", *SHARED)
    assert done.returncode != 0
    assert "multiple of the 4 processes" in done.stderr


def test_the_shares_of_a_batch_make_up_the_whole() -> None:
    settings, data = config(), images()
    indices, whole = ssl_core.make_batch(settings, data, 3)
    parts = [ssl_core.make_batch(settings, data, 3, part=part, parts=2) for part in (0, 1)]
    assert [i for found, _ in parts for i in found] == indices
    for name in ("global_crops", "local_crops", "masks"):
        size = len(indices) // 2
        together = torch.cat([getattr(b, name).unflatten(0, (-1, size)) for _, b in parts], dim=1).flatten(0, 1)
        assert torch.equal(together, getattr(whole, name)), name
