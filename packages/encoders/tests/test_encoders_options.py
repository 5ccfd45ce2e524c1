"""Options of `load`: arithmetic, gradients, sizes, layers."""

import numpy as np
import pytest
import torch
from raddino_encoders import EncoderError, load
from raddino_encoders._packed import PackedLinear
from safetensors.torch import save_file

IMAGES = [np.random.default_rng(i).integers(0, 65536, (170, 150), dtype=np.uint16) for i in range(2)]


def test_packed_layers_give_the_tokens_of_plain_ones():
    packed, plain = load("timm:test_vit"), load("timm:test_vit", gradients=True)
    kinds = {type(module) for module in packed.module.modules()}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        assert PackedLinear in kinds
        assert torch.nn.Linear not in kinds
    x = packed.preprocess(IMAGES)
    for ours, theirs in zip(packed.encode_layers(x, 3), plain.encode_layers(x, 3), strict=True):
        np.testing.assert_allclose(ours.cls, theirs.cls.detach(), atol=1e-5)
        np.testing.assert_allclose(ours.patches, theirs.patches.detach(), atol=1e-5)


def test_gradients_flow_on_request_only():
    frozen, trainable = load("timm:test_vit"), load("timm:test_vit", gradients=True)
    x = frozen.preprocess(IMAGES).requires_grad_()
    assert not frozen.encode(x).cls.requires_grad
    trainable.encode(x).cls[:, 0].sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.requires_grad for p in trainable.module.parameters())
    assert trainable.embed(IMAGES).cls.shape == (2, 64)


def test_bfloat16_computes_in_bfloat16_and_gives_float32():
    encoder, exact = load("timm:test_vit", dtype=torch.bfloat16), load("timm:test_vit")
    assert encoder.dtype == torch.bfloat16
    assert {p.dtype for p in encoder.module.parameters()} == {torch.bfloat16}
    tokens, expected = encoder.encode(encoder.preprocess(IMAGES)), exact.encode(exact.preprocess(IMAGES))
    assert tokens.cls.dtype == tokens.patches.dtype == torch.float32
    difference = (tokens.cls - expected.cls).abs().max() / expected.cls.abs().max()
    assert 1e-6 < difference < 0.05


def test_any_size_that_patches_tile():
    encoder = load("timm:test_vit", image_size=224)
    assert encoder.image_size == 224
    assert encoder.embed(IMAGES).patches.shape == (2, 64, 14, 14)
    assert encoder.encode(torch.zeros(1, 3, 96, 192)).patches.shape == (1, 64, 6, 12)
    assert load("timm:resnet10t", image_size=96).embed(IMAGES).patches.shape == (2, 512, 3, 3)
    with pytest.raises(EncoderError, match="can't read an input of 96 x 96"):
        load("timm:swin_tiny_patch4_window7_224").encode(torch.zeros(1, 3, 96, 96))
    for size in (0, 100):
        with pytest.raises(EncoderError, match=f"multiple of 16, got {size}"):
            load("timm:test_vit", image_size=size)
    for shape in ((1, 3, 96, 100), (1, 1, 96, 96), (0, 3, 160, 160), (3, 160, 160)):
        with pytest.raises(EncoderError, match="use preprocess"):
            encoder.encode(torch.zeros(shape))


def test_revision_is_the_digest_of_the_weights(tmp_path):
    import timm

    state = timm.create_model("test_vit", num_classes=0).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    first = load(f"timm:test_vit@{tmp_path / 'a.safetensors'}")
    pickled = load(f"timm:test_vit@{tmp_path / 'a.pth'}")
    np.testing.assert_array_equal(first.embed(IMAGES).cls, pickled.embed(IMAGES).cls)
    save_file({**state, "norm.bias": state["norm.bias"] + 1}, tmp_path / "a.safetensors")
    assert first.revision != load(f"timm:test_vit@{tmp_path / 'a.safetensors'}").revision
    assert load("timm:test_vit").revision is None


def test_a_network_without_a_class_token_has_one_layer():
    encoder = load("timm:test_resnet")
    assert encoder.pooled
    with pytest.raises(EncoderError, match="expected 1 to 1 layers, got 2"):
        encoder.encode_layers(encoder.preprocess(IMAGES), 2)
