"""Between dinov2's parameter names and transformers' Dinov2Model, and the `encoder/` folder of a run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from ssl_core._config import CropConfig
from ssl_core._errors import SslError
from ssl_core._files import read_tensors, write_bytes, write_tensors
from ssl_core._vit import VisionTransformer, ViTConfig

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
}


def to_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """dinov2 names to Dinov2Model's; the fused qkv becomes query, key and value."""
    out = {}
    for name, tensor in state.items():
        if name in _TOP:
            out[_TOP[name]] = tensor
            continue
        _, layer, rest = name.split(".", 2)
        prefix = f"encoder.layer.{layer}."
        if rest.startswith("attn.qkv."):
            kind = rest.removeprefix("attn.qkv.")
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                out[f"{prefix}attention.attention.{part}.{kind}"] = piece.contiguous()
            continue
        for ours, theirs in _BLOCK.items():
            rest = rest.replace(ours, theirs)
        out[prefix + rest] = tensor
    return out


def from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Dinov2Model's names to dinov2's: the inverse of `to_transformers`."""
    top = {theirs: ours for ours, theirs in _TOP.items()}
    out: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name in top:
            out[top[name]] = tensor
            continue
        if not name.startswith("encoder.layer."):
            raise SslError(f"expected names of transformers' Dinov2Model, got {name!r}")
        _, _, layer, rest = name.split(".", 3)
        if rest.startswith("attention.attention."):
            part, kind = rest.removeprefix("attention.attention.").split(".")
            parts.setdefault(f"blocks.{layer}.attn.qkv.{kind}", {})[part] = tensor
            continue
        for ours, theirs in _BLOCK.items():
            rest = rest.replace(theirs, ours)
        out[f"blocks.{layer}.{rest}"] = tensor
    for name, pieces in parts.items():
        out[name] = torch.cat([pieces[part] for part in ("query", "key", "value")])
    return out


def save_encoder(model: VisionTransformer, crops: CropConfig, folder: Path) -> None:
    """Write `model.safetensors`, `config.json` and `preprocessor_config.json` for AutoModel and AutoImageProcessor."""
    c = model.config
    config = {
        "architectures": ["Dinov2WithRegistersModel" if c.registers else "Dinov2Model"],
        "model_type": "dinov2_with_registers" if c.registers else "dinov2",
        "hidden_size": c.embed_dim,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.num_heads,
        "mlp_ratio": int(c.mlp_ratio),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "layerscale_value": c.layerscale,
        "drop_path_rate": c.drop_path,
        "qkv_bias": True,
        "use_swiglu_ffn": False,
        "image_size": c.image_size,
        "patch_size": c.patch_size,
        "num_channels": c.channels,
        "initializer_range": c.init_std,
        "sincos": c.sincos,
        **({"num_register_tokens": c.registers} if c.registers else {}),
    }
    size = crops.encode_size or crops.global_size
    processor = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [crops.mean] * c.channels,
        "image_std": [crops.std] * c.channels,
        "do_convert_rgb": c.channels == 3,
    }
    write_tensors(folder / "model.safetensors", to_transformers(model.state_dict()))
    write_bytes(folder / "config.json", json.dumps(config, indent=2).encode())
    write_bytes(folder / "preprocessor_config.json", json.dumps(processor, indent=2).encode())


def load_encoder(folder: str | Path, *, random_seed: int | None = None) -> tuple[VisionTransformer, dict[str, object]]:
    """The encoder of a run (or its `encoder/` folder) in eval mode, and its preprocessor settings.

    Args:
        folder: a run directory or an encoder folder in transformers' Dinov2 layout.
        random_seed: leave the weights out and initialise afresh from this seed (the baseline of every table).

    Raises:
        SslError: files missing or damaged, another architecture, or keys that don't fit (each is listed).
    """
    folder = Path(folder)
    if (folder / "encoder").is_dir():
        folder = folder / "encoder"
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        processor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise SslError(
            f"{folder}: expected config.json and preprocessor_config.json of an encoder ({error})"
        ) from error
    if config.get("model_type") not in ("dinov2", "dinov2_with_registers") or config.get("use_swiglu_ffn"):
        raise SslError(f"{folder}: expected a dinov2 encoder without SwiGLU, got {config.get('model_type')!r}")
    vit = ViTConfig(
        embed_dim=config["hidden_size"],
        depth=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        patch_size=config["patch_size"],
        image_size=config["image_size"],
        channels=config["num_channels"],
        mlp_ratio=float(config["mlp_ratio"]),
        registers=config.get("num_register_tokens", 0),
        layerscale=config["layerscale_value"],
        init_std=config.get("initializer_range", 0.02),
        sincos=config.get("sincos", 0.0),
    )
    if random_seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_seed)
            return VisionTransformer(vit).eval(), processor
    model = VisionTransformer(vit)
    state = from_transformers(read_tensors(folder / "model.safetensors")[0])
    expected = model.state_dict()
    wrong = sorted(expected.keys() ^ state.keys()) + [
        f"{k} {tuple(state[k].shape)} instead of {tuple(expected[k].shape)}"
        for k in expected.keys() & state.keys()
        if expected[k].shape != state[k].shape
    ]
    if wrong:
        raise SslError(f"{folder}: weights don't fit config.json: {', '.join(wrong)}")
    model.load_state_dict(state)
    return model.eval(), processor
