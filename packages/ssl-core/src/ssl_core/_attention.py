"""Self-attention behind one function, so that back-ends can be exchanged and forced in tests.

`sdpa` is torch's scaled_dot_product_attention and runs on any device; `plain` writes the formula out, is the yardstick
for the others, and is what few tokens on a CPU want. `varlen` and `xformers` lay the images of a batch one after the
other in a single sequence and keep them apart by their lengths; they run on CUDA, and neither is imported unless it is
asked for.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

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


def _pack(x: Tensor) -> Tensor:
    """(b, h, n, d) to one sequence (b * n, h, d)."""
    return x.transpose(1, 2).flatten(0, 1)


def _unpack(x: Tensor, like: Tensor) -> Tensor:
    images, _, tokens, _ = like.shape
    return x.reshape(images, tokens, *x.shape[1:]).transpose(1, 2)


def _varlen(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    images, _, tokens, _ = q.shape
    starts = torch.arange(images + 1, device=q.device, dtype=torch.int32) * tokens
    mixed: Tensor = varlen_attn(_pack(q), _pack(k), _pack(v), starts, starts, tokens, tokens)  # type: ignore[assignment]
    return _unpack(mixed, q)


@functools.lru_cache(maxsize=16)
def block_diagonal(images: int, tokens: int) -> Any:
    """Xformers' mask that keeps `images` of `tokens` each apart in one sequence.

    Raises:
        SslError: xformers is not installed.
    """
    try:
        from xformers.ops.fmha.attn_bias import BlockDiagonalMask
    except ImportError as error:
        raise SslError("expected xformers for this attention; pip install 'ssl-core[xformers]', or use sdpa") from error
    return BlockDiagonalMask.from_seqlens([tokens] * images)


def _xformers(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    bias = block_diagonal(q.shape[0], q.shape[2])
    from xformers.ops import memory_efficient_attention

    return _unpack(memory_efficient_attention(*(_pack(x)[None] for x in (q, k, v)), attn_bias=bias)[0], q)


BACKENDS: dict[str, Backend] = {"sdpa": _sdpa, "plain": _plain, "varlen": _varlen, "xformers": _xformers}
_ANYWHERE = ("sdpa", "plain")
_forced: list[str] = []
_FEW = 256  # tokens: up to here the formula is as fast on a CPU in float32, and several times faster in bfloat16


def attention(
    q: Float[Tensor, "b h n d"], k: Float[Tensor, "b h n d"], v: Float[Tensor, "b h n d"]
) -> Float[Tensor, "b h n d"]:
    """Softmax(q k^T / sqrt(d)) v over n tokens in h heads (Vaswani et al. 2017, section 3.2.1).

    Raises:
        SslError: a forced back-end that has no operator for the tensors' device.
    """
    if _forced:
        name = _forced[-1]
        if name not in _ANYWHERE and not q.is_cuda:
            raise SslError(f"attention {name!r} runs on CUDA, got tensors on {q.device.type}; use sdpa or plain")
        return BACKENDS[name](q, k, v)
    few = q.device.type == "cpu" and q.shape[-2] <= _FEW
    return BACKENDS["plain" if few else "sdpa"](q, k, v)


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
