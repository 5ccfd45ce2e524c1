"""`pixels:<n>`: the picture itself as features, the floor under every table. Needs no weights."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from raddino_encoders._backbone import Backbone, Loaded, Pair
from raddino_encoders._errors import EncoderError
from raddino_encoders._preprocess import Preprocessing

_FORM = re.compile(r"(\d+)(?:@(\d+)/(\d+))?")


class _Pixels(Backbone):
    def __init__(self, n: int, patch: int) -> None:
        super().__init__()
        self._n, self._patch = n, patch

    def last(self, x: Tensor) -> Pair:
        rows, columns = (area_weights(side, self._n).to(x) for side in x.shape[-2:])
        flat = (rows @ x[:, 0] @ columns.T).flatten(1)
        std, mean = torch.std_mean(flat, dim=1, keepdim=True, correction=0)
        # Rounding leaves a flat image a deviation of about 1e-7, which must not be blown up to 1.
        cls = torch.where(std > 1e-6, (flat - mean) / std.clamp_min(1e-6), torch.zeros_like(flat))
        return cls, torch.nn.functional.pixel_unshuffle(x, self._patch)


def load_pixels(spec: str, argument: str) -> Loaded:
    """An encoder whose class token is the n x n picture and whose patch tokens are raw pixels.

    Class token (B, n*n): the input averaged over n x n equal areas, standardised per image (a flat image gives zeros).
    Patch tokens (B, p*p, S/p, S/p): each patch's pixels in [0, 1], row by row.

    Args:
        spec: the whole spec, for messages.
        argument: "<n>" or "<n>@<image size>/<patch size>"; 224/14 by default.

    Raises:
        EncoderError: another form, n outside 1..S, S not a multiple of p.
    """
    match = _FORM.fullmatch(argument)
    if not match:
        raise EncoderError(f"{spec!r}: expected pixels:<n> or pixels:<n>@<image size>/<patch size>, got {argument!r}")
    n, size, patch = int(match[1]), int(match[2] or 224), int(match[3] or 14)
    if patch < 1 or size < 1 or size % patch:
        raise EncoderError(f"{spec!r}: expected an image size that is a multiple of the patch size, got {size}/{patch}")
    if not 1 <= n <= size:
        raise EncoderError(f"{spec!r}: expected n from 1 to the image size {size}, got {n}")
    preprocessing = Preprocessing(size, mean=(0.0,), std=(1.0,))
    return Loaded(_Pixels(n, patch), preprocessing, embed_dim=n * n, patch_size=patch, exact=True)


def area_weights(size: int, n: int) -> Tensor:
    """(n, size) float32: row i averages the i-th of n equal intervals of `size` pixels, cut pixels in part."""
    edges = torch.arange(n + 1, dtype=torch.float64) * size / n
    pixel = torch.arange(size, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return (overlap.clamp_min(0) * n / size).float()
