"""Weights under the names of dinov2, transformers and timm are one encoder: the same features, there and back."""

from pathlib import Path
from typing import Any

import pytest
import ssl_core
import timm
import torch
import transformers
from torch import Tensor

SHAPE: dict[str, Any] = {
    "embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 14, "image_size": 56, "channels": 3, "layerscale": 0.3,
}  # fmt: skip


def encoder(seed: int = 0, **changes: Any) -> ssl_core.VisionTransformer:
    """An encoder none of whose tensors is zero."""
    torch.manual_seed(seed)
    model = ssl_core.VisionTransformer(ssl_core.ViTConfig(**SHAPE | changes)).eval()
    for parameter in model.parameters():
        torch.nn.init.trunc_normal_(parameter, std=0.2)
    return model


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def largest_difference(ours: ssl_core.Features, tokens: Tensor) -> float:
    """Of our tokens and another library's, which lie class, registers, patches."""
    mine = torch.cat((ours.cls[:, None], ours.registers, ours.patches), dim=1)
    assert mine.shape == tokens.shape
    return float((mine - tokens).abs().max())


def theirs(model: ssl_core.VisionTransformer, folder: Path) -> Any:
    """The exported encoder in transformers."""
    ssl_core.save_encoder(model, ssl_core.CropConfig(global_size=56), folder)
    return transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()


@pytest.mark.parametrize("ffn", ["mlp", "swiglu"])
@pytest.mark.parametrize("registers", [0, 4])
@torch.no_grad()
def test_features_equal_transformers_at_the_learned_size_and_at_others(
    registers: int, ffn: str, tmp_path: Path
) -> None:
    # transformers resizes positions to a size, dinov2 by a factor with an offset; registers come with antialiasing.
    rule = {"pos_offset": 0.0, "pos_antialias": registers > 0}
    ours = encoder(registers=registers, ffn=ffn, **rule)
    other = theirs(ours, tmp_path)
    for height, width in ((56, 56), (28, 84), (112, 70)):
        x = torch.randn(2, 3, height, width)
        assert largest_difference(ours(x), other(x).last_hidden_state) <= 1e-5
    x, masks = torch.randn(2, 3, 56, 56), torch.rand(2, 16) < 0.5
    assert largest_difference(ours(x, masks), other(x, bool_masked_pos=masks).last_hidden_state) <= 1e-5


@torch.no_grad()
def test_the_two_rules_of_resizing_differ_and_an_encoder_keeps_its_own(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 84, 84)
    ours = encoder()
    assert largest_difference(ours(x), theirs(ours, tmp_path / "a")(x).last_hidden_state) > 1e-4
    ssl_core.save_encoder(ours, ssl_core.CropConfig(encode_size=84), tmp_path / "b")
    again, _ = ssl_core.load_encoder(tmp_path / "b")
    assert (again.config.image_size, again.config.pos_offset) == (84, 0.1)
    assert largest_difference(ours(x), torch.cat((again(x).cls[:, None], again(x).patches), dim=1)) <= 1e-6
    # Exported for that size, transformers agrees there.
    other = transformers.AutoModel.from_pretrained(tmp_path / "b", local_files_only=True).eval()
    assert largest_difference(ours(x), other(x).last_hidden_state) <= 1e-5


@pytest.mark.parametrize("ffn", ["mlp", "swiglu"])
@pytest.mark.parametrize("registers", [0, 4])
def test_names_go_to_transformers_and_back_from_its_file_and_from_its_memory(
    registers: int, ffn: str, tmp_path: Path
) -> None:
    ours = encoder(registers=registers, ffn=ffn)
    state = ours.state_dict()
    assert equal(ssl_core.from_transformers(ssl_core.to_transformers(state)), state)
    assert equal(ssl_core.from_transformers(theirs(ours, tmp_path).state_dict()), state)
    with pytest.raises(ssl_core.SslError, match="classifier"):
        ssl_core.from_transformers({**ssl_core.to_transformers(state), "classifier.weight": torch.zeros(1)})
    part = {k: v for k, v in ssl_core.to_transformers(state).items() if ".key.weight" not in k}
    with pytest.raises(ssl_core.SslError, match=r"expected query, key, value for blocks\.0\.attn\.qkv\.weight"):
        ssl_core.from_transformers(part)


