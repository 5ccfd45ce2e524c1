"""Adapters learn alone, are a plain encoder when exported, and change nothing before they have learnt."""

from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_names import encoder
from test_sslcore_start import grey, start
from test_sslcore_train import config, equal, images, weights

LORA = ("lora.rank=4", "lora.alpha=8", "train.steps=4", "optim.warmup=0")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.save(encoder().state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_a_merged_encoder_equals_the_adapted_one() -> None:
    settings = ssl_core.LoraConfig(rank=3, alpha=5.0, targets=r"mlp\.fc[12]$|attn\.qkv$")
    adapted = encoder()
    before = adapted(torch.ones(1, 3, 56, 56))
    ssl_core.add_adapters(adapted, settings)
    assert torch.equal(before.patches, adapted(torch.ones(1, 3, 56, 56)).patches)  # B starts as zero
    learning = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert len(learning) == 3 * 3 * 2
    assert all("lora_" in name for name in learning)
    for name, parameter in adapted.named_parameters():
        if "lora_b" in name:
            torch.nn.init.normal_(parameter)
    plain = encoder(seed=1)
    plain.load_state_dict(ssl_core.merge_adapters(adapted.state_dict(), settings))
    x = torch.randn(2, 3, 56, 56)
    a, b = adapted(x), plain(x)
    assert (before.patches - adapted(torch.ones(1, 3, 56, 56)).patches).abs().max() > 1e-2
    assert (a.patches - b.patches).abs().max() <= 2e-5
    assert (a.cls - b.cls).abs().max() <= 2e-5


def test_only_adapters_and_heads_move_and_the_export_is_what_was_trained(source: Path, tmp_path: Path) -> None:
    trainer = start(source, tmp_path / "run", *LORA)
    before = {k: v.clone() for k, v in trainer.model.student.state_dict().items()}
    trainer.fit()
    after = trainer.model.student.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if "lora_" in name or "head" in name}
    exported, _ = ssl_core.load_encoder(tmp_path / "run")
    x = grey()
    with torch.no_grad():
        a, b = exported(x), trainer.model.teacher.backbone(x)
    assert (a.patches - b.patches).abs().max() <= 1e-5
    assert trainer.start is not None
    assert "backbone.blocks.0.attn.qkv.lora_a" in trainer.start.fresh
    # A run that starts from this one starts from the merged encoder.
    other = start(tmp_path / "run", tmp_path / "other")
    with torch.no_grad():
        c = other.model.teacher.backbone(x)
    assert (c.patches - b.patches).abs().max() <= 1e-5


def test_a_run_with_adapters_resumes_exactly(source: Path, tmp_path: Path) -> None:
    start(source, tmp_path / "whole", *LORA).fit()
    parts = start(source, tmp_path / "parts", *LORA)
    parts.train_step()
    parts.save()
    again = start(source, tmp_path / "parts", *LORA)
    assert again.step == 1
    again.fit()
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_adapters_of_nothing_or_on_nothing_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ssl_core.SslError, match=r"lora\.targets = 'attnn' matches no linear layer"):
        start(source, tmp_path / "a", *LORA, "lora.targets='attnn'")
    with pytest.raises(ssl_core.SslError, match=r"lora\.rank freezes the encoder of init\.weights"):
        ssl_core.Trainer(config("lora.rank=4"), images(), tmp_path / "b", device="cpu")
    for override, message in (("lora.targets='('", "regular expression"), ("lora.rank=-1", "from 0 to inf")):
        with pytest.raises(ssl_core.SslError, match=message):
            config(override)
