"""Self-attention behind one function, so that back-ends can be exchanged and forced in tests.

`sdpa` is torch's scaled_dot_product_attention and runs on any device; `plain` writes the formula out, is the yardstick
for the others, and is what few tokens on a CPU want. Other back-ends register here; none of them is imported unless it
is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core._errors import SslError

if TYPE_CHECKING:
    from jaxtyping import Float

Backend = Callable[[Tensor, Tensor, Tensor], Tensor]


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return torch.softmax(weights, dim=-1) @ v


BACKENDS: dict[str, Backend] = {"sdpa": _sdpa, "plain": _plain}
_forced: list[str] = []
_FEW = 256  # tokens: up to here the formula is as fast on a CPU in float32, and several times faster in bfloat16


def attention(
    q: Float[Tensor, "b h n d"], k: Float[Tensor, "b h n d"], v: Float[Tensor, "b h n d"]
) -> Float[Tensor, "b h n d"]:
    """Softmax(q k^T / sqrt(d)) v over n tokens in h heads (Vaswani et al. 2017, section 3.2.1)."""
    few = q.device.type == "cpu" and q.shape[-2] <= _FEW
    return BACKENDS[_forced[-1] if _forced else "plain" if few else "sdpa"](q, k, v)


@contextlib.contextmanager
def force_attention(backend: str) -> Iterator[None]:
    """Use one back-end within a `with` block; SslError names those that exist."""
    if backend not in BACKENDS:
        raise SslError(f"expected an attention back-end of {sorted(BACKENDS)}, got {backend!r}")
    _forced.append(backend)
    try:
        yield
    finally:
        _forced.pop()
