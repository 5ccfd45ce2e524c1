"""Which findings can be read from patch tokens, where a probe may look? Attention over patches, trained with torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raddino_probes._errors import ProbeError
from raddino_probes._findings import FindingsProbe, measured
from raddino_probes._head import AttentiveHead
from raddino_probes._linear import Choice, Fitted
from raddino_probes._resample import Array, Kind
from raddino_probes._split import Inputs
from raddino_probes._thresholds import auroc_of_columns

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int], None]


def probe_attentive(
    train: Inputs,
    val: Inputs,
    test: Inputs,
    *,
    heads: int = 4,
    learning_rates: Sequence[float] = (1e-3, 3e-3, 1e-2),
    epochs: int = 20,
    batch_size: int = 64,
    device: str = "cpu",
    metrics: Sequence[str] = ("auroc", "average_precision"),
    specificity: float = 0.9,
    replicates: int = 1000,
    seed: int = 0,
    kind: Kind = "percentile",
    progress: Progress | None = None,
) -> FindingsProbe:
    """Probe all findings by attention over patch tokens; learning rate and epoch are chosen on val for each finding.

    Each finding has a learnt query (`AttentiveHead`). All findings and learning rates share each pass over the tokens,
    which are standardised by those of train. AdamW with a cosine to zero; the same seed gives the same heads.

    Args:
        train: patch tokens (N, D, h, w) with targets; missing ones are NaN and left out, as in val and test.
        val: chooses.
        test: gives the scores.
        heads: of the attention.
        learning_rates: tried.
        epochs: passes over train, each a candidate.
        batch_size: images a step.
        device: of torch.
        metrics: as for `probe_findings`, and so are the following.
        specificity: that the threshold of "sensitivity" has on val.
        replicates: of the bootstrap by patient.
        seed: of heads, order and bootstrap.
        kind: of the intervals.
        progress: called with epochs done and all epochs.

    Raises:
        ProbeError: torch is not installed, tokens that aren't finite or of another shape, and as `probe_findings`.
    """
    check_torch("an attentive probe")
    for name, split in (("train", train), ("val", val), ("test", test)):
        if split.inputs.ndim != 4:
            raise ProbeError(f"{name}: expected patch tokens (N, D, h, w), got {split.inputs.shape}")

    def fit(alive: list[int]) -> Fitted:
        probe = _Probe(train, alive, heads, learning_rates, device, seed)
        return probe.fit(train, val, test, epochs, batch_size, progress)

    return measured(
        train, val, test, fit, method="attentive", metrics=metrics, specificity=specificity, replicates=replicates,
        seed=seed, kind=kind,
    )  # fmt: skip


def check_torch(what: str) -> None:
    """Refuse what takes gradients where there is no torch."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ProbeError(f"{what} needs torch; pip install 'raddino-probes[torch]'") from error


