"""The memory of a step on paper is what the step reaches on torch's fake tensors, which know their size alone."""

import weakref
from collections.abc import Iterable

import pytest
import ssl_core
import torch
from ssl_core import _targets
from ssl_core._parallel import prepare_blocks
from test_sslcore_train import config
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

SHARED = [
    "model.embed_dim=768", "model.depth=3", "model.num_heads=12", "model.patch_size=14", "head.prototypes=16384",
    "head.hidden=2048", "head.bottleneck=256", "crops.global_size=518", "crops.local_size=196", "crops.local_count=8",
    "crops.encode_size=518", "train.batch_size=8", "train.precision=bfloat16", "loss.centring=centering",
    "masks.exact=true", "model.drop_path=0", "masks.ratio=[0.3, 0.3]",
]  # fmt: skip


class Live(TorchDispatchMode):
    """Bytes of all storages but some that are held now, and the most of them at a time."""

    def __init__(self, held: Iterable[torch.UntypedStorage]) -> None:
        super().__init__()
        self.known = WeakIdKeyDictionary(dict.fromkeys(held))
        self.now = self.peak = 0

    def _free(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage() not in self.known:
                storage = tensor.untyped_storage()
                self.known[storage] = None
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, storage.nbytes())
        return out


def tracked(settings: ssl_core.Config) -> int:
    """Bytes at the peak of a step without weights and optimiser, of tensors that hold nothing."""
    images, crops = settings.train.batch_size // settings.train.accumulate, settings.crops
    with torch.device("meta"):
        model = ssl_core.build(settings)
    side = crops.global_size // settings.model.patch_size
    masks = torch.zeros(2 * images, side * side, dtype=torch.bool)
    masks[: int(2 * images * settings.masks.probability), : int(0.3 * side * side)] = True
    sizes = [(2 * images, crops.global_size), (images * crops.local_count, crops.local_size)]
    batch = ssl_core.Batch(*(torch.empty(n, 1, s, s, device="meta") for n, s in sizes), masks)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        model = model.to_empty(device="cpu")
        prepare_blocks(model, settings.train)
        batch.global_crops, batch.local_crops = (torch.empty(n, 1, s, s) for n, s in sizes)
        batch.masks, batch.masked = fake.from_tensor(batch.masks), fake.from_tensor(batch.masked)
        half = settings.train.precision == "bfloat16"
        parameters = [p.untyped_storage() for p in model.parameters()]
        with Live(parameters) as live, ssl_core.force_attention("sdpa"):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                targets = model.teach([batch] * settings.train.accumulate, 0.05)
            for target in targets:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                    loss = model(batch, 0.05, target)["loss"]
                loss.backward()
    return live.peak


@pytest.mark.parametrize(
    "more",
    [
        ["model.drop_path=0"],
        ["model.drop_path=0.25"],
        ["train.precision=float32"],
        ["model.ffn=swiglu", "head.separate=true"],
        ["train.activation_checkpointing=true", "model.depth=12"],
        ["train.accumulate=8", "train.batch_size=64"],
        ["loss.centring=sinkhorn_knopp", "train.accumulate=16", "train.batch_size=128", "head.prototypes=65536"],
        [
            "masks.probability=0",
            "head.prototypes=65536",
            "model.depth=1",
            "crops.global_size=56",
            "crops.local_size=28",
            "crops.encode_size=56",
            "train.batch_size=64",
        ],
    ],
    ids=lambda more: more[0],
)
def test_the_memory_of_a_step_is_what_fake_tensors_reach_within_ten_percent(
    more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is told is told of a GPU.
    monkeypatch.setattr(_targets, "CHUNK", _targets.GPU_CHUNK)
    monkeypatch.setattr(_targets, "REMEMBERED", _targets.GPU_REMEMBERED)
    settings = config(*SHARED, *more)
    told = ssl_core.step_memory(settings)
    held = sum(told[part] for part in ("parameters", "teacher", "optimiser"))
    assert told["total"] - held == pytest.approx(tracked(settings), rel=0.1)


def test_weights_are_counted_without_allocating_them() -> None:
    counts = ssl_core.parameter_counts(ssl_core.load_config("rad-dino-vitb14-518"))
    # On three channels it is 86.6 million, as in RAD-DINO's card; each of the two channels fewer is 768 x 14 x 14.
    assert counts["backbone"] + 2 * 768 * 196 == 86_580_480
    assert counts["heads"] == pytest.approx(92.6e6 / 4, rel=0.01)  # bytes of the card's dino_head.safetensors


def test_processes_share_what_fsdp_shards_and_ddp_adds_buckets() -> None:
    alone = ssl_core.step_memory(config(*SHARED))
    four = [*SHARED, "train.batch_size=32"]
    ddp = ssl_core.step_memory(config(*four), 4)
    fsdp = ssl_core.step_memory(config(*four, "train.parallel=fsdp"), 4)
    assert ddp["student_global"] == fsdp["student_global"] == alone["student_global"]
    assert ddp["optimiser"] == alone["optimiser"]
    one_row = 8 * 768 * (1 + 1 + 37**2 + 1)  # tokens and positions, which the first process has whole
    assert fsdp["optimiser"] == alone["optimiser"] / 4 + one_row * 3 / 4
    assert ddp["exchange"] == ddp["gradients"]
    halves = config(*four, "train.parallel=fsdp", "train.accumulate=2")
    assert ssl_core.step_memory(halves, 4)["student_local"] == pytest.approx(alone["student_local"] / 2, rel=0.01)
    assert ssl_core.step_memory(halves, 4)["gradients"] == alone["gradients"]
