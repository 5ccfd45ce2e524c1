"""Folders of transformers: every family gives the tokens of its own class, from pixels of its own processor."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from raddino_encoders import EncoderError, load

transformers = pytest.importorskip("transformers", reason="needs transformers to write folders")
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
IMAGES = [np.random.default_rng(i).integers(0, 256, (70, 51 + i), dtype=np.uint8) for i in range(3)]


def _shaken(model):
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def _write(folder, kind):
    """A small model and its processor; CLIP and SigLIP as people have them, with the encoder of texts beside."""
    vision = {**SMALL, "image_size": 28, "patch_size": 7}
    text = {**SMALL, "vocab_size": 40, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
        model = _shaken(transformers.CLIPModel(config))
        processor = transformers.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    elif kind == "siglip":
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        model = _shaken(transformers.SiglipModel(config))
        processor = transformers.SiglipImageProcessor(size={"height": 28, "width": 28})
    else:
        config = transformers.DINOv3ViTConfig(**vision, num_register_tokens=2)
        model = _shaken(transformers.DINOv3ViTModel(config))
        processor = transformers.DINOv3ViTImageProcessor(size={"height": 28, "width": 28})
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return getattr(model, "vision_model", model), processor


def _expected(model, x, kind):
    with torch.no_grad():
        output = model(pixel_values=x)
    tokens = output.last_hidden_state
    if kind == "clip":
        tokens = model.post_layernorm(tokens)
    return output.pooler_output, tokens[:, {"clip": 1, "siglip": 0, "dinov3": 3}[kind] :]


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov3"])
def test_a_family_gives_the_tokens_of_its_own_class(tmp_path, kind):
    model, processor = _write(tmp_path, kind)
    encoder = load(tmp_path)
    pictures = [Image.fromarray(image).convert("RGB") for image in IMAGES]
    x = encoder.preprocess(IMAGES, fit=None)
    own = processor(pictures, return_tensors="pt")["pixel_values"]
    # torchvision's resizing, which these processors use, rounds elsewhere than Pillow's.
    np.testing.assert_allclose(x, own, atol=2.5 / 255 / 0.2)
    cls, patches = _expected(model, x, kind)
    tokens = encoder.encode(x)
    np.testing.assert_allclose(tokens.cls, cls.detach(), atol=1e-5)
    np.testing.assert_allclose(tokens.patches.flatten(2).transpose(1, 2), patches.detach(), atol=1e-5)
    assert (encoder.embed_dim, encoder.patch_size, encoder.image_size, encoder.most_layers) == (16, 7, 28, 3)
    larger = torch.randn(1, 3, 42, 35)  # positions are interpolated
    assert encoder.encode(larger).patches.shape == (1, 16, 6, 5)
    fresh = load(f"random:{tmp_path}").encode(x)
    assert not np.allclose(fresh.cls, tokens.cls, atol=1e-2)


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov3"])
def test_without_a_processor_the_published_constants_serve(tmp_path, kind):
    _write(tmp_path, kind)
    before = load(tmp_path).preprocess(IMAGES, fit=None)
    (tmp_path / "preprocessor_config.json").unlink()
    encoder = load(tmp_path)
    assert encoder.preprocessing.source != "preprocessor_config.json"
    np.testing.assert_allclose(encoder.preprocess(IMAGES, fit=None), before, atol=1e-5)


def test_layers_are_normed_and_the_last_is_what_encode_gives(tmp_path):
    torch.manual_seed(0)
    config = transformers.Dinov2Config(**SMALL, image_size=28, patch_size=7, layerscale_value=1.0)
    model = _shaken(transformers.Dinov2Model(config))
    model.save_pretrained(tmp_path)
    encoder = load(tmp_path)
    x = torch.randn(2, 3, 28, 28)
    found = encoder.encode_layers(x, 3)
    with torch.no_grad():
        tokens = model.embeddings(x)
        for layer, ours in zip(model.encoder.layer, found, strict=True):
            tokens = layer(tokens)
            tokens = tokens[0] if isinstance(tokens, tuple) else tokens
            np.testing.assert_allclose(ours.cls, model.layernorm(tokens)[:, 0], atol=1e-5)
            np.testing.assert_allclose(ours.patches[:, :, 0, 1], model.layernorm(tokens)[:, 2], atol=1e-5)
    np.testing.assert_array_equal(found[-1].cls, encoder.encode(x).cls)
    with pytest.raises(EncoderError, match="expected 1 to 3 layers, got 4"):
        encoder.encode_layers(x, 4)


def _rad_dino(folder, image_size=28, **config):
    """A folder in the form of microsoft/rad-dino, small."""
    torch.manual_seed(0)
    settings = {**SMALL, "image_size": image_size, "patch_size": 14, "layerscale_value": 1.0, **config}
    _shaken(transformers.Dinov2Model(transformers.Dinov2Config(**settings))).save_pretrained(folder)
    side = {"height": image_size, "width": image_size}
    processor = {
        "image_processor_type": "BitImageProcessor", "do_resize": True, "size": {"shortest_edge": image_size},
        "resample": 3, "do_center_crop": True, "crop_size": side, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.5307] * 3, "image_std": [0.2583] * 3, "do_convert_rgb": True,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


@pytest.mark.parametrize("shape", [(28, 28), (28, 41), (90, 61), (61, 90), (33, 20), (47, 28)])
def test_pictures_give_what_the_rad_dino_package_gives(tmp_path, monkeypatch, shape):
    rad_dino = pytest.importorskip("rad_dino", reason="needs rad-dino to compare with")
    _rad_dino(tmp_path)
    monkeypatch.setattr(rad_dino.RadDino, "_REPO", str(tmp_path))
    peer, encoder = rad_dino.RadDino(), load(tmp_path)
    pictures = [Image.fromarray(np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)) for i in range(2)]
    cls, patches = peer.extract_features(pictures)
    tokens = encoder.encode(encoder.preprocess(pictures, fit=None))
    np.testing.assert_allclose(tokens.cls, cls, atol=1e-5)
    np.testing.assert_allclose(tokens.patches, patches, atol=1e-5)
    one = encoder.encode(encoder.preprocess(pictures[0], fit="crop"))
    np.testing.assert_allclose(one.cls, peer.extract_cls_token(pictures[0]), atol=1e-5)


def test_deep_radiographs_are_resized_by_splines_for_rad_dino_alone(tmp_path):
    _rad_dino(tmp_path)
    encoder = load(tmp_path)
    deep = np.random.default_rng(0).integers(1000, 30000, (56, 80), dtype=np.uint16)
    x = encoder.preprocess([deep], fit="crop") * 0.2583 + 0.5307
    from scipy.interpolate import RectBivariateSpline  # another spline with other ends, far from which both agree

    spline = RectBivariateSpline(np.arange(56), np.arange(80), deep.astype(float), s=0)
    expected = spline((np.arange(28) + 0.5) * 2 - 0.5, (np.arange(40) + 0.5) * 2 - 0.5)
    ours, inner = np.asarray(x[0, 0, 8:-8, 8:-8]), expected[8:-8, 14:-14]
    np.testing.assert_allclose((ours - ours.mean()) / ours.std(), (inner - inner.mean()) / inner.std(), atol=1e-2)
    eight = encoder.preprocess([(deep >> 8).astype(np.uint8)], fit="crop") * 0.2583 + 0.5307
    assert float(eight.max()) < 0.5  # a picture keeps its grey values
