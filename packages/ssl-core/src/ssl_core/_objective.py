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
from ssl_core._cross_entropy import prototype_cross_entropy
from ssl_core._head import DINOHead
from ssl_core._losses import koleo
from ssl_core._targets import Centre, Logits, Targets, sinkhorn_bias
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

        def build(prototypes: int, bottleneck: int) -> DINOHead:
            return DINOHead(dim, prototypes or head.prototypes, head.hidden, bottleneck or head.bottleneck, head.layers)

        self.backbone = backbone
        self.dino_head = build(head.prototypes, head.bottleneck)
        self.ibot_head = build(head.ibot_prototypes, head.ibot_bottleneck) if head.separate else None

    @property
    def patch_head(self) -> DINOHead:
        """The head of patch tokens: the shared one unless there is one of their own."""
        return self.dino_head if self.ibot_head is None else self.ibot_head


class SelfDistillation(nn.Module):
    """Student and EMA teacher with the training loss."""

    def __init__(self, backbone: VisionTransformer, head: HeadConfig, loss: LossConfig) -> None:
        super().__init__()
        self.loss = loss
        self.student = Network(backbone, head)
        self.teacher = copy.deepcopy(self.student)
        self.teacher.requires_grad_(False)
        self.dino_centre = Centre(head.prototypes, loss.centre_momentum)
        self.ibot_centre = Centre(head.ibot_prototypes or head.prototypes, loss.centre_momentum)
        self.train()

    def train(self, mode: bool = True) -> SelfDistillation:
        """Only the student ever trains: the teacher has no drop path."""
        super().train(mode)
        self.teacher.eval()
        return self

    def _targets(self, head: DINOHead, tokens: Tensor, centre: Centre, temperature: float) -> Targets:
        logits = Logits(head.project(tokens), head.last_layer())
        sinkhorn = self.loss.centring == "sinkhorn_knopp"
        bias = sinkhorn_bias(logits, temperature) if sinkhorn else centre.bias(logits, temperature)
        return Targets(logits, temperature, bias)

    @torch.no_grad()
    def teach(self, batch: Batch, masked: Tensor, temperature: float) -> tuple[Targets, Targets]:
        """Targets of the 2B class tokens and of the M masked patches, from unmasked global crops."""
        teacher, features = self.teacher, self.teacher.backbone(batch.global_crops)
        tokens = features.patches.flatten(0, 1)[masked]
        return (
            self._targets(teacher.dino_head, features.cls, self.dino_centre, temperature),
            self._targets(teacher.patch_head, tokens, self.ibot_centre, temperature),
        )

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
        cls_targets, patch_targets = self.teach(batch, masked, teacher_temperature)

        seen = self.student.backbone(batch.global_crops, batch.masks)
        local = self.student.backbone(batch.local_crops).cls if locals_ else seen.cls[:0]
        tokens = seen.patches.flatten(0, 1)[masked]
        if self.student.ibot_head is None:
            sizes = [len(seen.cls), len(local), len(tokens)]
            rows = self.student.dino_head.project(torch.cat((seen.cls, local, tokens))).split(sizes)
            prototypes = patch_prototypes = self.student.dino_head.last_layer()
        else:
            rows = (
                *self.student.dino_head.project(torch.cat((seen.cls, local))).split([len(seen.cls), len(local)]),
                self.student.ibot_head.project(tokens),
            )
            prototypes, patch_prototypes = self.student.dino_head.last_layer(), self.student.ibot_head.last_layer()

        temperature = settings.student_temperature
        cls_target = cls_targets[:]
        alike = cls_target.new_full((1,), 1 / (images * terms_count))
        # Crop i is matched to the teacher's view of the other crop.
        swapped = cls_target.roll(images, dims=0)
        dino_global = prototype_cross_entropy(rows[0], prototypes, swapped, alike.expand(crops * images), temperature)
        # Sum over both teachers first: sum_t CE(t, s) = CE(t0 + t1, s).
        both = cls_target.reshape(crops, images, -1).sum(dim=0).repeat(locals_, 1)
        dino_local = prototype_cross_entropy(rows[1], prototypes, both, alike.expand(locals_ * images), temperature)
        # Each masked crop counts alike whatever its mask's size; the sum is divided by ALL global crops, also the
        # unmasked, as in dinov2, so the effective weight is about the masking probability.
        per_crop = 1.0 / (batch.masks.sum(dim=1).clamp(min=1).to(cls_target.dtype) * len(batch.masks))
        weights = per_crop[masked // batch.masks.shape[1]]
        ibot = prototype_cross_entropy(rows[2], patch_prototypes, patch_targets, weights, temperature)
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
