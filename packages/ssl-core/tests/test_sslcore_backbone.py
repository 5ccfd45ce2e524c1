"""Any module that gives class and patch tokens of masked images can be trained: plain, hierarchical, convolutional."""

from pathlib import Path
from typing import Any

import pytest
import ssl_core
import timm
import torch
from safetensors.torch import load_file
from test_sslcore_train import config, equal
from torch import Tensor, nn


class TimmViT(nn.Module):
    """A timm ViT; a mask token stands in for the embeddings of masked patches."""

    def __init__(self) -> None:
        super().__init__()
        self.model = timm.create_model(
            "vit_tiny_patch16_224",
            embed_dim=32,
            depth=2,
            num_heads=2,
            img_size=64,
            num_classes=0,
            dynamic_img_size=True,
        )
        self.embed_dim, self.patch_size = 32, 16
        self.mask_token = nn.Parameter(torch.zeros(32))

    def forward(self, images: Tensor, masks: Tensor | None = None) -> ssl_core.Features:
        model = self.model
        x = model.patch_embed(images.expand(-1, 3, -1, -1))
        if masks is not None:
            x = torch.where(masks.unflatten(1, x.shape[1:3])[..., None], self.mask_token, x)
        x = model.norm(model.blocks(model.norm_pre(model._pos_embed(x))))
        return ssl_core.Features(cls=x[:, 0], patches=x[:, 1:], registers=x[:, :0])


class Hierarchical(nn.Module):
    """A timm ConvNeXt of four stages; a mask token stands in for pixels of masked patches, a mean for a class."""

    def __init__(self) -> None:
        super().__init__()
        self.model = timm.create_model("convnext_atto", depths=(1,) * 4, dims=(8, 8, 16, 32), num_classes=0, in_chans=1)
        self.embed_dim, self.patch_size = 32, 32
        self.mask_token = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor, masks: Tensor | None = None) -> ssl_core.Features:
        if masks is not None:
            images = ssl_core.mask_pixels(images, masks, self.patch_size, self.mask_token)
        x = self.model.forward_features(images).flatten(2).transpose(1, 2)
        return ssl_core.Features(cls=x.mean(dim=1), patches=x, registers=x[:, :0])


