"""A run that starts from given weights has its source's features, and says what became of every key."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import ssl_core
import timm
import torch
import transformers
from safetensors.torch import save_file
from test_sslcore_names import encoder, equal
from test_sslcore_train import config, images, weights
from torch import Tensor

IMAGENET = (torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
RUN = ["model.patch_size=14", "crops.global_size=56", "crops.local_size=28", "crops.encode_size=0"]


def head_state(prototypes: int = 32, seed: int = 3) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return ssl_core.DINOHead(32, prototypes, 32, 16, 3).state_dict()


def start(source: Path, out: Path, *more: str, head: Path | None = None) -> ssl_core.Trainer:
    overrides = [*RUN, *ssl_core.start_overrides(source, head), "model.num_heads=2", "model.drop_path=0", *more]
    return ssl_core.Trainer(config(*overrides), images(), out, device="cpu")


def grey(size: int = 56) -> Tensor:
    return torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def features_at_step_0(trainer: ssl_core.Trainer, pixels: Tensor) -> Tensor:
    """Class and patch tokens of student and teacher, which must be alike."""
    crops = trainer.config.crops
    found = []
    for network in (trainer.model.student, trainer.model.teacher):
        out = network.backbone((pixels - crops.mean) / crops.std)
        found.append(torch.cat((out.cls[:, None], out.patches), dim=1))
    assert torch.equal(*found)
    return found[0]


@torch.no_grad()
def expected(source: ssl_core.VisionTransformer, pixels: Tensor) -> Tensor:
    """The source's tokens of a grey image repeated on its three channels."""
    out = source((pixels.expand(-1, 3, -1, -1) - IMAGENET[0]) / IMAGENET[1])
    return torch.cat((out.cls[:, None], out.patches), dim=1)


@pytest.mark.parametrize("form", ["released", "chunked", "teacher", "safetensors"])
@pytest.mark.parametrize(("registers", "ffn"), [(0, "mlp"), (4, "swiglu")])
def test_a_run_from_dinov2_has_its_features_at_step_0(form: str, registers: int, ffn: str, tmp_path: Path) -> None:
    rule = {"pos_offset": 0.0, "pos_antialias": True} if registers else {}
    source = encoder(registers=registers, ffn=ffn, image_size=84, **rule)
    state: dict[str, Any] = source.state_dict()
    path = tmp_path / "weights.pth"
    if form == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(state, path)
    elif form == "teacher":
        chunked = {f"backbone.{k}": v for k, v in ssl_core.to_dinov2(state, chunks=3).items()}
        torch.save({"teacher": chunked | {f"dino_head.{k}": v for k, v in head_state().items()}}, path)
    else:
        torch.save(ssl_core.to_dinov2(state, chunks=3 if form == "chunked" else 0), path)
    trainer = start(path, tmp_path / "run")
    assert (features_at_step_0(trainer, grey()) - expected(source, grey())).abs().max() <= 1e-5
    assert trainer.start is not None
    report = json.loads((tmp_path / "run" / "start.json").read_text())
    assert any("positions resized from 6 x 6 to 4 x 4" in words for words in report["changed"])
    assert any("summed over 3 channels" in words for words in report["changed"])
    if form == "teacher":
        assert report["fresh"] == []
        assert equal(trainer.model.teacher.dino_head.state_dict(), head_state())
    else:
        assert "dino_head.last_layer.weight_v" in report["fresh"]
        assert trainer.config.init.warmup_heads == 1250


def test_a_run_from_a_transformers_folder_and_a_released_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=70, layerscale_value=0.3
    )
    theirs = transformers.Dinov2Model(settings).eval()
    theirs.save_pretrained(tmp_path / "rad-dino")
    mean = {"image_mean": [0.5307] * 3, "image_std": [0.2583] * 3}
    (tmp_path / "rad-dino" / "preprocessor_config.json").write_text(json.dumps(mean))
    save_file(head_state(48), tmp_path / "dino_head.safetensors")
    trainer = start(tmp_path / "rad-dino", tmp_path / "run", head=tmp_path / "dino_head.safetensors")
    x = (grey() - 0.5307) / 0.2583
    with torch.no_grad():
        tokens = theirs(x.expand(-1, 3, -1, -1)).last_hidden_state
    assert (features_at_step_0(trainer, grey()) - tokens).abs().max() <= 1e-5
    assert trainer.config.head.prototypes == 48
    assert trainer.config.init.warmup_heads == 0
    assert equal(trainer.model.student.dino_head.state_dict(), head_state(48))
    assert trainer.start is not None
    assert trainer.start.fresh == []
    assert "48 x" not in str(trainer.start)


