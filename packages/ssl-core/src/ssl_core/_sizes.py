"""Sizes of images and volumes in pixels and in patches: one number for a square or a cube, or one for each axis."""

from __future__ import annotations

from ssl_core._errors import SslError

Size = int | tuple[int, int, int]


def per_axis(size: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """A size along each of 2 or 3 axes."""
    return (size,) * axes if isinstance(size, int) else size


def axes_of(patch_size: int | tuple[int, ...]) -> int:
    """2 for images; 3 for volumes, whose patches have three sizes: depth, height, width."""
    return 2 if isinstance(patch_size, int) else len(patch_size)


def patch_grid(size: int | tuple[int, ...], patch_size: int | tuple[int, ...], name: str) -> tuple[int, ...]:
    """Patches along each axis.

    Raises:
        SslError: the patch doesn't divide the size, or they have another number of axes; it names what has the size.
    """
    axes = axes_of(patch_size)
    sizes, patches = per_axis(size, axes), per_axis(patch_size, axes)
    if len(sizes) != axes or any(p < 1 or s % p for s, p in zip(sizes, patches, strict=True)):
        raise SslError(f"expected {name} to be a multiple of patch_size = {patch_size}, got {size}")
    return tuple(s // p for s, p in zip(sizes, patches, strict=True))
