"""timm's hierarchical encoders, trained as `ssl_core.Backbone` and kept as folders that timm reads."""

from __future__ import annotations

import json
from pathlib import Path

import ssl_core
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from raddino_cli.work.stages import write_text

_OURS = "model."  # of the names of weights


class Hierarchical(nn.Module):
    """A timm model whose last stage keeps the stride of `model.patch_size`; masks are put in place of pixels.

    Its class token is the mean of its patch tokens.

    Raises:
        ValueError: no such model, or one whose stride can't be chosen.
    """

    def __init__(self, name: str, config: ssl_core.Config) -> None:
        import timm  # it takes seconds

        super().__init__()
        channels, patch = config.model.channels, config.model.patch_size
        try:
            self.model = timm.create_model(
                name, pretrained=False, num_classes=0, in_chans=channels, output_stride=patch
            )
        except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"pretrain.encoder: expected a timm model that takes output_stride = {patch}, as ConvNeXt and ResNet "
                f"do; got {name!r} ({error})"
            ) from error
        self.embed_dim, self.patch_size = int(self.model.num_features), patch
        self.mask_token = nn.Parameter(torch.zeros(channels))

    def forward(self, images: Tensor, masks: Tensor | None = None) -> ssl_core.Features:
        """See `ssl_core.Backbone`."""
        if masks is not None:
            images = ssl_core.mask_pixels(images, masks, self.patch_size, self.mask_token)
        x = self.model.forward_features(images).flatten(2).transpose(1, 2)
        return ssl_core.Features(cls=x.mean(dim=1), patches=x, registers=x[:, :0])


def hierarchical(name: str, config: ssl_core.Config) -> Hierarchical:
    """The encoder with fresh weights, drawn from the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        return Hierarchical(name, config)


def export(name: str, config: ssl_core.Config, folder: Path) -> None:
    """Make a trained encoder's folder one of timm; done twice, it is the same."""
    path, crops = folder / "model.safetensors", config.crops
    state = {key.removeprefix(_OURS): value for key, value in load_file(path).items() if key != "mask_token"}
    part = path.with_name(path.name + ".part")
    part.write_bytes(save(state))
    part.replace(path)
    size, channels = crops.encode_size or crops.global_size, config.model.channels
    seen = {
        "input_size": [channels, size, size], "mean": [crops.mean] * channels, "std": [crops.std] * channels,
        "interpolation": "bicubic", "crop_pct": 1.0,
    }  # fmt: skip
    options = {"in_chans": channels, "output_stride": config.model.patch_size}
    facts = {"architecture": name, "num_classes": 0, "model_args": options, "pretrained_cfg": seen}
    write_text(folder / "config.json", json.dumps(facts, indent=1) + "\n")


def step_flops(name: str, config: ssl_core.Config) -> float:
    """Floating-point operations of a step, counted as `ssl_core.step_flops` counts those of its own encoder."""
    with torch.device("meta"):
        encoder = Hierarchical(name, config)

    def forward(size: int | tuple[int, int, int]) -> float:
        sides = (size, size) if isinstance(size, int) else size
        with FlopCounterMode(display=False) as counter:
            encoder(torch.zeros(1, config.model.channels, *sides, device="meta"))
        return float(counter.get_total_flops())

    crops, images = config.crops, config.train.batch_size
    heads = ssl_core.step_flops(config)["heads"]  # as of tokens of the recipe's length
    views = 2 * images * forward(crops.global_size)
    local = images * crops.local_count * forward(crops.local_size) if crops.local_count else 0.0
    return views + 3 * (views + local) + heads
