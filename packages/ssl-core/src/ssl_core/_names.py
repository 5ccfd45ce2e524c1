"""Weights of one encoder under the names of dinov2, which are ours, of transformers and of timm.

Values change only where two libraries mean the same by other numbers: timm may have added a position to a token
already, and leaves out a LayerScale of 1.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ssl_core._errors import SslError

State = dict[str, Tensor]

_TOP = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "pos_embed": "embeddings.position_embeddings",
    "register_tokens": "embeddings.register_tokens",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
_BLOCK = {
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.w12": "mlp.weights_in",
    "mlp.w3": "mlp.weights_out",
}
_QKV = ("query", "key", "value")
# transformers 5 renames these when it loads a file; a state dict taken from a module has the new names.
_IN_MEMORY = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.down_proj": "mlp.weights_out",
}


def to_transformers(state: State) -> State:
    """dinov2 names to those of a Dinov2Model's file; the fused qkv becomes query, key and value."""
    out = {}
    for name, tensor in state.items():
        if name in _TOP:
            out[_TOP[name]] = tensor
            continue
        _, layer, rest = name.split(".", 2)
        prefix = f"encoder.layer.{layer}."
        if rest.startswith("attn.qkv."):
            kind = rest.removeprefix("attn.qkv.")
            for part, piece in zip(_QKV, tensor.chunk(3), strict=True):
                out[f"{prefix}attention.attention.{part}.{kind}"] = piece.contiguous()
            continue
        for ours, theirs in _BLOCK.items():
            rest = rest.replace(ours, theirs)
        out[prefix + rest] = tensor
    return out


def from_transformers(state: State) -> State:
    """A Dinov2Model's names, as in its file or in memory, to dinov2's: the inverse of `to_transformers`.

    Raises:
        SslError: a name that is not of a Dinov2Model, or a part of qkv or of a gated MLP without the others.
    """
    top = {theirs: ours for ours, theirs in _TOP.items()}
    out: State = {}
    parts: dict[str, State] = {}
    for name, tensor in state.items():
        if name in top:
            out[top[name]] = tensor
            continue
        if not name.startswith("encoder.layer."):
            raise SslError(f"expected names of transformers' Dinov2Model, got {name!r}")
        _, _, layer, rest = name.split(".", 3)
        for memory, file in _IN_MEMORY.items():
            rest = rest.replace(memory, file)
        if rest.startswith("attention.attention."):
            part, kind = rest.removeprefix("attention.attention.").split(".")
            parts.setdefault(f"blocks.{layer}.attn.qkv.{kind}", {})[part] = tensor
            continue
        if rest.startswith(("mlp.gate_proj.", "mlp.up_proj.")):
            _, part, kind = rest.split(".")
            parts.setdefault(f"blocks.{layer}.mlp.w12.{kind}", {})[part] = tensor
            continue
        for ours, theirs in _BLOCK.items():
            rest = rest.replace(theirs, ours)
        out[f"blocks.{layer}.{rest}"] = tensor
    for name, pieces in parts.items():
        order = _QKV if ".qkv." in name else ("gate_proj", "up_proj")
        if set(pieces) != set(order):
            raise SslError(f"expected {', '.join(order)} for {name}, got {', '.join(sorted(pieces))} alone")
        out[name] = torch.cat([pieces[part] for part in order])
    return out


