"""Accelerators that a run can be planned for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One card, and what joins it to the others."""

    flops: float
    """Peak of dense products in bfloat16, operations a second."""
    memory: float
    """Bytes."""
    bandwidth: float
    """Of its memory, bytes a second."""
    watts: float
    """Of the board, at most."""
    link: float
    """To the other cards of its machine, bytes a second each way."""
    network: float
    """Its share of what joins machines, bytes a second each way."""
    node: int = 8
    """Cards of a machine."""


# The vendors' data sheets: dense figures (half of those "with sparsity"), SXM or OAM boards where they exist. A link is
# half of what sheets give for both ways together, PCIe 4.0 x16 where there is no other. Networks are those of the
# vendors' own machines: DGX A100 200 Gb/s a card, DGX H100 and later 400 Gb/s; of PCIe cards 100 Gb/s a machine.
GPUS = {
    "a100-40": Gpu(312e12, 40e9, 1.555e12, 400, 300e9, 25e9),
    "a100-80": Gpu(312e12, 80e9, 2.039e12, 400, 300e9, 25e9),
    "h100": Gpu(989e12, 80e9, 3.35e12, 700, 450e9, 50e9),
    "h200": Gpu(989e12, 141e9, 4.8e12, 700, 450e9, 50e9),
    "b200": Gpu(2250e12, 180e9, 8e12, 1000, 900e9, 50e9),
    "mi300x": Gpu(1307e12, 192e9, 5.3e12, 750, 448e9, 50e9),
    "l40s": Gpu(362e12, 48e9, 0.864e12, 350, 32e9, 1.6e9),
    "a6000": Gpu(155e12, 48e9, 0.768e12, 300, 32e9, 1.6e9),
    "rtx4090": Gpu(165e12, 24e9, 1.008e12, 450, 32e9, 1.6e9),
}


def find_gpu(name: str) -> Gpu:
    """A card by its name.

    Raises:
        ValueError: a name that is not in the table; the message has those that are.
    """
    if name not in GPUS:
        raise ValueError(f"--gpu: expected one of {', '.join(GPUS)}; got {name!r}")
    return GPUS[name]
