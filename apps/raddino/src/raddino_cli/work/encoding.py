"""One piece of embedding: some images of a split, from shards to rows, the same wherever it is computed."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import raddino_encoders
import torch
from cxr_io import Sample, ShardStream, index_sha256
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from raddino_cli.work.images import Place

_MOST_TOKENS = 8192  # of a batch on a CPU, where larger ones only leave the caches
_MOST_IMAGES = 32


@dataclass(frozen=True)
class Encoding:
    """What becomes of each image; plain values, that go to other machines."""

    shards: Place
    encoder: str
    patches: bool = False
    layers: int = 1
    grid: int = 0
    fit: str = "released"
    device: str = "auto"
    dtype: str = "auto"
    image_size: int | None = None
    """Of the encoder's input; None is its own."""
    folder: Path = Path()
    """Where relative paths start."""
    call: str = ""
    """Of `embed`: what one call has loaded is not kept for the next, when a run may have other weights."""


@dataclass(frozen=True)
class Piece:
    """Images of a split from one place to another, which are encoded together."""

    split: str
    start: int
    stop: int


@dataclass(frozen=True)
class Encoded:
    """What is known of each image of a piece that could be read, and a row of each array for it."""

    piece: Piece
    samples: list[dict[str, Any]]
    arrays: dict[str, NDArray[np.generic]]


@functools.lru_cache(maxsize=1)
def encoder_of(encoding: Encoding) -> raddino_encoders.Encoder:
    """The encoder, loaded once by each process."""
    os.chdir(encoding.folder)
    place, kind = choose(encoding.device, encoding.dtype)
    return raddino_encoders.load(encoding.encoder, device=place, dtype=kind, image_size=encoding.image_size)


def settle(encoding: Encoding) -> tuple[Encoding, dict[str, Any], int]:
    """The same on the device and in the dtype that are here, what features are a function of, images at a time."""
    place, kind = choose(encoding.device, encoding.dtype)
    settled = dataclasses.replace(encoding, device=place, dtype=str(kind).removeprefix("torch."))
    model = encoder_of(settled)
    side = model.image_size // model.patch_size
    if encoding.grid > side:
        raise ValueError(
            f"expected a grid of at most {side} cells a side, as {model.name} has patches, got {encoding.grid}"
        )
    chosen = {"patches": encoding.patches, "layers": encoding.layers, "grid": encoding.grid}
    size = _MOST_IMAGES if place != "cpu" else min(max(_MOST_TOKENS // side**2, 1), _MOST_IMAGES)
    return settled, {**_settings(model, encoding.shards, encoding.fit), **chosen}, size


def read(encoding: Encoding, piece: Piece) -> list[Sample]:
    """The images of a piece that can be read."""
    stream, samples = _stream(encoding, piece.split), []
    stream.load_state_dict({**stream.state_dict(), "position": piece.start})
    for sample in stream:
        position = stream.state_dict()["position"]
        if position <= piece.stop:
            samples.append(sample)
        if position >= piece.stop:
            break
    return samples


def prepare(encoding: Encoding, samples: list[Sample]) -> torch.Tensor | None:
    """What the encoder takes of some images; None of none."""
    if not samples:
        return None
    return encoder_of(encoding).preprocess([sample.image for sample in samples], fit=_fit(encoding.fit))


def encode(encoding: Encoding, piece: Piece, samples: list[Sample], x: torch.Tensor | None) -> Encoded:
    """The rows of a piece."""
    known = [
        {**sample.meta["metadata"], **sample.meta, "key": sample.key, "split": piece.split, "report": sample.report}
        for sample in samples
    ]
    return Encoded(piece, known, {} if x is None else _tokens_of(encoder_of(encoding), x, encoding))


def encode_piece(encoding: Encoding, piece: Piece) -> Encoded:
    """A piece from beginning to end."""
    samples = read(encoding, piece)
    return encode(encoding, piece, samples, prepare(encoding, samples))


def forget() -> None:
    """Let go of the encoder and the shards."""
    encoder_of.cache_clear()
    _stream.cache_clear()


@functools.lru_cache(maxsize=4)
def _stream(encoding: Encoding, split: str) -> ShardStream:
    return ShardStream(_from(encoding.folder, encoding.shards), split=split)


def _from(folder: Path, shards: Place) -> Place:
    return folder / shards if isinstance(shards, Path) else shards


def choose(device: str, dtype: str) -> tuple[str, torch.dtype]:
    """Device and dtype; `auto` is a CUDA device where there is one, and bfloat16 where it computes in that."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        able = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = "bfloat16" if able else "float32"
    if dtype not in kinds:
        raise ValueError(f"expected a dtype of auto, {', '.join(kinds)}; got {dtype!r}")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"expected a device such as auto, cpu or cuda; got {device!r} ({error})") from error
    return device, kinds[dtype]


def _tokens_of(model: raddino_encoders.Encoder, x: torch.Tensor, encoding: Encoding) -> dict[str, NDArray[np.generic]]:
    layers, grid = encoding.layers, encoding.grid
    found = model.encode_layers(x, layers)
    last = found[-1]
    rows = {"cls": last.cls.cpu().numpy()}
    if not model.pooled:
        rows["mean"] = last.patches.mean((2, 3)).cpu().numpy()
    if layers > 1:
        rows["layers"] = torch.stack([tokens.cls for tokens in found], 1).cpu().numpy()
    if grid:
        rows["grid"] = adaptive_avg_pool2d(last.patches.float(), grid).cpu().numpy()
    if encoding.patches:
        rows["patches"] = last.patches.half().cpu().numpy()
    return rows


def _settings(model: raddino_encoders.Encoder, shards: Place, fit: str) -> dict[str, Any]:
    """What the features are a function of, besides which of them are kept."""
    preprocessing = model.preprocessing
    return {
        "encoder": model.name,
        "revision": model.revision,
        "dtype": str(model.dtype).removeprefix("torch."),
        "fit": _fit(fit) or preprocessing.fit,
        "image_size": model.image_size,
        "patch_size": model.patch_size,
        "preprocessing": {
            "mean": list(preprocessing.mean), "std": list(preprocessing.std), "short_side": preprocessing.short_side,
            "resample": preprocessing.resample, "source": preprocessing.source,
        },
        "class_token": "mean of the patch tokens" if model.pooled else "its own",
        "shards": index_sha256(shards),
    }  # fmt: skip


def _fit(fit: str) -> Any:
    return None if fit == "released" else fit


def files_of(spec: str) -> Iterator[Path]:
    """The files that an encoder's spec stands for: its weights, and what says how they are used."""
    for word in (spec, spec.partition(":")[2], spec.partition("@")[2]):
        place = Path(word)
        if word and place.is_file():
            yield place
        elif word and place.is_dir():
            folder = place / "encoder" if (place / "encoder").is_dir() else place
            yield from sorted(chain(folder.glob("*.json"), folder.glob("*.safetensors")))
