"""The model of a run where it is trained: built, started from weights, spread over devices and processes.

Under FSDP an encoder that starts afresh, or goes on from a checkpoint, is built on the meta device, where tensors have
no values, and gets them when it is cut into parts: one module at a time is whole, so no process needs room for a model.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ssl_core._backbone import Backbone
from ssl_core._batches import Images
from ssl_core._build import build, start_from_patches, vit_config
from ssl_core._config import Config
from ssl_core._distributed import fill, rank, world_size
from ssl_core._files import write_bytes
from ssl_core._head import DINOHead
from ssl_core._objective import SelfDistillation
from ssl_core._parallel import prepare_blocks, spread
from ssl_core._start import Start, start_from
from ssl_core._vit import Block, PatchEmbed, VisionTransformer


class Placed:
    """A model ready to train.

    Args:
        config: of the run.
        images: what its patch embedding is whitened by, if it is.
        device: of this process.
        out: the run's folder, which `start.json` is written to.
        resumed: whether a checkpoint will fill the model.
        backbone: an encoder of the user's own.
    """

    def __init__(
        self,
        config: Config,
        images: Images,
        device: torch.device,
        out: Path,
        *,
        resumed: bool,
        backbone: Backbone | None = None,
    ) -> None:
        self.start: Start | None = None
        """What became of each key of the weights that the run starts from."""
        given = bool(config.init.weights or config.model.whitening)
        if config.train.parallel == "fsdp" and world_size() > 1 and backbone is None and (resumed or not given):
            with torch.device("meta"):
                self.model = build(config)
            self.spread = self._divide(config, device)
            self.model.to_empty(device=device)
            if not resumed:
                draw_weights(self.model, config)
            return
        self.model = build(config, backbone)
        if config.model.whitening and not resumed:
            start_from_patches(config, images, self.model)
        if config.init.weights and not resumed:
            self.start = start_from(self.model, config)
            if rank() == 0:
                write_bytes(out / "start.json", self.start.to_json().encode())
        self.model.to(device)
        self.spread = self._divide(config, device)

    def _divide(self, config: Config, device: torch.device) -> nn.Module:
        prepare_blocks(self.model, config.train)
        return spread(self.model, config.train, device)


@torch.no_grad()
def draw_weights(model: SelfDistillation, config: Config) -> None:
    """Fill a model that has no values yet, whole or in parts, with the weights that `build` gives it, bit for bit.

    Modules are built one after the other in `build`'s order, for the sake of what each draws, and thrown away.
    """
    student = model.student
    encoder, shape = cast(VisionTransformer, student.backbone), vit_config(config)
    head = config.head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        _fill_module(encoder.patch_embed, PatchEmbed(shape.channels, shape.embed_dim, shape.patch_size))
        for block in encoder.blocks:
            _fill_module(block, Block(shape))
        _fill_module(encoder.norm, nn.LayerNorm(shape.embed_dim))
        fill(encoder.mask_token, nn.init.zeros_)
        encoder.initialise()
        heads = {"dino_head": (head.prototypes, head.bottleneck)}
        if head.separate:
            sizes = head.ibot_prototypes or head.prototypes, head.ibot_bottleneck or head.bottleneck
            heads["ibot_head"] = sizes
        for name, (prototypes, bottleneck) in heads.items():
            fresh = DINOHead(shape.embed_dim, prototypes, head.hidden, bottleneck, head.layers)
            _fill_module(student.get_submodule(name), fresh)
    model.teacher.load_state_dict(student.state_dict())
    if model.anchor is not None:
        model.anchor.load_state_dict(encoder.state_dict())
    for buffer in model.buffers():
        buffer.zero_()


def _fill_module(module: nn.Module, whole: nn.Module) -> None:
    for mine, its in zip(module.parameters(), whole.parameters(), strict=True):
        fill(mine, partial(_copy, its))


def _copy(source: Tensor, target: Tensor) -> None:
    target.copy_(source)
