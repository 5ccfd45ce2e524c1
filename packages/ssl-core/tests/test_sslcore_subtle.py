"""What is easy to get wrong, stated slowly and in float64; docs/decisions.md counts these points."""

from pathlib import Path

import pytest
import ssl_core
import torch
import torch.nn.functional as F
from ssl_core._targets import Logits
from test_sslcore_train import config, images
from torch import Tensor

B, L, K = 3, 2, 12
TWO_HEADS = ssl_core.HeadConfig(
    prototypes=K, hidden=16, bottleneck=8, separate=True, ibot_prototypes=20, ibot_bottleneck=6
)


def encoder(**changes: object) -> ssl_core.VisionTransformer:
    shape = {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 4, "image_size": 16, "layerscale": 1.0}
    return ssl_core.VisionTransformer(ssl_core.ViTConfig(**shape | changes))  # type: ignore[arg-type]


def model(head: ssl_core.HeadConfig | None = None, **loss: object) -> ssl_core.SelfDistillation:
    torch.manual_seed(0)
    head = head or ssl_core.HeadConfig(prototypes=K, hidden=16, bottleneck=8)
    out = ssl_core.SelfDistillation(encoder(), head, ssl_core.LossConfig(**loss)).double()  # type: ignore[arg-type]
    for parameter in out.teacher.parameters():  # not the student's
        parameter.mul_(1.1)
    return out


def batch(share: float = 0.3) -> ssl_core.Batch:
    generator = torch.Generator().manual_seed(1)
    return ssl_core.Batch(
        torch.randn(2 * B, 1, 16, 16, generator=generator).double(),
        torch.randn(L * B, 1, 8, 8, generator=generator).double(),
        torch.rand(2 * B, 16, generator=generator) < share,
    )


def sinkhorn(logits: Tensor, temperature: float) -> Tensor:
    """Three times: prototypes share the rows' mass alike, rows have one each."""
    plan = torch.exp(logits / temperature)
    plan = plan / plan.sum()
    n, k = plan.shape
    for _ in range(3):
        for j in range(k):
            plan[:, j] /= plan[:, j].sum() * k
        for i in range(n):
            plan[i] /= plan[i].sum() * n
    return plan * n


def spreading(x: Tensor) -> float:
    x = x / x.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(len(x)):
        nearest = max((j for j in range(len(x)) if j != i), key=lambda j: float(x[i] @ x[j]))
        total -= float(torch.log((x[i] - x[nearest] + 1e-8).norm() + 1e-8))
    return total / len(x)


@torch.no_grad()
def test_loss_with_two_heads_and_balanced_targets_equals_a_restatement_with_loops() -> None:
    head = ssl_core.HeadConfig(
        prototypes=K, hidden=16, bottleneck=8, separate=True, ibot_prototypes=20, ibot_bottleneck=6
    )
    m, b = model(head, centring="sinkhorn_knopp"), batch()
    got = {name: float(value) for name, value in m(b, 0.05).items()}
    s, t = m.student, m.teacher
    assert s.ibot_head is not None
    assert t.ibot_head is not None
    seen, taught = s.backbone(b.global_crops, b.masks), t.backbone(b.global_crops)
    target = sinkhorn(t.dino_head(taught.cls), 0.05)
    where = [(crop, patch) for crop in range(2 * B) for patch in range(16) if b.masks[crop, patch]]
    patch_target = sinkhorn(t.ibot_head(torch.stack([taught.patches[c, p] for c, p in where])), 0.05)

    def ce(want: Tensor, logits: Tensor) -> float:
        return -float((want * (logits / 0.1).log_softmax(-1)).sum())

    mine, local, n = s.dino_head(seen.cls), s.dino_head(s.backbone(b.local_crops).cls), 2 + 2 * L
    crossed = sum(ce(target[(1 - i) * B + k], mine[i * B + k]) for i in (0, 1) for k in range(B)) / B / n
    small = sum(ce(target[i * B + k], local[j * B + k]) for i in (0, 1) for j in range(L) for k in range(B)) / B / n
    hidden = sum(
        ce(patch_target[i], s.ibot_head(seen.patches[c, p][None])[0]) / int(b.masks[c].sum()) / (2 * B)
        for i, (c, p) in enumerate(where)
    )
    spread = sum(spreading(seen.cls[i * B : (i + 1) * B]) for i in (0, 1))
    for name, value in (("dino_global", crossed), ("dino_local", small), ("ibot", hidden), ("koleo", spread)):
        assert got[name] == pytest.approx(value, rel=1e-12), name
    assert got["loss"] == pytest.approx(crossed + small + hidden + 0.1 * spread, rel=1e-12)


@torch.no_grad()
def test_a_masked_patch_loses_its_pixels_and_keeps_its_position() -> None:
    vit = encoder().eval()
    torch.nn.init.normal_(vit.mask_token)
    everything = torch.ones(2, 16, dtype=torch.bool)
    out = vit(torch.randn(2, 1, 16, 16), everything)
    assert torch.equal(out.patches[0], out.patches[1])
    assert (out.patches[0, 0] - out.patches[0, 1]).abs().max() > 1e-4