def test_blocks_in_chunks_and_a_checkpoint_of_a_teacher_are_dinov2s_names_too() -> None:
    ours = encoder(depth=4, ffn="swiglu")
    state = ours.state_dict()
    chunked = ssl_core.to_dinov2(state, chunks=2)
    assert "blocks.1.3.mlp.w12.weight" in chunked
    assert equal(ssl_core.from_dinov2(chunked)[0], state)
    assert ssl_core.to_dinov2(state) == state
    with pytest.raises(ssl_core.SslError, match="divides 4 blocks"):
        ssl_core.to_dinov2(state, chunks=3)
    head = ssl_core.DINOHead(32, 16, 8, 4, 3).state_dict()
    old = {f"backbone.{k}": v for k, v in chunked.items()} | {f"dino_head.{k}": v for k, v in head.items()}
    new = {
        k.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): v
        for k, v in old.items()
    }
    student = {k: torch.zeros_like(v) for k, v in old.items()}
    for checkpoint in (old, new):
        both = {f"student.{k}": v for k, v in student.items()} | {f"teacher.{k}": v for k, v in checkpoint.items()}
        for form in (checkpoint, both):
            backbone, heads = ssl_core.from_dinov2(form)
            assert equal(backbone, state)
            assert equal({k.removeprefix("dino_head."): v for k, v in heads.items()}, head)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("vit_base_patch14_dinov2", {}),
        ("vit_base_patch14_reg4_dinov2", {}),
        ("vit_giant_patch14_reg4_dinov2", {"mlp_ratio": 5.5}),
        ("vit_base_patch16_224", {"patch_size": 14}),
        ("vit_base_patch16_224", {"patch_size": 14, "reg_tokens": 2}),
    ],
)
@torch.no_grad()
def test_a_timm_encoder_gives_the_same_features(name: str, changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, embed_dim=32, depth=3, num_heads=2, img_size=56, num_classes=0, **changes).eval()
    for parameter in model.parameters():
        torch.nn.init.trunc_normal_(parameter, std=0.2)
    state, filled = ssl_core.from_timm(model.state_dict())
    registers = state["register_tokens"].shape[1] if "register_tokens" in state else 0
    ours = encoder(registers=registers, ffn="swiglu" if "giant" in name else "mlp")
    ours.load_state_dict(state)
    x = torch.randn(2, 3, 56, 56)
    assert largest_difference(ours(x), model.forward_features(x)) <= 1e-5
    assert ("blocks.2.ls1.gamma" in filled) == ("dinov2" not in name)
    assert "mask_token" in filled


@pytest.mark.parametrize(
    ("size", "parameters"),
    [("small", 22_056_576), ("base", 86_580_480), ("large", 304_368_640), ("giant", 1_136_480_768)],
)
def test_sizes_have_as_many_parameters_as_dinov2s(size: str, parameters: int) -> None:
    # The released models, all at 518 pixels and three channels; their mask token is counted.
    with torch.device("meta"):
        model = ssl_core.vit(size, channels=3)
    assert sum(p.numel() for p in model.parameters()) == parameters
    with pytest.raises(ssl_core.SslError, match="expected a size of small, base, large, giant"):
        ssl_core.vit("tiny")


@pytest.mark.parametrize(("dim", "inner"), [(384, 1024), (1024, 2736), (1536, 4096)])
def test_the_inner_width_of_swiglu_is_two_thirds_in_eights(dim: int, inner: int) -> None:
    with torch.device("meta"):
        block = ssl_core.vit("giant", embed_dim=dim, depth=1, num_heads=8).blocks[0]
    assert block.mlp.w12.weight.shape == (2 * inner, dim)
    assert block.mlp.w3.weight.shape == (dim, inner)


def test_a_width_that_transformers_cannot_state_is_refused_before_training() -> None:
    with pytest.raises(ssl_core.SslError, match=r"model\.mlp_ratio must be whole"):
        ssl_core.ViTConfig(mlp_ratio=2.5)
