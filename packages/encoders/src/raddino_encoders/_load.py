"""From a spec, the one string by which the command line, configs and tables name an encoder, to the encoder."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path

import torch

from raddino_encoders._encoder import Encoder
from raddino_encoders._errors import EncoderError
from raddino_encoders._folder import is_encoder_folder
from raddino_encoders._pixel_encoder import load_pixels

RANDOM_SEED = 0
"""Seed of every untrained encoder: the same spec gives the same weights, so tables can be repeated."""

KINDS = {
    "<folder>": "a run of ssl-core, or a local transformers folder (dinov2, dinov2_with_registers)",
    "timm:<name>@<weights.safetensors>": "a timm model with local weights; without @ untrained",
    "random:<folder or timm name>": "the same architecture with fresh weights",
    "pixels:<n>": "the image itself, n x n; pixels:<n>@<image size>/<patch size>",
}


def load(spec: str | Path, *, device: str | torch.device = "cpu") -> Encoder:
    """An encoder from its spec. Nothing is downloaded and no code from a folder is run (safetensors only).

    Args:
        spec: one of `KINDS`: "<folder>", "timm:<name>@<weights.safetensors>", "random:<folder or timm name>",
            "pixels:<n>".
        device: where tokens are computed, e.g. "cpu" or "cuda".

    Raises:
        EncoderError: unknown spec (near names and all kinds are listed), files that can't be read, weights that
            don't fit (each key is listed).
    """
    spec = str(spec)
    kind, colon, argument = spec.partition(":")
    if is_encoder_folder(Path(spec)):  # first: a folder's name may hold a colon
        return _load_folder(spec, Path(spec), None, device)
    if colon and kind == "pixels":
        return load_pixels(spec, argument, device)
    if colon and kind in ("timm", "random"):
        if kind == "random" and is_encoder_folder(Path(argument)):
            return _load_folder(f"{spec} (random weights)", Path(argument), RANDOM_SEED, device)
        from raddino_encoders._timm import load_timm  # timm takes seconds to import

        name, at, weights = argument.partition("@") if kind == "timm" else (argument, "", "")
        if kind == "random" and ("/" in argument or Path(argument).exists()):
            raise _unknown(spec, argument)
        return load_timm(
            spec if at else f"{spec} (random weights)", name, Path(weights) if at else None, RANDOM_SEED, device
        )
    raise _unknown(spec, spec)


def _load_folder(name: str, path: Path, seed: int | None, device: str | torch.device) -> Encoder:
    if (path / "encoder").is_dir() and importlib.util.find_spec("ssl_core"):
        from raddino_encoders._run import load_run

        return load_run(name, path, seed, device)
    from raddino_encoders._transformers_folder import load_transformers

    return load_transformers(name, path, seed, device)


def _unknown(spec: str, wanted: str) -> EncoderError:
    from raddino_encoders._timm import near_names

    path = Path(wanted)
    siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    near = [str(path.parent / name) for name in difflib.get_close_matches(path.name, siblings)]
    kinds = [k for k in ("timm", "random", "pixels") if difflib.get_close_matches(spec.partition(":")[0], [k])]
    near += [f"{k}:{spec.partition(':')[2]}" for k in kinds if not spec.startswith(f"{k}:")]
    near += [f"timm:{name}" for name in near_names(wanted.rpartition(":")[2])]
    what = "a folder without config.json" if path.is_dir() else "neither a kind nor a folder"
    listing = "; ".join(f"{form} ({meaning})" for form, meaning in KINDS.items())
    return EncoderError(
        f"{spec!r}: expected an encoder, got {what}. Near: {', '.join(near) or 'nothing'}. Kinds of specs: {listing}"
    )
