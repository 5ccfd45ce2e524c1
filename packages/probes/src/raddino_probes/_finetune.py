"""The hook for fine-tuning: any torch module from images to features is trained on with a linear layer, by findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from raddino_probes._attentive import Progress, batches, check_torch, known_loss
from raddino_probes._errors import ProbeError
from raddino_probes._findings import FindingsProbe, measured
from raddino_probes._head import Head, LinearHead
from raddino_probes._linear import Choice, Fitted
from raddino_probes._resample import Array, Kind
from raddino_probes._split import Inputs
from raddino_probes._thresholds import auroc_of_columns


def fine_tune(
    encoder: Any,
    train: Inputs,
    val: Inputs,
    test: Inputs,
    *,
    heads: Sequence[Head | None] = (),
    learning_rate: float = 1e-5,
    head_learning_rate: float = 1e-3,
    epochs: int = 10,
    batch_size: int = 32,
    device: str = "cpu",
    metrics: Sequence[str] = ("auroc", "average_precision"),
    specificity: float = 0.9,
    replicates: int = 1000,
    seed: int = 0,
    kind: Kind = "percentile",
    progress: Progress | None = None,
) -> FindingsProbe:
    """Train an encoder and a linear layer on findings together; the epoch is chosen on val, 0 being one of them.

    Begun at the heads of a linear probe, it first keeps what was learnt there (Kumar et al. 2022), and is no worse than
    these on val.

    Args:
        encoder: a `torch.nn.Module` from images (B, C, H, W) to features (B, D). It is trained in place, and left at
            the chosen epoch and in evaluation mode.
        train: images (N, C, H, W) as the encoder takes them; missing targets are NaN, as in val and test.
        val: chooses.
        test: gives the scores.
        heads: those of `probe_findings(...).heads` on the same features, in the order of the findings; else zeros.
        learning_rate: of the encoder, by AdamW with a cosine to zero.
        head_learning_rate: of the linear layer.
        epochs: passes over train.
        batch_size: images a step.
        device: of torch.
        metrics: as for `probe_findings`, and so are the following.
        specificity: that the threshold of "sensitivity" has on val.
        replicates: of the bootstrap by patient.
        seed: of order and bootstrap.
        kind: of the intervals.
        progress: called with epochs done and all epochs.

    Raises:
        ProbeError: torch is not installed, features that aren't (B, D), heads that don't fit, images that aren't
            finite, and as `probe_findings`.
    """
    check_torch("fine-tuning")

    def fit(alive: list[int]) -> Fitted:
        begun = [heads[i] if i < len(heads) else None for i in alive]
        tuned = _Tuned(encoder, train, alive, begun, (learning_rate, head_learning_rate), device)
        return tuned.fit(train, val, test, epochs, batch_size, np.random.default_rng(seed), progress)

    return measured(
        train, val, test, fit, method="fine-tuned", metrics=metrics, specificity=specificity, replicates=replicates,
        seed=seed, kind=kind,
    )  # fmt: skip


class _Tuned:
    """An encoder and its linear layer, under way."""

    def __init__(
        self,
        encoder: Any,
        train: Inputs,
        alive: list[int],
        begun: Sequence[Head | None],
        rates: tuple[float, float],
        device: str,
    ) -> None:
        import torch

        self.encoder, self.alive, self.device = encoder.to(device), alive, device
        length = self._length(train)
        self.layer = torch.nn.Linear(length, len(alive)).to(device)
        base = np.nanmean(train.targets[:, alive], axis=0)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.bias.copy_(torch.from_numpy(np.log(base / (1 - base))))
            for i, head in enumerate(begun):
                if head is not None:
                    if not isinstance(head, LinearHead) or len(head.weight) != length:
                        raise ProbeError(f"heads: expected linear heads on {length} features, got {head}")
                    scaled = head.weight / head.deviation
                    self.layer.weight[i] = torch.from_numpy(scaled)
                    self.layer.bias[i] = head.bias - float(head.mean @ scaled)
        groups = [
            {"params": part.parameters(), "lr": rate}
            for part, rate in zip((self.encoder, self.layer), rates, strict=True)
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.01)

    def fit(
        self,
        train: Inputs,
        val: Inputs,
        test: Inputs,
        epochs: int,
        batch_size: int,
        rng: np.random.Generator,
        progress: Progress | None,
    ) -> Fitted:
        import torch

        targets = train.targets[:, self.alive].astype(np.float32)
        steps = epochs * -(-len(train) // batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, max(steps, 1))
        best, at, state = self._auroc(val, self._odds(val, batch_size)), 0, self._state()
        for epoch in range(1, epochs + 1):
            self.encoder.train()
            for some, images in batches(train.inputs, rng.permutation(len(train)), batch_size):
                self.optimizer.zero_grad()
                odds = self.layer(self.encoder(torch.from_numpy(images).to(self.device)))
                known_loss(odds, torch.from_numpy(targets[some]).to(self.device)).backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                schedule.step()
            values = self._auroc(val, self._odds(val, batch_size))
            if values.mean() > best.mean():
                best, at, state = values, epoch, self._state()
            if progress:
                progress(epoch, epochs)
        for part, kept in zip((self.encoder, self.layer), state, strict=True):
            part.load_state_dict(kept)
        choices: list[Choice] = [{"features": "fine-tuned", "epoch": at, "val_auroc": float(v)} for v in best]
        return Fitted(choices, self._odds(val, batch_size), self._odds(test, batch_size), self._heads())

    def _length(self, train: Inputs) -> int:
        import torch

        self.encoder.eval()
        with torch.no_grad():
            _, images = next(batches(train.inputs, np.arange(1), 1))
            features = self.encoder(torch.from_numpy(images).to(self.device))
        if not isinstance(features, torch.Tensor) or features.ndim != 2:
            got = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise ProbeError(f"encoder: expected features (B, D), got {got}; wrap it in a module that returns these")
        return int(features.shape[1])

    def _odds(self, split: Inputs, batch_size: int) -> Array:
        import torch

        self.encoder.eval()
        with torch.no_grad():
            parts = [
                self.layer(self.encoder(torch.from_numpy(images).to(self.device))).double().cpu().numpy()
                for _, images in batches(split.inputs, np.arange(len(split)), batch_size)
            ]
        return np.concatenate(parts)

    def _auroc(self, val: Inputs, odds: Array) -> Array:
        found = []
        for i, finding in enumerate(self.alive):
            known = ~np.isnan(val.targets[:, finding])
            found.append(auroc_of_columns(val.targets[known, finding], odds[known, i : i + 1])[0])
        return np.array(found)

    def _state(self) -> list[dict[str, Any]]:
        parts = self.encoder, self.layer
        return [{name: value.detach().clone() for name, value in part.state_dict().items()} for part in parts]

    def _heads(self) -> list[Head | None]:
        weight, bias = (part.detach().cpu().double().numpy() for part in (self.layer.weight, self.layer.bias))
        zeros, ones = np.zeros(weight.shape[1]), np.ones(weight.shape[1])
        return [LinearHead("fine-tuned", w, float(b), zeros, ones) for w, b in zip(weight, bias, strict=True)]
