"""Whatever ends a run, nothing is lost and what went wrong can be looked at."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ssl_core
import torch
from safetensors.torch import load_file
from test_sslcore_train import config, equal, images, weights

SCRIPT = """
import sys, torch
sys.path.insert(0, {here!r})
torch.set_num_threads(1)
from test_sslcore_train import config, images
import ssl_core
import torch
settings = config("train.steps=120", "train.checkpoint_every=100")
print(ssl_core.Trainer(settings, images(), sys.argv[1], device="cpu").fit())
"""


@pytest.mark.slow
@pytest.mark.parametrize("announcement", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_the_next_start_goes_on_exactly(announcement: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT.format(here=str(Path(__file__).parent))]
    run = subprocess.Popen([*command, str(tmp_path / "stopped")], stdout=subprocess.PIPE, text=True)
    log = tmp_path / "stopped" / "metrics.jsonl"
    while run.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 5):
        time.sleep(0.01)
    run.send_signal(announcement)
    assert run.communicate(timeout=60)[0].strip() == "False"
    assert run.returncode == 0
    saved = ssl_core.Trainer(
        config("train.steps=120", "train.checkpoint_every=100"), images(), tmp_path / "stopped", device="cpu"
    )
    assert 5 < saved.step < 120
    assert saved.step % 100
    for name in ("stopped", "whole"):
        done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True"
    assert equal(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))


def test_a_step_that_is_not_finite_leaves_the_weights_and_is_kept(tmp_path: Path) -> None:
    settings = config("train.steps=3", "train.checkpoint_every=1")
    trainer = ssl_core.Trainer(settings, images(), tmp_path, device="cpu")
    trainer.train_step()
    trainer.save()
    with torch.no_grad():  # finite, but not what comes of it
        trainer.model.student.backbone.norm.weight.fill_(3e38)
    with pytest.raises(ssl_core.SslError, match=r"step 1: .*dino_global.*images \[") as error:
        trainer.fit()
    path = Path(re.search(r"are in (\S+)", str(error.value))[1])  # type: ignore[index]
    kept = load_file(path)
    step = int(path.name.split("-")[2])
    assert all(tensor.isfinite().all() for name, tensor in kept.items() if name.startswith("model."))
    student = {k: v for k, v in kept.items() if k.startswith("model.student.")}
    before = load_file(tmp_path / "checkpoints" / f"step-{step:08d}.safetensors")
    moved = [name for name in student if not torch.equal(student[name], before[name])]
    assert moved == ["model.student.backbone.norm.weight"]  # by this test
    assert not (tmp_path / "checkpoints" / f"step-{step + 1:08d}.safetensors").exists()

    again = ssl_core.build(config())
    again.load_state_dict({k.removeprefix("model."): v for k, v in kept.items() if k.startswith("model.")})
    names = ("global_crops", "local_crops", "masks")
    terms = again(ssl_core.Batch(*(kept[f"batch.0.{name}"] for name in names)), 0.02)
    assert not terms["dino_global"].isfinite()


def test_the_newest_checkpoints_and_the_landmarks_stay_with_the_teacher_beside(tmp_path: Path) -> None:
    settings = config("train.checkpoint_every=1", "train.keep_checkpoints=2", "train.keep_every=3")
    trainer = ssl_core.Trainer(settings, images(), tmp_path, device="cpu")
    trainer.fit()
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [*(f"step-{i:08d}.safetensors" for i in (3, 5, 6)), "teacher.safetensors"]
    teacher = load_file(tmp_path / "checkpoints" / "teacher.safetensors")
    assert equal(teacher, trainer.model.teacher.state_dict())


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config(), images(), tmp_path, device="cpu")
    good = trainer.save()
    before = good.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(ssl_core.SslError, match="could not write"):
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert good.read_bytes() == before
    assert ssl_core.Trainer(config(), images(), tmp_path, device="cpu").step == 0
    assert not [path for path in good.parent.iterdir() if path.name.endswith(".tmp")]


def test_a_checkpoint_of_another_model_is_refused_by_its_keys(tmp_path: Path) -> None:
    ssl_core.Trainer(config("model.depth=1"), images(), tmp_path / "other", device="cpu").save()
    ssl_core.Trainer(config(), images(), tmp_path / "own", device="cpu")
    (tmp_path / "own" / "checkpoints").mkdir()
    foreign = next((tmp_path / "other" / "checkpoints").glob("step-*"))
    os.link(foreign, tmp_path / "own" / "checkpoints" / foreign.name)
    with pytest.raises(ssl_core.SslError, match=r"student\.backbone\.blocks\.1\.attn\.qkv\.weight"):
        ssl_core.Trainer(config(), images(), tmp_path / "own", device="cpu")


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    code = (
        "from ssl_core._memory import keep_freed_memory\nimport resource, torch\nkept = keep_freed_memory()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(16): torch.ones(1 << 24)\n"  # the first few are aligned at other places
        "before = faults()\nfor _ in range(8): torch.ones(1 << 24)\nprint(kept, faults() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    if kept == "False":
        pytest.skip("no glibc here")
    assert int(faults) < 8 * (1 << 26) // 4096 // 4