def test_a_transformers_model_without_a_mask_token_starts_with_a_zero_one(tmp_path: Path) -> None:
    settings = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=56, use_mask_token=False
    )
    transformers.Dinov2Model(settings).save_pretrained(tmp_path)
    source = ssl_core.read_source(tmp_path)
    assert source.filled == ["mask_token"]
    assert source.backbone["mask_token"].shape == (1, 32)
    assert not source.backbone["mask_token"].any()


def test_three_channels_of_another_normalisation_keep_the_features(tmp_path: Path) -> None:
    source = encoder()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    data = torch.rand(6, 3, 56, 56)
    settings = config(
        *RUN, *ssl_core.start_overrides(tmp_path / "weights.pth"), "model.num_heads=2", "model.channels=3"
    )
    trainer = ssl_core.Trainer(settings, data, tmp_path / "run", device="cpu")
    with torch.no_grad():
        a = source((data - IMAGENET[0]) / IMAGENET[1]).patches
        b = trainer.model.teacher.backbone((data - settings.crops.mean) / settings.crops.std).patches
    assert (a - b).abs().max() <= 1e-5


def test_a_run_from_a_timm_vit_fills_in_what_timm_leaves_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_base_patch16_224", embed_dim=32, depth=2, num_heads=2, img_size=56, patch_size=14, num_classes=7
    ).eval()
    folder = tmp_path / "timm"
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    cfg = {"architecture": "vit", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "config.json").write_text(json.dumps(cfg))
    trainer = start(folder, tmp_path / "run")
    with torch.no_grad():
        tokens = model.forward_features((grey().expand(-1, 3, -1, -1) - 0.5) / 0.5)
    assert (features_at_step_0(trainer, grey()) - tokens).abs().max() <= 1e-5
    assert trainer.start is not None
    assert trainer.start.unused == ["head.bias", "head.weight"]
    assert "blocks.1.ls2.gamma" in trainer.start.filled


def test_a_run_from_a_run_goes_on_with_its_teacher_and_heads(tmp_path: Path) -> None:
    first = ssl_core.Trainer(
        config(*RUN, "model.drop_path=0", "head.separate=true"), images(), tmp_path / "a", device="cpu"
    )
    first.fit()
    second = start(tmp_path / "a", tmp_path / "b", "crops.mean=0.4", "crops.std=0.3")
    out = first.model.teacher.backbone.eval()((grey() - first.config.crops.mean) / first.config.crops.std)
    tokens = torch.cat((out.cls[:, None], out.patches), dim=1)
    assert (features_at_step_0(second, grey()) - tokens).abs().max() <= 1e-5
    assert equal(second.model.student.ibot_head.state_dict(), first.model.teacher.ibot_head.state_dict())
    assert second.start is not None
    assert (second.start.fresh, second.start.unused) == ([], [])
    # Its encoder/ alone has no heads.
    third = start(tmp_path / "a" / "encoder", tmp_path / "c")
    assert (features_at_step_0(third, grey()) - tokens).abs().max() <= 1e-5
    assert third.start is not None
    assert len(third.start.fresh) == 8


