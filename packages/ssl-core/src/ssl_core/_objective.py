"""DINO + iBOT + KoLeo: student, teacher and the loss between them (Oquab et al. 2023, section 4)."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ssl_core._backbone import Backbone
from ssl_core._batches import Batch
from ssl_core._config import HeadConfig, LossConfig
from ssl_core._cross_entropy import prototype_cross_entropy
from ssl_core._gram import gram_loss
from ssl_core._head import DINOHead
from ssl_core._losses import koleo
from ssl_core._targets import Centre, Logits, Targets, sinkhorn_bias


class Network(nn.Module):
    """A backbone with its head or heads."""

    def __init__(self, backbone: Backbone, head: HeadConfig) -> None:
        super().__init__()
        dim = backbone.embed_dim

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

    def __init__(self, backbone: Backbone, head: HeadConfig, loss: LossConfig) -> None:
        super().__init__()
        self.loss = loss
        self.student = Network(backbone, head)
        self.teacher = copy.deepcopy(self.student)
        self.teacher.requires_grad_(False)
        whole = cast(nn.Module, self.teacher.backbone)
        self.anchor = copy.deepcopy(whole) if loss.gram_weight else None
        self._anchored = False
        self.compiled = False
        """Whether the losses over prototypes are."""
        self.dino_centre = Centre(head.prototypes, loss.centre_momentum)
        self.ibot_centre = Centre(head.ibot_prototypes or head.prototypes, loss.centre_momentum)
        self.train()

    def train(self, mode: bool = True) -> SelfDistillation:
        """Only the student ever trains: the teacher has no drop path."""
        super().train(mode)
        self.teacher.eval()
        if self.anchor is not None:
            self.anchor.eval()
        return self

    def _targets(self, head: DINOHead, tokens: Tensor, centre: Centre, temperature: float) -> Targets:
        logits = Logits(head.project(tokens), head.last_layer())
        sinkhorn = self.loss.centring == "sinkhorn_knopp"
        bias = sinkhorn_bias(logits, temperature) if sinkhorn else centre.bias(logits, temperature)
        return Targets(logits, temperature, bias)

    @torch.no_grad()
    def teach(self, batches: Sequence[Batch], temperature: float) -> list[tuple[Targets, Targets]]:
        """Targets of the 2B class tokens and the M masked patches of each micro-batch, from unmasked global crops.

        Centring and Sinkhorn-Knopp are over all of them, as if they were one batch.
        """
        teacher = self.teacher
        classes, patches = [], []
        for batch in batches:
            seen = teacher.backbone(batch.global_crops)
            classes.append(seen.cls)
            patches.append(seen.patches.flatten(0, 1)[batch.masked])
        of_classes = self._targets(teacher.dino_head, torch.cat(classes), self.dino_centre, temperature)
        of_patches = self._targets(teacher.patch_head, torch.cat(patches), self.ibot_centre, temperature)
        sizes = [len(c) for c in classes], [len(p) for p in patches]
        return list(zip(of_classes.split(sizes[0]), of_patches.split(sizes[1]), strict=True))

    def forward(
        self, batch: Batch, teacher_temperature: float, targets: tuple[Targets, Targets] | None = None
    ) -> dict[str, Tensor]:
        """One loss evaluation.

        Args:
            batch: on the device of the model.
            teacher_temperature: of the targets.
            targets: from `teach`, where the batch is one of several that make up a step.

        Returns:
            The terms `dino_global`, `dino_local`, `ibot`, `koleo`, `gram` as they enter the sum, unweighted; their
            weighted sum `loss`, whose gradient is the training gradient; `teacher_entropy` of the class targets, in
            nats.
        """
        crops, settings = 2, self.loss
        images = len(batch.global_crops) // crops
        locals_ = len(batch.local_crops) // images
        terms_count = crops + crops * locals_
        masked = batch.masked
        cls_targets, patch_targets = targets or self.teach([batch], teacher_temperature)[0]

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
        cross_entropy = functools.partial(prototype_cross_entropy, temperature=temperature, compiled=self.compiled)
        dino_global = cross_entropy(rows[0], prototypes, swapped, alike.expand(crops * images))
        # Sum over both teachers first: sum_t CE(t, s) = CE(t0 + t1, s).
        both = cls_target.reshape(crops, images, -1).sum(dim=0).repeat(locals_, 1)
        dino_local = cross_entropy(rows[1], prototypes, both, alike.expand(locals_ * images))
        # Each masked crop counts alike whatever its mask's size; the sum is divided by ALL global crops, also the
        # unmasked, as in dinov2, so the effective weight is about the masking probability.
        per_crop = 1.0 / (batch.masks.sum(dim=1).clamp(min=1).to(cls_target.dtype) * len(batch.masks))
        weights = per_crop[masked // batch.masks.shape[1]]
        ibot = cross_entropy(rows[2], patch_prototypes, patch_targets, weights)
        terms = {"dino_global": dino_global, "dino_local": dino_local, "ibot": ibot}
        loss = settings.dino_weight * (dino_global + dino_local) + settings.ibot_weight * ibot
        if settings.koleo_weight:
            # Over each crop's images alone: two views of one image must stay close.
            terms["koleo"] = torch.stack([koleo(c) for c in seen.cls.chunk(crops)]).sum()
            loss = loss + settings.koleo_weight * terms["koleo"]
        if self.anchor is not None and self._anchored:
            with torch.no_grad():
                held = self.anchor(batch.global_crops).patches
            terms["gram"] = gram_loss(seen.patches, held)
            loss = loss + settings.gram_weight * terms["gram"]
        entropy = -(cls_target * cls_target.clamp_min(1e-30).log()).sum(dim=1).mean()
        return {**terms, "loss": loss, "teacher_entropy": entropy}

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """The teacher's class tokens (B, D) of normalised images (B, C, H, W)."""
        return self.teacher.backbone(images).cls

    @torch.no_grad()
    def renew_anchor(self, step: int) -> None:
        """Before a step: the anchor becomes the teacher whenever that is due; before `gram_start` there is none."""
        since = step - self.loss.gram_start
        self._anchored = self.anchor is not None and since >= 0
        if self.anchor is not None and self._anchored and since % self.loss.gram_every == 0:
            teacher = cast(nn.Module, self.teacher.backbone)
            for mine, its in zip(_tensors(self.anchor), _tensors(teacher), strict=True):
                mine.copy_(its)

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Teacher = momentum * teacher + (1 - momentum) * student, in their own precision; buffers are copied."""
        teacher = cast(list[Tensor], list(self.teacher.parameters()))
        student = cast(list[Tensor], list(self.student.parameters()))
        torch._foreach_lerp_(teacher, student, 1 - momentum)
        for mine, its in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            mine.copy_(its)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
