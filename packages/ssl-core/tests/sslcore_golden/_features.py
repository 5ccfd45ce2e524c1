"""Position tables and features at sizes other than the learned one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ssl_core
import torch
from safetensors.torch import load_file
from torch import Tensor

from sslcore_golden._comparison import DOUBLE, SINGLE, Comparison, read, relative, vit


def positions(folder: Path) -> Iterator[Comparison]:
    """Position tables at every size by both rules, and features of images that are not square."""
    file = "pos_embed"
    case, arrays = read(folder, file)
    rules = {"offset0.1_noaa": (0.1, False), "offset0.0_aa": (0.0, True)}
    for key, expected in arrays.items():
        rule, _, size = key.rpartition(".")
        if rule in rules:
            height, width = map(int, size.split("x"))
            offset, antialias = rules[rule]
            for dtype, bound in ((DOUBLE, 1e-12), (SINGLE, 5e-6)):
                table = arrays["table"].to(dtype)
                got = ssl_core.interpolate_pos_embed(table, (height, width), offset=offset, antialias=antialias)
                yield Comparison(file, "tables", key, dtype, relative(got, expected), bound)
    for name, settings in case["features"].items():
        if isinstance(settings, dict):
            for dtype, bound in ((DOUBLE, 1e-12), (SINGLE, 5e-6)):
                for key, got in features(case, settings, arrays, folder, dtype).items():
                    error = relative(got, arrays[f"features.{name}.{key}"])
                    yield Comparison(file, "features", f"{name} {key}", dtype, error, bound)


def features(
    case: dict[str, Any], settings: dict[str, Any], arrays: dict[str, Tensor], folder: Path, dtype: torch.dtype
) -> dict[str, Tensor]:
    """What an encoder gives for the stored image, before and after the final norm, and its last two blocks."""
    registers = settings["num_register_tokens"]
    model = vit(
        case["model"],
        registers=registers,
        pos_offset=settings["interpolate_offset"],
        pos_antialias=settings["antialias"],
    )
    prefix = "student.backbone."
    weights = load_file(folder / "ssl_step_weights.safetensors")
    state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    if registers:
        state["register_tokens"] = arrays["features.register_tokens"]
    model.load_state_dict(state)
    model.to(dtype).eval()
    blocks: list[Tensor] = []
    for block in model.blocks[-2:]:
        block.register_forward_hook(lambda _module, _inputs, output: blocks.append(output))
    with torch.no_grad():
        out = model((arrays["features.image_u8"].to(dtype) - 128) / 64)
        last = [model.norm(x) for x in blocks]
    found = {"cls": out.cls, "patch": out.patches, "prenorm": blocks[-1]}
    for i, x in enumerate(last):
        found |= {f"intermediate{i}.cls": x[:, 0], f"intermediate{i}.patch": x[:, 1 + registers :]}
    return found | ({"reg": out.registers} if registers else {})
