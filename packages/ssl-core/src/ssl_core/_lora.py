"""Low-rank adapters: an encoder goes on learning in few parameters, and is a plain one again when it is exported.

W x becomes W x + (alpha / rank) B A x, of which only A and B learn (Hu et al. 2021, "LoRA", section 4.1).
"""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core._config import LoraConfig
from ssl_core._errors import SslError

_ADAPTERS = ("lora_a", "lora_b")


class LoRALinear(nn.Linear):
    """A linear layer, whose weights it takes over and freezes, with an adapter that starts as zero.

    `weight` and `bias` keep their names, so a state dict of the plain layer is a part of this one's.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        has_bias = linear.bias is not None
        super().__init__(linear.in_features, linear.out_features, bias=has_bias, device="meta")
        self.weight = linear.weight
        if has_bias:
            self.bias = linear.bias
        self.scale = alpha / rank
        self.lora_a = nn.Parameter(torch.empty(rank, linear.in_features))
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's own product, and the adapter's."""
        return super().forward(x) + self.scale * F.linear(F.linear(x, self.lora_a), self.lora_b)


def is_adapter(name: str) -> bool:
    """Whether a parameter is one of an adapter."""
    return name.endswith(_ADAPTERS)


def add_adapters(module: nn.Module, config: LoraConfig) -> None:
    """Give every linear layer whose name matches `config.targets` an adapter, and freeze everything else.

    Raises:
        SslError: no layer matches.
    """
    linears = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    chosen = [name for name in linears if re.search(config.targets, name)]
    if not chosen:
        raise SslError(f"lora.targets = {config.targets!r} matches no linear layer, such as {sorted(linears)[:5]}")
    module.requires_grad_(False)
    for name in chosen:
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, LoRALinear(linears[name], config.rank, config.alpha))


def merge_adapters(state: dict[str, Tensor], config: LoraConfig) -> dict[str, Tensor]:
    """A state dict with adapters as that of the plain module which computes the same."""
    merged = {name: tensor for name, tensor in state.items() if not is_adapter(name)}
    for name, a in state.items():
        if name.endswith("lora_a"):
            layer = name.removesuffix("lora_a")
            weight = state[f"{layer}weight"]
            change = state[f"{layer}lora_b"].double() @ a.double() * (config.alpha / config.rank)
            merged[f"{layer}weight"] = (weight.double() + change).to(weight.dtype)
    return merged
