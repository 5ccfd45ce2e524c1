import json
import re
from pathlib import Path

import numpy as np
import pytest
import raddino_encoders
import timm
import torch
from raddino_encoders import EncoderError, load
from safetensors.torch import load_file, save_file

IMAGES = [np.random.default_rng(i).integers(0, 65536, (70, 50 + i), dtype=np.uint16) for i in range(3)]


def _write(folder: Path, registers=0, channels=1):
    """A small DINOv2 in transformers' format, weights far from their initial values."""
    transformers = pytest.importorskip("transformers", reason="needs transformers to write a folder")
    prefix = "Dinov2WithRegisters" if registers else "Dinov2"
    extra = {"num_register_tokens": registers} if registers else {}
    config = getattr(transformers, f"{prefix}Config")(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14,
        num_channels=channels, **extra,
    )  # fmt: skip
    torch.manual_seed(1)
    model = getattr(transformers, f"{prefix}Model")(config).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    model.save_pretrained(folder)
    processor = {"size": {"shortest_edge": 28}, "image_mean": [0.4] * channels, "image_std": [0.2] * channels}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


@pytest.fixture
def folder(tmp_path):
    _write(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(("registers", "channels"), [(0, 1), (0, 3), (4, 1)])
def test_a_transformers_folder_gives_transformers_tokens(tmp_path, registers, channels):
    model = _write(tmp_path, registers, channels)
    encoder = load(tmp_path)
    x = encoder.preprocess(IMAGES)
    assert x.shape == (3, channels, 28, 28)
    tokens = encoder.encode(x)
    with torch.no_grad():
        expected = model(x).last_hidden_state
    np.testing.assert_allclose(tokens.cls, expected[:, 0], atol=1e-5)
    assert tokens.patches.shape == (3, 16, 2, 2)
    np.testing.assert_allclose(tokens.patches[:, :, 1, 0], expected[:, 1 + registers + 2], atol=1e-5)
    assert (encoder.embed_dim, encoder.patch_size, encoder.image_size) == (16, 14, 28)
    assert not tokens.cls.requires_grad


def test_a_run_gives_the_tokens_of_ssl_core_and_of_transformers(tmp_path):
    ssl_core = pytest.importorskip("ssl_core", reason="needs ssl-core to write a run")
    torch.manual_seed(1)  # not RANDOM_SEED, whose weights it would share
    config = ssl_core.ViTConfig(embed_dim=16, depth=2, num_heads=2, patch_size=14, image_size=28, layerscale=1.0)
    model = ssl_core.VisionTransformer(config).eval()
    ssl_core.save_encoder(model, ssl_core.CropConfig(), tmp_path / "run" / "encoder")
    run, plain = load(tmp_path / "run"), load(tmp_path / "run" / "encoder")  # the second goes through transformers
    x = run.preprocess(IMAGES)
    np.testing.assert_array_equal(x, plain.preprocess(IMAGES))
    with torch.no_grad():
        expected = model(x)
    np.testing.assert_allclose(run.encode(x).cls, expected.cls, atol=1e-5)
    first_of_row_1 = expected.patches[:, x.shape[-1] // 14]
    np.testing.assert_allclose(run.encode(x).patches[:, :, 1, 0], first_of_row_1, atol=1e-5)
    np.testing.assert_allclose(plain.encode(x).cls, expected.cls, atol=1e-4)
    np.testing.assert_allclose(plain.encode(x).patches, run.encode(x).patches, atol=1e-4)
    fresh = load(f"random:{tmp_path / 'run'}")
    assert fresh.name.endswith("(random weights)")
    assert not np.allclose(fresh.encode(x).cls, expected.cls, atol=1e-2)


def test_damaged_run_is_refused_in_ssl_cores_words(tmp_path):
    ssl_core = pytest.importorskip("ssl_core", reason="needs ssl-core to write a run")
    config = ssl_core.ViTConfig(embed_dim=16, depth=1, num_heads=2, patch_size=14, image_size=28)
    ssl_core.save_encoder(ssl_core.VisionTransformer(config), ssl_core.CropConfig(), tmp_path / "encoder")
    (tmp_path / "encoder" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(EncoderError, match=r"model\.safetensors"):
        load(tmp_path)


def test_a_run_on_volumes_is_refused(tmp_path):
    ssl_core = pytest.importorskip("ssl_core", reason="needs ssl-core to write a run")
    config = ssl_core.ViTConfig(embed_dim=16, depth=1, num_heads=2, patch_size=(2, 4, 4), image_size=(4, 8, 8))
    ssl_core.save_encoder(ssl_core.VisionTransformer(config), ssl_core.CropConfig(), tmp_path / "encoder")
    with pytest.raises(EncoderError, match="got 'ssl_core_volume'"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "timm"])
def test_random_is_repeatable_and_leaves_the_global_generator_alone(folder, kind):
    spec = "random:" + (str(folder) if kind == "folder" else "test_vit")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = load(spec).embed(IMAGES), load(spec).embed(IMAGES)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(first.cls, second.cls)
    if kind == "folder":
        assert not np.allclose(first.cls, load(folder).embed(IMAGES).cls, atol=1e-2)


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_resnet", "resnet10t", "swin_tiny_patch4_window7_224"])
def test_timm_models_give_tokens_on_a_square_grid(name):
    encoder = load(f"timm:{name}")
    tokens = encoder.embed(IMAGES[:1])
    assert tokens.cls.shape == (1, encoder.embed_dim)
    side = tokens.patches.shape[-1]
    assert tokens.patches.shape == (1, encoder.embed_dim, side, side)
    assert encoder.image_size // side == encoder.patch_size
    assert encoder.name == f"timm:{name} (random weights)"


def test_timm_weights_are_used_and_their_classifier_left_out(tmp_path):
    import timm

    torch.manual_seed(3)
    model = timm.create_model("test_vit", num_classes=7).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    encoder = load(f"timm:test_vit@{tmp_path / 'w.safetensors'}")
    x = encoder.preprocess(IMAGES)
    with torch.no_grad():
        expected = model.forward_features(x)
    np.testing.assert_allclose(encoder.encode(x).cls, expected[:, 0], atol=1e-5)
    assert encoder.name.endswith("w.safetensors")


@pytest.fixture
def timm_folder(tmp_path):
    """A model with a classifier as timm itself saves it, with another stride than its own."""
    options = {"in_chans": 1, "output_stride": 16}
    torch.manual_seed(1)
    model = timm.create_model("test_convnext", num_classes=5, **options).eval()
    facts = {"input_size": [1, 64, 64], "mean": [0.4], "std": [0.2], "crop_pct": 1.0, "interpolation": "bicubic"}
    timm.models.save_for_hf(model, str(tmp_path / "timm"), model_config={"pretrained_cfg": facts}, model_args=options)
    return tmp_path / "timm", model


def test_a_folder_that_timm_saved_gives_timms_features(timm_folder):
    folder, model = timm_folder
    encoder, untrained = load(folder), load(f"random:{folder}")
    x = encoder.preprocess(IMAGES)
    with torch.no_grad():
        expected = model.forward_features(x)
    np.testing.assert_allclose(encoder.encode(x).patches, expected, rtol=1e-3, atol=1e-4)
    assert (encoder.image_size, encoder.patch_size, encoder.embed_dim, encoder.pooled) == (64, 16, 64, True)
    assert (encoder.revision[:7], untrained.revision) == ("sha256:", None)
    assert not torch.allclose(untrained.encode(x).patches, encoder.encode(x).patches, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_args": {"checkpoint_path": "weights.pth"}}, "got checkpoint_path"),
        ({"model_args": {"in_chans": 1, "output_stride": 5}}, "can't build 'test_convnext'"),
        ({"model_args": {"in_chans": 3}}, "expected mean and std of 1 or 3 in_chans"),
        ({"architecture": "test_convnextt"}, "near: test_convnext"),
        ({"pretrained_cfg": {}}, "expected input_size, mean and std"),
    ],
)
def test_a_timm_folder_that_asks_for_more_is_refused(timm_folder, change, message):
    path = timm_folder[0] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EncoderError, match=message):
        load(timm_folder[0])