@torch.no_grad()
def test_only_the_students_global_crops_are_masked() -> None:
    m, b = model(), batch()
    seen: list[tuple[str, int, bool]] = []

    def note(who: str) -> None:
        def hook(_module: object, arguments: tuple[Tensor, ...]) -> None:
            seen.append((who, arguments[0].shape[-1], len(arguments) > 1 and arguments[1] is not None))

        getattr(m, who).backbone.register_forward_pre_hook(hook)

    note("student")
    note("teacher")
    m(b, 0.05)
    assert sorted(seen) == [("student", 8, False), ("student", 16, True), ("teacher", 16, False)]


def test_a_batch_without_masks_has_no_patch_loss_and_finite_gradients() -> None:
    for centring in ("centering", "sinkhorn_knopp"):
        m = model(centring=centring)
        terms = m(batch(share=0.0), 0.05)
        terms["loss"].backward()
        assert float(terms["ibot"].detach()) == 0
        assert all(p.grad is None or p.grad.isfinite().all() for p in m.student.parameters())
        m(batch(), 0.05)  # and the next step's centre is that of no patches
        assert m.ibot_centre.value.isfinite().all()


def test_one_image_has_no_neighbour_and_a_single_masked_crop_counts_for_all_of_them() -> None:
    b = batch()
    masks = torch.zeros_like(b.masks)
    masks[2, 5] = True
    m = model()
    one = m(ssl_core.Batch(b.global_crops, b.local_crops, masks), 0.05)["ibot"]
    logits = m.student.dino_head(m.student.backbone(b.global_crops, masks).patches[2, 5:6])
    want = (m.teacher.dino_head(m.teacher.backbone(b.global_crops).patches[2, 5:6]) / 0.05).softmax(-1)
    alone = -(want * (logits / 0.1).log_softmax(-1)).sum()
    assert float(one.detach()) == pytest.approx(float(alone.detach()) / (2 * B), rel=1e-12)


def test_prototypes_have_gains_that_learn_and_decay_and_unit_vectors() -> None:
    head = ssl_core.DINOHead(8, K, 8, 4, 3)
    torch.nn.init.normal_(head.last_layer.weight_g)
    assert torch.allclose(head.last_layer().norm(dim=1), head.last_layer.weight_g.flatten().abs(), atol=1e-6)
    gain = ssl_core.multipliers("dino_head.last_layer.weight_g", depth=12, layerwise_decay=0.9, patch_embed_lr=0.2)
    assert (gain.lr, gain.weight_decay, gain.is_last_layer) == (1, 1, True)
    zeros = torch.zeros(2, 8)
    half = ssl_core.DINOHead(8, K, 8, 4, 3).half()
    assert half.project(zeros.half()).isfinite().all()  # 0 / 1e-12 would be 0 / 0 in half precision


@pytest.mark.parametrize(
    ("name", "lr", "decays"),
    [
        ("backbone.cls_token", 0.25419, True),
        ("backbone.pos_embed", 0.25419, True),
        ("backbone.mask_token", 0.25419, True),
        ("backbone.register_tokens", 0.25419, True),
        ("backbone.patch_embed.proj.weight", 0.05084, True),
        ("backbone.patch_embed.proj.bias", 0.05084, False),
        ("backbone.blocks.0.attn.qkv.weight", 0.28243, True),
        ("backbone.blocks.11.mlp.fc2.weight", 0.9, True),
        ("backbone.blocks.11.ls2.gamma", 0.9, False),
        ("backbone.blocks.11.norm1.weight", 0.9, False),
        ("backbone.norm.weight", 1.0, False),
        ("dino_head.mlp.0.weight", 1.0, True),
        ("dino_head.mlp.0.bias", 1.0, False),
    ],
)
def test_rates_fall_with_depth_and_tokens_decay_as_in_dinov2(name: str, lr: float, decays: bool) -> None:
    got = ssl_core.multipliers(name, depth=12, layerwise_decay=0.9, patch_embed_lr=0.2)
    assert got.lr == pytest.approx(lr, abs=1e-5)
    assert got.weight_decay == float(decays)


def test_schedules_reach_their_base_twice_and_their_end_never_before_it() -> None:
    values = [ssl_core.cosine_schedule(i, base=1, final=0.1, total=10, warmup=4) for i in range(12)]
    expected = [0, 1 / 3, 2 / 3, 1, 1, 0.9397114, 0.775, 0.55, 0.325, 0.1602886, 0.1, 0.1]
    assert values == pytest.approx(expected, abs=1e-7)
    warm = [ssl_core.warmup_schedule(i, start=0.04, end=0.07, warmup=4) for i in range(6)]
    assert warm == pytest.approx([0.04, 0.05, 0.06, 0.07, 0.07, 0.07])


def one_step(tmp_path: Path, *overrides: str) -> tuple[ssl_core.Trainer, dict[str, Tensor], dict[str, float]]:
    trainer = ssl_core.Trainer(config(*overrides, "optim.warmup=0"), images(), tmp_path, device="cpu")
    before = {k: v.clone() for k, v in trainer.model.teacher.state_dict().items()}
    values = trainer.schedule(0)
    trainer.train_step()
    return trainer, before, values


