"""A probe on the way: do an image's nearest neighbours share its class?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core._batches import Images
from ssl_core._config import CropConfig
from ssl_core._distort import normalise
from ssl_core._images import to_unit
from ssl_core._sizes import Size, per_axis

if TYPE_CHECKING:
    from jaxtyping import Float

_MOST = 1000


@dataclass(frozen=True)
class Labels:
    """A class from 0 for each image, -1 where unknown; and the group it belongs to, its patient for instance."""

    classes: Sequence[int]
    groups: Sequence[object] | None = None


def knn_accuracy(
    features: Float[Tensor, "n d"], labels: Labels, *, neighbours: int = 20, temperature: float = 0.07
) -> float:
    """Balanced accuracy of a vote of the nearest by cosine, none of the image's own group among them.

    Votes are weighted by exp(cosine / temperature) as in DINO (Caron et al. 2021, section 4.2.1). NaN with one class.
    """
    classes = torch.as_tensor(labels.classes, device=features.device)
    ids = {group: i for i, group in enumerate(dict.fromkeys(labels.groups or range(len(classes))))}
    groups = torch.tensor([ids[group] for group in labels.groups or range(len(classes))], device=features.device)
    count = int(classes.max()) + 1
    x = F.normalize(features.float(), dim=1)
    cosine = (x @ x.T).masked_fill(groups[:, None] == groups[None], -torch.inf)
    near, index = cosine.topk(min(neighbours, len(x) - 1), dim=1)
    votes = torch.zeros(len(x), count, device=x.device).scatter_add_(1, classes[index], (near / temperature).exp())
    right = votes.argmax(dim=1) == classes
    found = [right[classes == c].float().mean() for c in range(count) if (classes == c).any()]
    return float(torch.stack(found).mean()) if len(found) > 1 else float("nan")


def _resized(image: Tensor, size: Size) -> Tensor:
    axes = image.ndim - 2
    if axes == 3:
        return F.interpolate(image, per_axis(size, axes), mode="trilinear")
    return F.interpolate(image, per_axis(size, axes), mode="bilinear", antialias=True)


@torch.no_grad()
def probe(
    embed: Callable[[Tensor], Tensor], images: Images, labels: Labels, crops: CropConfig, device: torch.device
) -> float:
    """`knn_accuracy` of what `embed` gives of up to 1,000 labelled images, whole, at the size of use."""
    known = [i for i, c in enumerate(labels.classes) if c >= 0]
    chosen = known[:: max(1, len(known) // _MOST)][:_MOST]
    size = crops.encode_size or crops.global_size
    tokens = []
    for start in range(0, len(chosen), 64):
        units = [to_unit(images[i].to(device))[None] for i in chosen[start : start + 64]]
        small = [_resized(unit, size) for unit in units]
        tokens.append(embed(normalise(torch.cat(small), crops)))
    groups = None if labels.groups is None else [labels.groups[i] for i in chosen]
    return knn_accuracy(torch.cat(tokens), Labels([labels.classes[i] for i in chosen], groups))
