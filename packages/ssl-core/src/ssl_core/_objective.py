"""DINO + iBOT + KoLeo: student, teacher and the loss between them (Oquab et al. 2023, section 4).

Batches are crop-major: global crop i of image b is row i*B + b, and likewise local crops and masks.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from ssl_core._config import HeadConfig, LossConfig
from ssl_core._head import DINOHead
from ssl_core._losses import Centre, cross_entropy, koleo, sinkhorn_knopp
from ssl_core._vit import VisionTransformer

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Batch:
    """What one step sees, on one device."""

    global_crops: Float[Tensor, "g c H W"]
    local_crops: Float[Tensor, "l c h w"]
    masks: Bool[Tensor, "g n"]


class Network(nn.Module):
    """A backbone with its head or heads."""

    def __init__(self, backbone: VisionTransformer, head: HeadConfig) -> None:
        super().__init__()
        dim = backbone.config.embed_dim

        def build() -> DINOHead:
            return DINOHead(dim, head.prototypes, head.hidden, head.bottleneck, head.layers)

        self.backbone = backbone
        self.dino_head = build()
        self.ibot_head = build() if head.separate else None

    def project_patches(self, tokens: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """Logits of patch tokens, by the shared head unless there is one of their own."""
        head = self.dino_head if self.ibot_head is None else self.ibot_head
        return cast(Tensor, head(tokens))


class SelfDistillation(nn.Module):
    """Student and EMA teacher with the training loss."""

    def __init__(self, backbone: VisionTransformer, head: HeadConfig, loss: LossConfig) -> None:
        super().__init__()
        self.loss = loss
        self.student = Network(backbone, head)
        self.teacher = copy.deepcopy(self.student)
        self.teacher.requires_grad_(False)
        self.dino_centre = Centre(head.prototypes, loss.centre_momentum)
        self.ibot_centre = Centre(head.prototypes, loss.centre_momentum)
        self.train()

    def train(self, mode: bool = True) -> SelfDistillation:
        """Only the student ever trains: the teacher has no drop path."""
        super().train(mode)
        self.teacher.eval()
        return self

    def _targets(self, logits: Tensor, centre: Centre, temperature: float) -> Tensor:
        sinkhorn = self.loss.centring == "sinkhorn_knopp"
        targets: Tensor = sinkhorn_knopp(logits, temperature) if sinkhorn else centre.targets(logits, temperature)
        return targets

    @torch.no_grad()
    def teach(self, batch: Batch, masked: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Targets for class tokens (2B, K) and for masked patches (M, K), from unmasked global crops."""
        features = self.teacher.backbone(batch.global_crops)
        cls = self._targets(self.teacher.dino_head(features.cls), self.dino_centre, temperature)
        tokens = features.patches.flatten(0, 1)[masked]
        return cls, self._targets(self.teacher.project_patches(tokens), self.ibot_centre, temperature)

    def forward(self, batch: Batch, teacher_temperature: float) -> dict[str, Tensor]:
        """One loss evaluation.

        Returns:
            The terms `dino_global`, `dino_local`, `ibot`, `koleo` as they enter the sum, unweighted; their weighted
            sum `loss`, whose gradient is the training gradient; `teacher_entropy` of the class targets, in nats.
        """
        crops, settings = 2, self.loss
        images = len(batch.global_crops) // crops
        locals_ = len(batch.local_crops) // images
        terms_count = crops + crops * locals_
        masked = batch.masks.flatten().nonzero().squeeze(1)
        cls_target, patch_target = self.teach(batch, masked, teacher_temperature)

        seen = self.student.backbone(batch.global_crops, batch.masks)
        local = self.student.backbone(batch.local_crops).cls if locals_ else seen.cls[:0]
        tokens = seen.patches.flatten(0, 1)[masked]
        if self.student.ibot_head is None:
            logits = self.student.dino_head(torch.cat((seen.cls, local, tokens)))
            sizes = [len(seen.cls), len(local), len(tokens)]
            global_logits, local_logits, patch_logits = logits.split(sizes)
        else:
            global_logits, local_logits = self.student.dino_head(torch.cat((seen.cls, local))).split(
                [len(seen.cls), len(local)]
            )
            patch_logits = self.student.project_patches(tokens)

        temperature = settings.student_temperature
        # Crop i is matched to the teacher's view of the other crop.
        swapped = cls_target.roll(images, dims=0)
        dino_global = cross_entropy(swapped, global_logits, temperature).sum() / images / terms_count
        # Sum over both teachers first: sum_t CE(t, s) = CE(t0 + t1, s).
        both = cls_target.reshape(crops, images, -1).sum(dim=0).repeat(locals_, 1)
        dino_local = cross_entropy(both, local_logits, temperature).sum() / images / terms_count
        # Each masked crop counts alike whatever its mask's size; the sum is divided by ALL global crops, also the
        # unmasked, as in dinov2, so the effective weight is about the masking probability.
        weight = (1.0 / batch.masks.sum(dim=1).clamp(min=1).to(patch_target.dtype))[masked // batch.masks.shape[1]]
        ibot = (cross_entropy(patch_target, patch_logits, temperature) * weight).sum() / len(batch.masks)
        terms = {"dino_global": dino_global, "dino_local": dino_local, "ibot": ibot}
        loss = settings.dino_weight * (dino_global + dino_local) + settings.ibot_weight * ibot
        if settings.koleo_weight:
            # Over each crop's images alone: two views of one image must stay close.
            terms["koleo"] = torch.stack([koleo(c) for c in seen.cls.split(images)]).sum()
            loss = loss + settings.koleo_weight * terms["koleo"]
        entropy = -(cls_target * cls_target.clamp_min(1e-30).log()).sum(dim=1).mean()
        return {**terms, "loss": loss, "teacher_entropy": entropy}

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Teacher = momentum * teacher + (1 - momentum) * student, parameters only, in their own precision."""
        teacher = cast(list[Tensor], list(self.teacher.parameters()))
        student = cast(list[Tensor], list(self.student.parameters()))
        torch._foreach_lerp_(teacher, student, 1 - momentum)
