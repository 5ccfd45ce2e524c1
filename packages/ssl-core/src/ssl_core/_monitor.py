"""Numbers that tell learning from collapse."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_core._config import Config

if TYPE_CHECKING:
    from jaxtyping import Float

_UNIFORM = 0.999  # of ln(prototypes): targets that tell nothing
_ONE_HOT = 0.01  # nats: targets that are all the same prototype, or each image's own
_FEW_DIRECTIONS = 1.5


def _effective_rank(values: Tensor) -> float:
    p = values / values.sum().clamp_min(1e-12) + 1e-7
    return float(torch.exp(-(p * p.log()).sum()))


@torch.no_grad()
def rankme(features: Float[Tensor, "n d"]) -> float:
    """Effective rank: exp of the entropy of normalised singular values, 1 to min(n, d) (Garrido et al. 2023, eq. 2)."""
    return _effective_rank(torch.linalg.svdvals(features.double()))


@torch.no_grad()
def lidar(features: Float[Tensor, "v n d"], delta: float = 1e-4) -> float:
    """Effective rank of what tells images apart, relative to how their views differ (Thilak et al. 2023, section 4).

    Linear discriminant analysis with an image as a class and its v >= 2 views as samples; 1 to min(n, d).
    """
    x = features.double()
    centres = x.mean(dim=0)
    between = torch.cov(centres.T)
    spread = (x - centres).flatten(0, 1)
    within = spread.T @ spread / (len(spread) - 1) + delta * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    values, vectors = torch.linalg.eigh(within)
    whiten = vectors * values.rsqrt() @ vectors.T
    return _effective_rank(torch.linalg.eigvalsh(whiten @ between @ whiten).clamp_min(0))


def collapse_signs(row: Mapping[str, float], prototypes: int) -> dict[str, str]:
    """What in a row of metrics speaks of collapse, by sign in words; empty while there is something to learn from."""
    signs, entropy, most = {}, row["teacher_entropy"], math.log(prototypes)
    if entropy > _UNIFORM * most:
        signs["uniform"] = (
            f"the teacher's targets are uniform over prototypes (entropy {entropy:.3f} of {most:.3f}): "
            "lower loss.teacher_temperature, or use fewer head.prototypes"
        )
    if entropy < _ONE_HOT:
        signs["one-hot"] = (
            f"the teacher's targets are one-hot (entropy {entropy:.4f}): raise loss.teacher_temperature, "
            "or use loss.centring=sinkhorn_knopp"
        )
    if row["rankme"] < _FEW_DIRECTIONS:
        signs["rank"] = (
            f"class tokens lie in one direction (effective rank {row['rankme']:.2f}): "
            "lower optim.base_lr or raise loss.koleo_weight"
        )
    return signs


def advice(config: Config, images: int) -> list[str]:
    """What is unusual about a run before it starts, in words."""
    batch, found = config.train.batch_size, []
    if config.loss.koleo_weight and batch < 16:
        found.append(
            f"KoLeo spreads the {batch} images of a batch only: with fewer than 16 its pull is mostly noise; "
            "raise train.batch_size or lower loss.koleo_weight"
        )
    if batch < 64:
        found.append(
            f"the learning rate is optim.base_lr * sqrt({batch} / 1024), a rule made for large batches: "
            "below 64 images try several optim.base_lr"
        )
    if images < 1000:
        found.append(
            f"{images} images are few to learn from without labels: prefer weights to start from, "
            "and watch knn or a probe rather than the loss"
        )
    if config.head.prototypes > 20 * images:
        found.append(
            f"{config.head.prototypes} prototypes for {images} images: most can't be used; lower head.prototypes"
        )
    return found


def peak_memory(device: torch.device) -> float:
    """The most memory held so far, in GiB: of the device, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
