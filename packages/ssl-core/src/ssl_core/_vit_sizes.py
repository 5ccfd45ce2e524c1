"""Encoders by name, with the numbers of dinov2 (Oquab et al. 2023, table 16; its small and base of Touvron et al.)."""

from __future__ import annotations

from typing import Any

from ssl_core._errors import SslError
from ssl_core._vit import VisionTransformer, ViTConfig

SIZES: dict[str, dict[str, Any]] = {
    "small": {"embed_dim": 384, "depth": 12, "num_heads": 6},
    "base": {"embed_dim": 768, "depth": 12, "num_heads": 12},
    "large": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
    "giant": {"embed_dim": 1536, "depth": 40, "num_heads": 24, "ffn": "swiglu"},
}


def vit(size: str, **changes: Any) -> VisionTransformer:
    """A fresh encoder of a size of `SIZES`; other fields of `ViTConfig` by keyword, such as `patch_size=16`.

    Raises:
        SslError: a size that is not in the table.
    """
    if size not in SIZES:
        raise SslError(f"expected a size of {', '.join(SIZES)}, got {size!r}")
    return VisionTransformer(ViTConfig(**SIZES[size] | changes))