def test_weights_that_dont_fit_are_listed_key_by_key(tmp_path, folder):
    import timm

    state = timm.create_model("test_vit", num_classes=0).state_dict()
    state["extra"], state["norm.weight"] = torch.zeros(1), torch.zeros(3)
    del state["cls_token"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(EncoderError) as timm_error:
        load(f"timm:test_vit@{tmp_path / 'w.safetensors'}")
    for line in ("3 keys", "missing cls_token", "unexpected extra", "norm.weight (3,) instead of (64,)"):
        assert line in str(timm_error.value)

    state = load_file(folder / "model.safetensors")
    state["extra"], state["layernorm.weight"] = torch.zeros(1), torch.zeros(3)
    del state["layernorm.bias"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EncoderError) as folder_error:
        load(folder)
    for line in ("3 keys", "missing layernorm.bias", "unexpected extra", "layernorm.weight (3,) instead of (16,)"):
        assert line in str(folder_error.value)


def test_pickled_and_damaged_weights_are_refused(tmp_path, folder):
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(EncoderError, match=r"model\.safetensors can't be read"):
        load(folder)
    with pytest.raises(EncoderError, match="expected a safetensors file"):
        load(f"timm:test_vit@{folder / 'model.safetensors'}")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"expected model\.safetensors.*can run code"):
        load(folder)


def test_other_architectures_and_wrong_means_are_refused(folder):
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, "image_mean": [0.5] * 3}))
    with pytest.raises(EncoderError, match="expected image_mean with num_channels = 1"):
        load(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, "size": {"shortest_edge": 30}}))
    with pytest.raises(EncoderError, match="multiple of the patch size 14, got 30"):
        load(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EncoderError, match=r"expected model_type dinov2 or .*, got 'bert'"):
        load(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(EncoderError, match="expected a JSON object, got list"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(EncoderError, match="expected a JSON file"):
        load(folder)


def test_crop_size_of_the_preprocessor_is_the_input_size(folder):
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    processor |= {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    encoder = load(folder)  # positions were learned at 28: transformers interpolates them
    assert encoder.image_size == 56
    assert encoder.embed(IMAGES).patches.shape == (3, 16, 4, 4)


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("tim:resnet18", "timm:resnet18"),
        ("pixel:8", "pixels:8"),
        ("resnet18", "timm:resnet18"),
        ("{}/modle", "model"),
        ("random:{}/modle", "model"),
    ],
)
def test_unknown_specs_name_what_is_near_and_every_kind(folder, spec, near):
    with pytest.raises(EncoderError) as error:
        load(spec.format(folder.parent))
    message = str(error.value)
    assert near in message.split("Kinds of specs")[0].split("Near:")[1]
    assert all(kind in message for kind in raddino_encoders.KINDS)


@pytest.mark.parametrize("name", ["resnett18", "hf_hub:someone/model", "resnet18.no_such_tag"])
def test_unknown_timm_names_are_refused(name):
    with pytest.raises(EncoderError, match=re.escape(name)):
        load(f"timm:{name}")


def test_the_readme_example_runs(capsys):
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.splitlines() == re.findall(r"^# (.*)$", code, re.M)
    assert "Research software, not a medical device." in text