def from_dinov2(state: State) -> tuple[State, State]:
    """A checkpoint of dinov2, or of ours, to its backbone and its heads (`dino_head.*`, `ibot_head.*`).

    Where student and teacher are both there, it is the teacher, which is what gets released. Blocks in chunks
    (`blocks.0.3.`) become plain ones, a weight norm written as a parametrisation its two factors. A state without any
    of these prefixes is a backbone.
    """
    for side in ("teacher.", "student."):
        if any(name.startswith(side) for name in state):
            state = {name.removeprefix(side): tensor for name, tensor in state.items() if name.startswith(side)}
            break
    renamed: State = {}
    for name, tensor in state.items():
        name = re.sub(r"blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)
        name = name.replace("parametrizations.weight.original0", "weight_g")
        renamed[name.replace("parametrizations.weight.original1", "weight_v")] = tensor
    heads = {name: tensor for name, tensor in renamed.items() if name.startswith(("dino_head.", "ibot_head."))}
    backbone = {name.removeprefix("backbone."): t for name, t in renamed.items() if name not in heads}
    return backbone, heads


def to_dinov2(state: State, *, chunks: int = 0) -> State:
    """Our names to dinov2's: the same, or with the blocks in `chunks` equal parts, as its large models train.

    Raises:
        SslError: a number of blocks that the chunks can't share.
    """
    if not chunks:
        return dict(state)
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    if depth % chunks:
        raise SslError(f"expected a number of chunks that divides {depth} blocks, got {chunks}")
    size = depth // chunks
    return {re.sub(r"^blocks\.(\d+)", lambda m: f"blocks.{int(m[1]) // size}.{m[1]}", k): v for k, v in state.items()}


def from_timm(state: State) -> tuple[State, list[str]]:
    """A timm ViT's names to dinov2's, and the names that were filled in because timm leaves them out.

    timm adds no position to class and register tokens where the table has none for them: theirs become 0, or are
    added to the registers, which have none here. A missing LayerScale is 1. A GLU MLP is a fused SwiGLU. A classifier
    keeps its name. The mask token, which timm has not, starts at 0 as everywhere.
    """
    out = {name: tensor for name, tensor in state.items() if name != "reg_token"}
    filled = []
    registers = state.get("reg_token")
    if "pos_embed" in out:
        table = out["pos_embed"]
        prefix = table.shape[1] - int(table.shape[1] ** 0.5) ** 2
        if prefix == 0:
            out["pos_embed"] = torch.cat((torch.zeros_like(table[:, :1]), table), dim=1)
            filled.append("pos_embed[:, 0]")
        elif registers is not None and prefix == 1 + registers.shape[1]:
            registers = registers + table[:, 1:prefix]
            out["pos_embed"] = torch.cat((table[:, :1], table[:, prefix:]), dim=1)
    if registers is not None:
        out["register_tokens"] = registers
    for name in list(out):
        if name.endswith("mlp.fc1.weight"):
            block = name.removesuffix("mlp.fc1.weight")
            if out[name].shape[0] == 2 * out[f"{block}mlp.fc2.weight"].shape[1]:
                for kind in ("weight", "bias"):
                    out[f"{block}mlp.w12.{kind}"] = out.pop(f"{block}mlp.fc1.{kind}")
                    out[f"{block}mlp.w3.{kind}"] = out.pop(f"{block}mlp.fc2.{kind}")
            for scale in ("ls1.gamma", "ls2.gamma"):
                if f"{block}{scale}" not in out:
                    out[f"{block}{scale}"] = torch.ones_like(out["cls_token"].flatten())
                    filled.append(f"{block}{scale}")
    if "mask_token" not in out:
        out["mask_token"] = torch.zeros_like(out["cls_token"][0])
        filled.append("mask_token")
    return out, filled


def check_fit(source: str, state: State, expected: State) -> None:
    """Refuse a state dict that does not fit, naming every key.

    Raises:
        SslError: keys missing, keys too many, or of another shape.
    """
    wrong = [f"missing {name}" for name in sorted(expected.keys() - state.keys())]
    wrong += [f"unexpected {name}" for name in sorted(state.keys() - expected.keys())]
    wrong += [
        f"{name} {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(state.keys() & expected.keys())
        if state[name].shape != expected[name].shape
    ]
    if wrong:
        raise SslError(
            f"{source}: expected weights that fit the configuration, got {len(wrong)} keys that don't: "
            f"{'; '.join(wrong)}"
        )