def batches(inputs: Any, rows: NDArray[np.intp], size: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Row numbers and their inputs, `size` at a time.

    Raises:
        ProbeError: NaN or infinity.
    """
    for start in range(0, len(rows), size):
        some = np.sort(rows[start : start + size])  # a memory map is read forwards
        values = np.asarray(inputs[some], np.float32)
        if not np.isfinite(values).all():
            bad = some[~np.isfinite(values.reshape(len(some), -1)).all(1)][0]
            raise ProbeError(f"inputs: expected finite numbers, got NaN or infinity in row {bad}; look at that image")
        yield some, values


def known_loss(odds: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of log odds (B, ..., L) and targets (B, L): the mean over known rows, summed over findings."""
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    targets = targets.view(len(targets), *[1] * (odds.ndim - 2), -1).expand_as(odds)
    known = ~targets.isnan()
    losses = cross_entropy(odds, targets.nan_to_num(), reduction="none") * known
    return (losses.sum(0) / known.sum(0).clamp_min(1)).sum()


class _Probe:
    """Heads of L findings at G learning rates, under way."""

    def __init__(
        self, train: Inputs, alive: list[int], heads: int, rates: Sequence[float], device: str, seed: int
    ) -> None:
        import torch

        self.alive, self.rates, self.device, self.rng = alive, rates, device, np.random.default_rng(seed)
        self.mean, self.deviation = _moments(train.inputs)
        length, self.length = len(alive), len(self.mean)
        base = np.nanmean(train.targets[:, alive], axis=0)
        # Queries start apart, or all heads would be one; weights start at zero, and so at the mean of the patches.
        query = torch.from_numpy(self.rng.normal(size=(length, heads, self.length)).astype(np.float32))
        start = (query, torch.zeros_like(query), torch.from_numpy(np.log(base / (1 - base)).astype(np.float32)))
        self.parts = [[part.clone().to(device).requires_grad_() for part in start] for _ in rates]
        groups = [{"params": parts, "lr": rate} for parts, rate in zip(self.parts, rates, strict=True)]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.01)

    def fit(
        self, train: Inputs, val: Inputs, test: Inputs, epochs: int, batch_size: int, progress: Progress | None
    ) -> Fitted:
        import torch

        targets = train.targets[:, self.alive].astype(np.float32)
        rows, steps = np.arange(len(train)), epochs * -(-len(train) // batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)
        best, choices = np.full(len(self.alive), -np.inf), [Choice() for _ in self.alive]
        on_val, kept = np.empty((len(val), len(self.alive))), [(np.empty(0), np.empty(0), 0.0)] * len(self.alive)
        for epoch in range(1, epochs + 1):
            for some, tokens in batches(train.inputs, self.rng.permutation(rows), batch_size):
                self.optimizer.zero_grad()
                known_loss(self._odds(tokens), torch.from_numpy(targets[some]).to(self.device)).backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                schedule.step()
            odds = self._all_odds(val, batch_size)
            for i, finding in enumerate(self.alive):
                known = ~np.isnan(val.targets[:, finding])
                values = auroc_of_columns(val.targets[known, finding], odds[known, :, i])
                at = int(np.argmax(values))
                if values[at] > best[i]:
                    best[i], on_val[:, i], kept[i] = values[at], odds[:, at, i], self._kept(at, i)
                    rate = float(self.rates[at])
                    choices[i] = {"features": "patches", "lr": rate, "epoch": epoch, "val_auroc": float(values[at])}
            if progress:
                progress(epoch, epochs)
        found = [AttentiveHead(*parts, self.mean, self.deviation) for parts in kept]
        return Fitted(choices, on_val, np.stack([head.log_odds(test.inputs) for head in found], 1), list(found))

    def _odds(self, tokens: NDArray[np.float32]) -> Tensor:
        """(B, G, L) of tokens (B, D, h, w)."""
        import torch

        flat = tokens.reshape(*tokens.shape[:2], -1)
        x = torch.from_numpy((flat - self.mean[:, None]) / self.deviation[:, None]).float().to(self.device)
        query, weight, bias = (torch.stack(parts) for parts in zip(*self.parts, strict=True))
        attention = torch.einsum("glhd,bdt->bglht", query, x).div(self.length**0.5).softmax(-1)
        values = torch.einsum("glhd,bdt->bglht", weight, x)
        return (attention * values).sum((-1, -2)) + bias

    def _all_odds(self, split: Inputs, batch_size: int) -> Array:
        import torch

        with torch.inference_mode():
            parts = [self._odds(tokens).cpu().numpy() for _, tokens in _in_order(split, batch_size)]
        return np.concatenate(parts).astype(np.float64)

    def _kept(self, at: int, finding: int) -> tuple[Array, Array, float]:
        query, weight, bias = (part[finding].detach().cpu().double().numpy() for part in self.parts[at])
        return query, weight, float(bias)


def _in_order(split: Inputs, batch_size: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    return batches(split.inputs, np.arange(len(split)), batch_size)


def _moments(tokens: Any) -> tuple[Array, Array]:
    """Mean and deviation (D,) over images and patches; the deviation of a constant channel is 1."""
    count, total, squares = 0, np.zeros(tokens.shape[1]), np.zeros(tokens.shape[1])
    for _, block in batches(tokens, np.arange(len(tokens)), 64):
        wide = block.astype(np.float64)
        count += block.size // block.shape[1]
        total += wide.sum((0, 2, 3))
        squares += (wide**2).sum((0, 2, 3))
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    deviation[deviation <= 1e-6 * np.abs(mean)] = 1.0
    deviation[deviation == 0] = 1.0
    return mean, deviation
