"""Checkpoints in parts, models that no process holds whole, and what each of a thousand processes holds."""

import shutil
from pathlib import Path

import pytest
import ssl_core
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from ssl_core._parallel import spread
from ssl_core._place import draw_weights
from test_sslcore_distributed import SHARED, largest_difference, run
from test_sslcore_train import config, equal, images, weights

SHARDED = ["train.sharded_checkpoints=true", "model.whitening=0"]


@pytest.mark.slow
def test_parts_of_three_processes_are_taken_up_by_one_and_those_of_one_by_two(tmp_path: Path) -> None:
    settings = [*SHARED, *SHARDED, "train.parallel=fsdp", "train.keep_checkpoints=9"]
    ssl_core.Trainer(config(*settings), images(), tmp_path / "one", device="cpu").fit()
    done = run(3, tmp_path / "three", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert largest_difference(weights(tmp_path / "one"), weights(tmp_path / "three")) < 2e-4
    for run_of, files in (("one", 1), ("three", 3)):
        folder = tmp_path / run_of / "checkpoints"
        assert len(list((folder / "step-00000002").glob("*.safetensors"))) == files
        shutil.rmtree(folder / "step-00000004")
    teacher = load_file(tmp_path / "three" / "checkpoints" / "teacher.safetensors")
    assert "backbone.blocks.1.attn.qkv.weight" in teacher

    alone = ssl_core.Trainer(config(*settings), images(), tmp_path / "three", device="cpu")
    assert alone.step == 2
    alone.fit()
    assert largest_difference(weights(tmp_path / "one"), weights(tmp_path / "three")) < 2e-4
    whole = weights(tmp_path / "one")
    done = run(2, tmp_path / "one", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert largest_difference(whole, weights(tmp_path / "one")) < 2e-4


def test_resume_from_parts_equals_never_stopping_bit_by_bit(tmp_path: Path) -> None:
    settings = config(*SHARDED, "train.keep_checkpoints=9")
    ssl_core.Trainer(settings, images(), tmp_path, device="cpu").fit()
    whole = weights(tmp_path)
    for step in (4, 6):
        shutil.rmtree(tmp_path / "checkpoints" / f"step-{step:08d}")
    again = ssl_core.Trainer(settings, images(), tmp_path, device="cpu")
    assert again.step == 2
    again.fit()
    assert equal(weights(tmp_path), whole)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [*(f"step-{i:08d}" for i in (2, 4, 6)), "teacher.safetensors"]


def test_a_part_that_is_missing_or_damaged_is_told_and_nothing_is_executed(tmp_path: Path) -> None:
    settings = [*SHARED, *SHARDED]
    done = run(2, tmp_path / "run", *settings, "train.steps=2")
    assert done.returncode == 0, done.stderr[-3000:]
    _, second = sorted((tmp_path / "run" / "checkpoints" / "step-00000002").glob("*.safetensors"))
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(ssl_core.SslError, match=r"step-00000002: expected all files .*shard-00002.*missing"):
        ssl_core.Trainer(config(*settings, "train.steps=2"), images(), tmp_path / "run", device="cpu")
    for damaged in (b"\x80\x04 not safetensors", kept[: len(kept) // 2]):
        second.write_bytes(damaged)
        with pytest.raises(ssl_core.SslError, match=r"step-00000002: expected a checkpoint in safetensors files"):
            ssl_core.Trainer(config(*settings, "train.steps=2"), images(), tmp_path / "run", device="cpu")


def test_parts_that_can_not_be_written_leave_the_checkpoint_of_before(tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config(*SHARDED), images(), tmp_path, device="cpu")
    good = trainer.save()
    trainer.train_step()
    (tmp_path / "checkpoints" / ".step-00000001.tmp").write_text("in the way")
    with pytest.raises(ssl_core.SslError, match="could not write"):
        trainer.save()
    assert ssl_core.Trainer(config(*SHARDED), images(), tmp_path, device="cpu").step == 0
    assert good.is_dir()


@pytest.mark.parametrize("more", [[], ["head.separate=true", "head.ibot_prototypes=24"], ["model.sincos=0.1"]])
def test_weights_are_drawn_into_a_model_without_values_as_into_any(more: list[str]) -> None:
    settings = config("model.whitening=0", "model.registers=2", "model.ffn=swiglu", "loss.gram_weight=1", *more)
    built = ssl_core.build(settings)
    with torch.device("meta"):
        model = ssl_core.build(settings)
    model.to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.fill_(1) if tensor.dtype == torch.bool else tensor.fill_(float("nan"))
    draw_weights(model, settings)
    assert equal(model.state_dict(), built.state_dict())


@pytest.mark.parametrize("process", [0, 511, 1023])
def test_what_one_of_a_thousand_processes_holds(process: int) -> None:
    """A fake process group: shapes alone, of a model of 1.1 billion weights."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    large = ["model.embed_dim=1536", "model.depth=40", "model.num_heads=24", "model.patch_size=14"]
    head = ["head.prototypes=65536", "head.hidden=2048", "head.bottleneck=256"]
    crops = ["crops.global_size=224", "crops.local_size=98", "crops.encode_size=224"]
    settings = config(*large, *head, *crops, "model.whitening=0", "train.parallel=fsdp", "train.batch_size=2048")
    dist.init_process_group("fake", rank=process, world_size=1024, store=FakeStore())
    try:
        with torch.device("meta"):
            model = ssl_core.build(settings)
        spread(model, settings.train, torch.device("cpu"))
        held = [parameter.to_local().numel() for parameter in model.student.parameters()]
        total = sum(parameter.numel() for parameter in model.student.parameters())
    finally:
        dist.destroy_process_group()
    planned = ssl_core.step_memory(settings, 1024)["parameters"] / 4
    counts = ssl_core.parameter_counts(settings)
    assert total == counts["backbone"] + counts["heads"]
    # Rows of a weight are dealt in runs of as many, so that the last processes have few, and the first has most.
    assert sum(held) == planned if process == 0 else sum(held) < planned
    assert planned / (total / 1024) == pytest.approx(1.52, abs=0.01)