def test_gradients_are_clipped_backbone_and_heads_each_on_their_own(tmp_path: Path) -> None:
    trainer, _, _ = one_step(tmp_path, "optim.clip=0.001", "head.separate=true")
    for part in trainer.model.student.children():
        norm = torch.stack([p.grad.norm() for p in part.parameters() if p.grad is not None]).norm()
        assert float(norm) == pytest.approx(0.001, rel=2e-3)


def test_the_teacher_moves_after_the_step_towards_what_the_student_became(tmp_path: Path) -> None:
    trainer, before, values = one_step(tmp_path, "optim.momentum=0.9")
    assert values["momentum"] == 0.9
    student = trainer.model.student.state_dict()
    for name, tensor in trainer.model.teacher.state_dict().items():
        expected = 0.9 * before[name] + 0.1 * student[name]
        assert torch.allclose(tensor, expected, atol=1e-6), name
    assert not trainer.model.teacher.training
    assert not any(p.requires_grad for p in trainer.model.teacher.parameters())


def test_a_frozen_last_layer_is_not_decayed_either(tmp_path: Path) -> None:
    trainer, before, _ = one_step(tmp_path, "optim.freeze_last_layer=5", "optim.weight_decay=0.5")
    after = trainer.model.student.state_dict()
    for name in before:
        assert torch.equal(before[name], after[name]) == ("last_layer" in name), name


def test_each_residual_of_the_student_leaves_out_images_of_its_own() -> None:
    torch.manual_seed(0)
    vit = encoder(drop_path=0.3)
    taken: dict[str, list[Tensor]] = {"attn": [], "mlp": []}
    for block in vit.blocks:
        for name, found in taken.items():
            getattr(block, name).register_forward_pre_hook(lambda _m, x, found=found: found.append(x[0]))
    with torch.no_grad():
        vit(torch.randn(7, 1, 16, 16))
        for found in taken.values():
            assert [len(x) for x in found] == [4, 4]  # int(7 * 0.7), in every block alike
            found.clear()
        vit.eval()(torch.randn(7, 1, 16, 16))
        assert [len(x) for x in taken["mlp"]] == [7, 7]
    tiny = encoder(drop_path=0.99)
    assert tiny(torch.randn(2, 1, 16, 16)).cls.isfinite().all()  # one image always takes the branch


def test_losses_and_targets_are_float32_within_autocast() -> None:
    m, b = model().float(), batch()
    b = ssl_core.Batch(b.global_crops.float(), b.local_crops.float(), b.masks)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = m(b, 0.05)
        targets = m.teach([b], 0.05)[0]
    assert {value.dtype for value in terms.values()} == {torch.float32}
    assert {target[:].dtype for target in targets} == {torch.float32}


def test_losses_and_targets_have_the_values_of_float32_within_autocast() -> None:
    chance = torch.Generator().manual_seed(0)
    alike = 1 + 0.05 * torch.randn(40, 64, generator=chance)  # as class tokens are at the start
    rows, prototypes = (F.normalize(torch.randn(n, 64, generator=chance), dim=1) for n in (40, 96))
    logits = Logits(rows, prototypes)

    def values() -> list[torch.Tensor]:
        pictures = alike.view(2, 20, 64)
        return [
            ssl_core.koleo(alike), ssl_core.gram_loss(pictures, pictures.flip(1)), logits.column_sums(),
            ssl_core.sinkhorn_bias(logits, 0.05),
        ]  # fmt: skip

    known = values()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for mine, its in zip(values(), known, strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-6)
        target, weights = torch.softmax(torch.randn(40, 96, generator=chance), dim=1), torch.full((40,), 1 / 40)
        found = ssl_core.prototype_cross_entropy(rows, prototypes, target, weights, 0.1)
        half = F.linear(rows, prototypes).float() / 0.1
    torch.testing.assert_close(found, F.cross_entropy(half, target), rtol=1e-6, atol=1e-6)


def test_the_encoder_of_a_run_is_its_teacher(tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config("crops.encode_size=0"), images(), tmp_path, device="cpu")
    trainer.fit()
    exported = ssl_core.load_encoder(tmp_path)[0].state_dict()
    teacher, student = (n.backbone.state_dict() for n in (trainer.model.teacher, trainer.model.student))
    assert all(torch.equal(exported[name], teacher[name]) for name in exported)
    assert not torch.equal(exported["norm.weight"], student["norm.weight"])


def test_a_separate_head_has_sizes_of_its_own() -> None:
    network = ssl_core.Network(encoder(), TWO_HEADS)
    assert network.dino_head.last_layer.weight_v.shape == (K, 8)
    assert network.ibot_head is not None
    assert network.ibot_head.last_layer.weight_v.shape == (20, 6)
    same = ssl_core.Network(encoder(), ssl_core.HeadConfig(prototypes=K, hidden=16, bottleneck=8, separate=True))
    assert same.ibot_head is not None
    assert same.ibot_head.last_layer.weight_v.shape == (K, 8)
