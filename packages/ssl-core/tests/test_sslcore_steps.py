"""How a step is computed changes what it costs, not what it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_train import config, equal, images, weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

SCRIPT = """
import sys, torch
sys.path.insert(0, {here!r})
from test_sslcore_train import config, images
import ssl_core
ssl_core.Trainer(config(*sys.argv[2:]), images(), sys.argv[1], device="cpu").fit()
"""
# Both are per micro-batch: KoLeo's neighbours, and the images that drop path leaves out.
SHARED = ["loss.koleo_weight=0", "model.drop_path=0", "train.steps=4"]


def train(out: Path, *overrides: str) -> dict[str, torch.Tensor]:
    ssl_core.Trainer(config(*overrides), images(), out, device="cpu").fit()
    return weights(out)


def difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("centring", ["sinkhorn_knopp", "centering"])
def test_micro_batches_follow_the_trajectory_of_the_whole_batch(centring: str, tmp_path: Path) -> None:
    shared = [*SHARED, f"loss.centring={centring}"]
    whole = train(tmp_path / "whole", *shared)
    for micro in (2, 6):
        assert difference(whole, train(tmp_path / str(micro), *shared, f"train.accumulate={micro}")) < 2e-4


def test_a_batch_that_does_not_divide_into_micro_batches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ssl_core.SslError, match=r"train\.accumulate = 4; got 6"):
        ssl_core.Trainer(config("train.accumulate=4"), images(), tmp_path, device="cpu")


def test_recomputed_activations_change_no_bit(tmp_path: Path) -> None:
    recomputed = train(tmp_path / "b", "train.activation_checkpointing=true")
    assert equal(train(tmp_path / "a"), recomputed)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["train.activation_checkpointing=true"]])
def test_blocks_compile_whole_and_give_the_same_run(more: list[str], tmp_path: Path) -> None:
    shared = ["train.steps=2"]
    # In a process of its own, where no shapes are checked: the checks can't be compiled.
    script = SCRIPT.format(here=str(Path(__file__).parent))
    compiled = [*shared, *more, "train.compile=true"]
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "b"), *compiled], check=True)
    assert difference(train(tmp_path / "a", *shared), weights(tmp_path / "b")) < 1e-3


def test_the_last_phase_has_larger_crops_and_the_encoder_is_used_at_their_size(tmp_path: Path) -> None:
    settings = config("train.steps=4", "high_res.steps=2", "high_res.global_size=96", "high_res.local_size=36",
                      "crops.encode_size=0")  # fmt: skip
    sides = [ssl_core.make_batch(settings, images(), step)[1] for step in range(4)]
    assert [batch.global_crops.shape[-1] for batch in sides] == [48, 48, 96, 96]
    assert [batch.local_crops.shape[-1] for batch in sides] == [24, 24, 36, 36]
    ssl_core.Trainer(settings, images(), tmp_path, device="cpu").fit()
    assert ssl_core.load_encoder(tmp_path)[1]["crop_size"] == {"height": 96, "width": 96}


class Stream:
    """A data set that shuffles itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.epoch = -1

    def __len__(self) -> int:
        return 8

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> torch.Tensor:
        self.asked.append((self.epoch, index))
        return images(8)[index]


def test_a_data_set_that_shuffles_itself_is_read_in_its_own_order() -> None:
    stream = Stream()
    for step in range(3):
        ssl_core.make_batch(config(), stream, step)
    assert stream.asked == [(0, i) for i in range(8)] + [(1, i) for i in range(8)] + [(2, 0), (2, 1)]


@pytest.mark.parametrize(
    "more",
    [
        ["model.drop_path=0"],
        ["model.drop_path=0.3"],
        ["model.ffn=swiglu", "head.separate=true"],
        ["loss.gram_weight=1"],
    ],
)
def test_a_step_costs_what_the_configuration_asks_for_within_two_percent(more: list[str]) -> None:
    settings = config(
        "model.embed_dim=384", "model.depth=4", "model.num_heads=6", "model.patch_size=14", "head.prototypes=2048",
        "head.hidden=512", "crops.global_size=112", "crops.local_size=56", "crops.encode_size=112",
        "train.batch_size=8", "loss.centring=centering", "loss.koleo_weight=0", *more,
    )  # fmt: skip
    model = ssl_core.build(settings)
    batch = ssl_core.make_batch(settings, images(), 0)[1]
    counter = FlopCounterMode(display=False)
    model.renew_anchor(0)
    with counter:
        model(batch, 0.05)["loss"].backward()
    assert counter.get_total_flops() == pytest.approx(ssl_core.step_flops(settings)["total"], rel=0.02)


class HostReads(TorchDispatchMode):
    """Counts the operations for which a device would have to be waited for."""

    found: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.masked_select,
            torch.ops.aten.is_nonzero,
            torch.ops.aten.equal,
        ):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("centring", ["sinkhorn_knopp", "centering"])
def test_a_step_reads_nothing_back_from_the_device(centring: str, tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config(f"loss.centring={centring}"), images(), tmp_path, device="cpu")
    batch = ssl_core.make_batch(trainer.config, images(), 0)[1]
    with HostReads() as reads:
        trainer.optimise([batch], trainer.schedule(0))
    assert reads.found == []


class Waits(HostReads):
    """Counts copies to another device that the host would wait for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        device = kwargs.get("device")
        elsewhere = func is torch.ops.aten._to_copy.default and device not in (None, args[0].device)
        if elsewhere and not kwargs.get("non_blocking"):
            self.found.append(str(args[0].shape))
        return func(*args, **kwargs)


@pytest.mark.parametrize("preset", ["radiograph", "dinov2"])
@pytest.mark.parametrize("resampling", ["bicubic", "bilinear"])
def test_views_are_made_and_encoded_without_waiting_for_the_device(preset: str, resampling: str) -> None:
    settings = config(f"crops.preset={preset}", f"crops.resampling={resampling}")
    encoder = ssl_core.build(settings).to("meta").student.backbone
    with Waits() as waits:  # the meta device computes nothing, so whoever asked it for a value would fail
        batch = ssl_core.make_batch(settings, images(), 0, device="meta")[1]
        encoder(batch.local_crops)  # their positions are resized
    assert batch.global_crops.is_meta
    assert waits.found == []


def test_metrics_tell_speed_waiting_and_how_many_directions_are_used(tmp_path: Path) -> None:
    train(tmp_path, "train.steps=2")
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 <= row["data_wait"] <= 1
    assert row["utilisation"] > 0
    assert row["peak_memory"] > 0.01
    assert 1 <= row["rankme"] <= 12
    assert 1 <= row["lidar"] <= 6
    assert {"dino_global", "dino_local", "ibot", "koleo", "grad_norm_backbone", "lr", "teacher_entropy"} <= row.keys()
