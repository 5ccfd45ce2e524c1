"""Facts about the parts, for those who don't have the reference's numbers (a slow restatement in float64)."""

import math

import pytest
import ssl_core
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_loss_equals_a_restatement_with_loops_in_float64() -> None:
    torch.manual_seed(0)
    B, L, K = 3, 2, 16
    vit = ssl_core.VisionTransformer(
        ssl_core.ViTConfig(embed_dim=16, depth=1, num_heads=2, patch_size=4, image_size=16, layerscale=1.0)
    )
    head = ssl_core.HeadConfig(prototypes=K, hidden=16, bottleneck=8)
    model = ssl_core.SelfDistillation(vit, head, ssl_core.LossConfig()).double()
    batch = ssl_core.Batch(
        torch.randn(2 * B, 1, 16, 16).double(),
        torch.randn(L * B, 1, 8, 8).double(),
        torch.rand(2 * B, 16) < 0.3,
    )
    got = model(batch, 0.05)
    s, t = model.student, model.teacher
    with torch.no_grad():
        teacher = t.backbone(batch.global_crops)
        target = (t.dino_head(teacher.cls) / 0.05).softmax(-1)
        student = s.backbone(batch.global_crops, batch.masks)
        local = s.dino_head(s.backbone(batch.local_crops).cls)

        def ce(target_row: torch.Tensor, logits: torch.Tensor) -> float:
            return -float((target_row * (logits / 0.1).log_softmax(-1)).sum())

        glob = s.dino_head(student.cls)
        n = 2 + 2 * L
        swapped = sum(ce(target[(1 - i) * B + b], glob[i * B + b]) for i in (0, 1) for b in range(B)) / B / n
        crossed = sum(ce(target[i * B + b], local[j * B + b]) for i in (0, 1) for j in range(L) for b in range(B))
        ibot = 0.0
        for crop in range(2 * B):
            hidden = batch.masks[crop].nonzero().flatten().tolist()
            for p in hidden:
                want = (t.dino_head(teacher.patches[crop, p : p + 1])[0] / 0.05).softmax(-1)
                ibot += ce(want, s.dino_head(student.patches[crop, p : p + 1])[0]) / len(hidden) / (2 * B)
    assert float(got["dino_global"].detach()) == pytest.approx(swapped, rel=1e-12)
    assert float(got["dino_local"].detach()) == pytest.approx(crossed / B / n, rel=1e-12)
    assert float(got["ibot"].detach()) == pytest.approx(ibot, rel=1e-12)
    k = sum(float(ssl_core.koleo(c).detach()) for c in student.cls.split(B))
    weighted = sum(float(got[name].detach()) for name in ("dino_global", "dino_local", "ibot")) + 0.1 * k
    assert float(got["loss"].detach()) == pytest.approx(weighted, rel=1e-12)


def balanced(logits: torch.Tensor, temperature: float, iterations: int = 3) -> torch.Tensor:
    product = ssl_core.Logits(logits, torch.eye(logits.shape[1], dtype=logits.dtype))
    return ssl_core.Targets(product, temperature, ssl_core.sinkhorn_bias(product, temperature, iterations))[:]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(2, 20), st.floats(0.03, 1.0), st.integers(0, 5))
def test_sinkhorn_rows_sum_to_one_and_prototypes_are_used_alike(n: int, k: int, t: float, seed: int) -> None:
    logits = torch.rand(n, k, generator=generator(seed), dtype=torch.float64) * 2 - 1
    plan = balanced(logits, t, iterations=200)
    assert torch.allclose(plan.sum(dim=1), torch.ones(n).double(), atol=1e-9)
    assert torch.allclose(plan.sum(dim=0), torch.full((k,), n / k).double(), rtol=0.05)


def test_sinkhorn_does_not_overflow() -> None:
    assert balanced(torch.tensor([[100.0, 0.0], [0.0, 100.0]]), 0.04).isfinite().all()


def test_koleo_of_one_row_has_no_gradient_and_duplicates_stay_finite_in_half_precision() -> None:
    one = torch.randn(1, 8, requires_grad=True)
    ssl_core.koleo(one).backward()
    assert one.grad is not None
    assert one.grad.abs().max() == 0
    twins = torch.ones(2, 8, dtype=torch.float16, requires_grad=True)
    loss = ssl_core.koleo(twins)
    loss.backward()
    assert loss.isfinite()
    assert twins.grad is not None
    assert twins.grad.isfinite().all()


def test_the_centre_of_a_step_is_that_of_earlier_steps() -> None:
    centre = ssl_core.Centre(4, momentum=0.9)
    first, second = torch.randn(5, 4), torch.randn(5, 4)
    assert not centre.bias(ssl_core.Logits(first, torch.eye(4)), 0.1).any()
    bias = centre.bias(ssl_core.Logits(second, torch.eye(4)), 0.1)
    assert torch.allclose(bias, -0.1 * first.mean(0) / 0.1, atol=1e-6)


def test_attention_back_ends_agree() -> None:
    q, k, v = torch.randn(3, 2, 4, 7, 8, dtype=torch.float64)
    with ssl_core.force_attention("plain"):
        plain = ssl_core.attention(q, k, v)
    assert torch.allclose(ssl_core.attention(q, k, v), plain, atol=1e-12)


def test_drop_path_keeps_the_expectation_and_skips_whole_images() -> None:
    torch.manual_seed(0)
    config = ssl_core.ViTConfig(
        embed_dim=8, depth=1, num_heads=1, patch_size=4, image_size=8, layerscale=1.0, drop_path=0.5
    )
    vit = ssl_core.VisionTransformer(config)
    x = torch.randn(8, 5, 8)
    out = vit.blocks[0](x)
    untouched = (out == x).all(dim=2).all(dim=1).sum()
    assert 0 <= int(untouched) <= 4
    vit.eval()
    assert torch.equal(vit.blocks[0](x), vit.blocks[0](x))


def test_head_starts_as_the_reference_does() -> None:
    torch.manual_seed(0)
    head = ssl_core.DINOHead(64, 512, 64, 256, 3)
    norms = head.last_layer.weight_v.detach().norm(dim=1)
    assert float(norms.mean()) == pytest.approx(math.sqrt(1 / 3), rel=0.02)
    assert float(head.mlp[0].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert head.last_layer.weight_g.requires_grad


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (2, 1, 15, 16), (1, 16, 16)])
def test_images_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    vit = ssl_core.VisionTransformer(ssl_core.ViTConfig(embed_dim=8, depth=1, num_heads=1, patch_size=4, image_size=16))
    with pytest.raises(Exception, match=r"expected|Type-check"):
        vit(torch.zeros(shape))


def test_masks_that_do_not_fit_are_refused() -> None:
    vit = ssl_core.VisionTransformer(ssl_core.ViTConfig(embed_dim=8, depth=1, num_heads=1, patch_size=4, image_size=16))
    with pytest.raises(ssl_core.SslError, match="expected masks"):
        vit(torch.zeros(2, 1, 16, 16), torch.zeros(2, 5, dtype=torch.bool))


def test_rankme_counts_the_directions_in_use() -> None:
    assert ssl_core.rankme(torch.eye(8)) == pytest.approx(8, rel=1e-3)
    assert ssl_core.rankme(torch.ones(8, 8)) == pytest.approx(1, rel=1e-3)
