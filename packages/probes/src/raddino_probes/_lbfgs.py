"""L-BFGS for many logistic regressions side by side (Nocedal & Wright 2006, section 7.2).

All heads take each step together, with two matrix products for all of them; a head that has arrived stays behind. In
the basis of the features' principal axes the inverse of the mean curvature is a diagonal, and the steps start from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raddino_probes._errors import ProbeError
from raddino_probes._resample import Array

_MEMORY = 8  # steps and changes of gradient that are kept
_STEPS = 1000
_RENEW = 20  # steps after which the curvature that they start from is measured anew
_TOLERANCE = 1e-14  # what a step may still gain, in nats over all rows
_PATIENCE = 200  # steps; then rounding keeps a head from the tolerance, and the next will do: no score notices it
_ENOUGH = 1e-6
_HALVINGS = 30  # of one step: a head that has arrived may go uphill by rounding, however short it is
_TINY = 1e-300


def minimise(z: Array, squares: Array, targets: Array, penalties: Array) -> Array:
    """Coefficients (r + 1, L * P), the bias last, of all labels at all penalties.

    Args:
        z: (N, r + 1) rows in their principal axes, then a column of ones.
        squares: (r,) sums of squares of the columns of `z`.
        targets: (N, L) of 0, 1 and NaN, both classes in each column.
        penalties: (P,) on |w|^2 / 2.

    Raises:
        ProbeError: no convergence.
    """
    each = len(penalties)
    known = ~np.isnan(targets)
    base = np.nanmean(targets, axis=0)
    penalty = np.zeros((z.shape[1], known.shape[1] * each))
    penalty[:-1] = np.tile(penalties, known.shape[1])
    curvature = np.repeat(base * (1 - base) * known.mean(0), each)
    scale = 1 / (np.append(squares, len(z))[:, None] * curvature + penalty)
    w = np.zeros_like(penalty)
    w[-1] = np.repeat(np.log(base / (1 - base)), each)
    heads = _Heads(z, np.repeat(targets, each, 1), penalty, scale, w)
    found, where = w.copy(), np.arange(w.shape[1])
    for step in range(1, _STEPS + 1):
        done = heads.gain() <= (_TOLERANCE if step <= _PATIENCE else _ENOUGH)
        # To leave heads behind costs a copy of the rest: not for a few.
        if done.mean() > 0.2:
            found[:, where[done]] = heads.w[:, done]
            where = where[~done]
            if not where.size:
                return found
            heads.keep(~done)
        heads.step()
        if step % _RENEW == 0:
            heads.renew()
    raise ProbeError(
        f"expected every head to converge in {_STEPS} steps, {where.size} did not; standardise the features"
    )


class _Heads:
    """Heads under way. Arrays are (N, H) by row and (r + 1, H) by coefficient; the large ones are changed in place."""

    def __init__(self, z: Array, targets: Array, penalty: Array, scale: Array, w: Array) -> None:
        self.z, self.penalty, self.scale, self.w = z, penalty, scale, w
        known = ~np.isnan(targets)
        self.half = 0.5 * known
        self.offset = np.where(known, 0.5 - targets, 0)
        self.odds = z @ w
        self.past: list[tuple[Array, Array, Array]] = []
        self._look()

    def gain(self) -> Array:
        """About how far above its minimum each loss is (H,)."""
        gain: Array = 0.5 * np.einsum("ij,ij,ij->j", self.g, self.g, self.scale)
        return gain

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Go on with some heads only."""
        for name in ("half", "offset", "penalty", "scale", "w", "odds", "tanh", "g"):
            setattr(self, name, getattr(self, name)[:, which])
        self.past = [(s[:, which], v[:, which], rho[which]) for s, v, rho in self.past]

    def renew(self) -> None:
        """Measure the curvature along each axis: near separable labels it falls a hundredfold."""
        curvature = 0.5 * self.half * (1 - self.tanh**2)
        self.scale = 1 / np.maximum((self.z**2).T @ curvature + self.penalty, _TINY)

    def step(self) -> None:
        """One step of every head along its own direction."""
        direction = self._direction()
        along = self.z @ direction
        slope, w, g = _dot(self.g, direction), self.w, self.g
        size = -slope / np.maximum(self._bend(along) + _dot(self.penalty * direction, direction), _TINY)
        change = size
        for _ in range(_HALVINGS):
            self.odds += change * along
            self.w = w + size * direction
            self._look()
            # The loss is convex along the line: an uphill slope this steep means a step far beyond the minimum.
            beyond = _dot(self.g, direction) > 0.5 * np.abs(slope)
            if not beyond.any():
                break
            change = np.where(beyond, -0.5 * size, 0)
            size = size + change
        s, v = size * direction, self.g - g
        bent = _dot(s, v)
        self.past = [*self.past[1 - _MEMORY :], (s, v, np.where(bent > 0, 1 / np.maximum(bent, _TINY), 0))]

    def _look(self) -> None:
        """Probabilities, as p = (1 + tanh(odds / 2)) / 2, and the gradient."""
        self.tanh = np.multiply(self.odds, 0.5)
        np.tanh(self.tanh, out=self.tanh)
        residual = self.tanh * self.half
        residual += self.offset
        self.g = self.z.T @ residual + self.penalty * self.w

    def _bend(self, along: Array) -> Array:
        """Second derivative of the cross-entropy: the sum of p (1 - p) along^2 over known rows."""
        half = along * self.half
        whole = _dot(half, half)
        half *= self.tanh
        return whole - _dot(half, half)

    def _direction(self) -> Array:
        q, alphas = self.g.copy(), []
        for s, v, rho in reversed(self.past):
            alphas.append(rho * _dot(s, q))
            q -= alphas[-1] * v
        q *= self.scale
        if self.past:
            _, v, rho = self.past[-1]
            # A head that has arrived took no step to learn from: its scale stays as it is.
            q /= np.where(rho > 0, np.maximum(rho * np.einsum("ij,ij,ij->j", v, v, self.scale), _TINY), 1)
        for s, v, rho in self.past:
            q += (alphas.pop() - rho * _dot(v, q)) * s
        return -q


def _dot(a: Array, b: Array) -> Array:
    dot: Array = np.einsum("ij,ij->j", a, b)
    return dot