class Convolution(nn.Module):
    """The smallest thing that fits, with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_dim, self.patch_size = 8, 16
        self.proj = nn.Conv2d(1, 8, 16, 16)
        self.bn = nn.BatchNorm2d(8)
        self.mask_token = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor, masks: Tensor | None = None) -> ssl_core.Features:
        if masks is not None:
            images = ssl_core.mask_pixels(images, masks, self.patch_size, self.mask_token)
        x = self.bn(self.proj(images)).flatten(2).transpose(1, 2)
        return ssl_core.Features(cls=x.mean(dim=1), patches=x, registers=x[:, :0])


class Plain:
    """All that the protocol asks for, and no module."""

    embed_dim, patch_size = 8, 16

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def __call__(self, images: Tensor, masks: Tensor | None = None) -> ssl_core.Features:
        raise NotImplementedError


def images() -> Tensor:
    return torch.rand(12, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def settings(*more: str, patch: int = 16) -> ssl_core.Config:
    sizes = (f"model.patch_size={patch}", f"crops.global_size={4 * patch}", f"crops.local_size={2 * patch}")
    return config(*sizes, "crops.encode_size=0", "model.whitening=0", "train.steps=4", "optim.warmup=0", *more)


def made(kind: type[nn.Module]) -> Any:
    torch.manual_seed(0)
    return kind()


@pytest.mark.parametrize("kind", [TimmViT, Hierarchical, Convolution])
def test_an_encoder_of_ones_own_trains_resumes_and_is_exported(kind: type[nn.Module], tmp_path: Path) -> None:
    backbone = made(kind)
    assert isinstance(backbone, ssl_core.Backbone)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    chosen = settings(patch=backbone.patch_size)
    whole = ssl_core.Trainer(chosen, images(), tmp_path / "whole", device="cpu", backbone=backbone)
    whole.fit()
    assert not torch.equal(backbone.mask_token, before["mask_token"])  # masks reach the encoder
    exported = load_file(tmp_path / "whole" / "encoder" / "model.safetensors")
    assert equal(exported, dict(whole.model.teacher.backbone.state_dict()))
    fresh = made(kind)
    fresh.load_state_dict(exported)
    parts = ssl_core.Trainer(chosen, images(), tmp_path / "parts", device="cpu", backbone=made(kind))
    parts.train_step()
    parts.train_step()
    parts.save()
    again = ssl_core.Trainer(chosen, images(), tmp_path / "parts", device="cpu", backbone=made(kind))
    assert again.step == 2
    again.fit()
    assert equal(exported, load_file(tmp_path / "parts" / "encoder" / "model.safetensors"))
    row = (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert '"utilisation"' not in row  # its operations are not known
    assert '"rankme"' in row


def groups(backbone: nn.Module) -> dict[str, ssl_core.Multipliers]:
    network = ssl_core.Network(backbone, ssl_core.HeadConfig(prototypes=8, hidden=8, bottleneck=4))
    names = {id(p): name for name, p in network.named_parameters()}
    found = {}
    for group in ssl_core.param_groups(network, layerwise_decay=0.5, patch_embed_lr=0.2):
        for parameter in group["params"]:
            found[names[id(parameter)]] = group["multipliers"]
    assert len(found) == len(names)
    return found


def test_blocks_of_a_wrapped_vit_learn_layer_by_layer_as_its_own_would() -> None:
    found = groups(made(TimmViT))
    assert found["backbone.model.blocks.0.attn.qkv.weight"].lr == 0.25
    assert found["backbone.model.blocks.1.mlp.fc1.weight"].lr == 0.5
    assert found["backbone.model.cls_token"].lr == 0.125
    assert found["backbone.model.patch_embed.proj.weight"].lr == pytest.approx(0.025)
    assert found["backbone.model.norm.weight"].lr == 1
    own = groups(ssl_core.VisionTransformer(ssl_core.ViTConfig(embed_dim=32, depth=2, num_heads=2)))
    assert own["backbone.blocks.0.attn.qkv.weight"] == found["backbone.model.blocks.0.attn.qkv.weight"]


def test_without_blocks_all_learn_alike_and_what_has_one_axis_is_not_decayed() -> None:
    found = groups(made(Hierarchical))
    assert {m.lr for name, m in found.items() if name.startswith("backbone.")} == {1.0}
    network = made(Hierarchical)
    flat = {f"backbone.{name}" for name, p in network.named_parameters() if p.ndim == 1}
    assert any("gamma" not in name and "norm" not in name and not name.endswith("bias") for name in flat)
    assert all((m.weight_decay == 0) == (name in flat) for name, m in found.items() if name.startswith("backbone."))


def test_running_statistics_of_the_teacher_are_the_students(tmp_path: Path) -> None:
    backbone = made(Convolution)
    trainer = ssl_core.Trainer(settings(), images(), tmp_path, device="cpu", backbone=backbone)
    trainer.train_step()
    assert backbone.bn.running_mean.abs().max() > 0
    assert torch.equal(trainer.model.teacher.backbone.bn.running_mean, backbone.bn.running_mean)


def test_pixels_of_masked_patches_become_the_token_and_no_others() -> None:
    x = torch.randn(2, 3, 8, 4)
    masks = torch.tensor([[True, False], [False, False]])
    out = ssl_core.mask_pixels(x, masks, 4, torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(out[0, :, :4], torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1).expand(3, 4, 4))
    assert torch.equal(out[0, :, 4:], x[0, :, 4:])
    assert torch.equal(out[1], x[1])
    volume = ssl_core.mask_pixels(torch.zeros(1, 1, 2, 4, 4), torch.tensor([[False, True]]), (1, 4, 4), torch.ones(1))
    assert torch.equal(volume[0, 0].mean((1, 2)), torch.tensor([0.0, 1.0]))
    with pytest.raises(ssl_core.SslError, match="expected masks"):
        ssl_core.mask_pixels(x, masks[:, :1], 4, torch.ones(3))


def test_an_encoder_that_does_not_fit_is_refused() -> None:
    for more, message in (
        (["model.patch_size=8"], "expected model.patch_size = 16"),
        (["model.whitening=0.3"], "for the built-in encoder"),
    ):
        with pytest.raises(ssl_core.SslError, match=message):
            ssl_core.build(settings(*more), made(Convolution))
    with pytest.raises(ssl_core.SslError, match=r"is an nn\.Module and a Backbone, got Plain"):
        ssl_core.build(settings(), Plain())