def test_heads_warm_up_while_the_backbone_stays_and_resuming_changes_nothing(tmp_path: Path) -> None:
    source = encoder(depth=2)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    more = ("train.steps=20", "init.warmup_heads=99", "train.checkpoint_every=1", "optim.warmup=0")
    whole = start(tmp_path / "weights.pth", tmp_path / "whole", *more)
    before = {k: v.clone() for k, v in whole.model.student.state_dict().items()}
    for step in range(3):
        whole.train_step()
        after = whole.model.student.state_dict()
        frozen = all(torch.equal(before[k], after[k]) for k in before if k.startswith("backbone."))
        assert frozen == (step < 2)  # a tenth of 20 steps
        moved = after["dino_head.mlp.0.weight"]
        assert not torch.equal(before["dino_head.mlp.0.weight"], moved)
    whole.fit()
    parts = start(tmp_path / "weights.pth", tmp_path / "parts", *more)
    parts.train_step()
    parts.save()
    (tmp_path / "weights.pth").unlink()  # what is under way needs it no more
    again = ssl_core.Trainer(parts.config, images(), tmp_path / "parts", device="cpu")
    assert (again.step, again.start) == (1, None)
    again.fit()
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.0.attn.qkv.weight": None}, r"missing blocks\.0\.attn\.qkv\.weight"),
        ({"blocks.9.attn.qkv.weight": torch.zeros(1)}, r"unexpected blocks\.9\.attn\.qkv\.weight"),
        ({"norm.weight": torch.zeros(5)}, r"norm\.weight \(5,\) instead of \(32,\)"),
        ({"blocks.0.attn.q_norm.weight": torch.zeros(1)}, r"unexpected blocks\.0\.attn\.q_norm\.weight"),
        ({"cls_token": None}, "got none of cls_token"),
    ],
)
def test_every_key_that_does_not_fit_is_named(change: dict[str, Tensor | None], message: str, tmp_path: Path) -> None:
    state = {k: v for k, v in (encoder(depth=2).state_dict() | change).items() if v is not None}
    torch.save(state, tmp_path / "weights.pth")
    settings = [*RUN, f'init.weights="{tmp_path / "weights.pth"}"', "model.depth=2", "model.layerscale=0.3"]
    with pytest.raises(ssl_core.SslError, match=message):
        ssl_core.Trainer(config(*settings, "model.whitening=0"), images(), tmp_path / "run", device="cpu")


def test_a_head_of_another_size_is_refused_or_left_out(tmp_path: Path) -> None:
    state = {f"backbone.{k}": v for k, v in encoder().state_dict().items()}
    torch.save({"teacher": state | {f"dino_head.{k}": v for k, v in head_state(48).items()}}, tmp_path / "w.pth")
    with pytest.raises(
        ssl_core.SslError, match=r"init\.head=fresh .*last_layer\.weight_g \(48, 1\) instead of \(32, 1\)"
    ):
        start(tmp_path / "w.pth", tmp_path / "run", "head.prototypes=32")
    trainer = start(tmp_path / "w.pth", tmp_path / "fresh", "head.prototypes=32", "init.head=fresh")
    assert trainer.start is not None
    assert "dino_head.last_layer.weight_g" in trainer.start.fresh
    assert "dino_head.last_layer.weight_g" in trainer.start.unused


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("executed").touch, ())


def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"cls_token": Malicious()}}, "evil.pth")
    Path("plain.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    Path("text.pth").write_text("hello")
    torch.save([torch.zeros(2)], "list.pth")
    for name in ("evil.pth", "plain.pth", "text.pth", "list.pth", "absent.pth", "."):
        with pytest.raises(ssl_core.SslError, match="expected"):
            ssl_core.read_source(name)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["init.head=x.pth"], "go with the encoder of init.weights"),
        (["init.warmup_heads=5"], "go with the encoder of init.weights"),
        (["init.weights=x.pth", "model.whitening=0.3"], "would overwrite the patch embedding"),
        (["head.ibot_prototypes=5"], "set head.separate=true"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ssl_core.SslError, match=message):
        config(*overrides)


def test_a_file_that_is_no_head_and_channels_without_a_mean_are_refused(tmp_path: Path) -> None:
    torch.save(encoder().state_dict(), tmp_path / "w.pth")
    with pytest.raises(ssl_core.SslError, match="expected a DINO head"):
        ssl_core.read_head(tmp_path / "w.pth")
    torch.save(encoder(channels=2).state_dict(), tmp_path / "two.pth")
    with pytest.raises(ssl_core.SslError, match="deviation of 2 channels"):
        ssl_core.read_source(tmp_path / "two.pth")
