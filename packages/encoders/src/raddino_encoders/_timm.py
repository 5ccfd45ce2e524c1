"""Any timm backbone: `timm:<name>@<weights>`, or untrained without weights; other projects' files go through it too."""

from __future__ import annotations

import difflib
from inspect import signature
from pathlib import Path
from typing import Any

import timm
import timm.data
import torch
from torch import Tensor

from raddino_encoders._backbone import Backbone, Loaded, Pair, to_grid
from raddino_encoders._errors import EncoderError
from raddino_encoders._folder import read_json
from raddino_encoders._preprocess import Preprocessing
from raddino_encoders._resample import KERNELS, Resample
from raddino_encoders._weights import fill, fingerprint, read_weights, without

_HEEDED = ("in_chans", "output_stride")
_OF_THE_CLASSIFIER = ("global_pool", "num_classes")


def near_names(name: str, count: int = 5) -> list[str]:
    """The names of timm models most like `name`."""
    return difflib.get_close_matches(name, timm.list_models(), n=count, cutoff=0.5)


class TimmBackbone(Backbone):
    """A timm model without its classifier.

    The class token is the model's own where it has one, else the mean of the patch tokens (CNNs, pooled ViTs, Swin).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
        self.pooled = not (self._prefix and getattr(model, "cls_token", None) is not None)
        layered = getattr(model, "forward_intermediates", None)
        if not self.pooled and layered and "return_prefix_tokens" in signature(layered).parameters:
            self.most_layers = len(model.blocks)

    def last(self, x: Tensor) -> Pair:
        try:
            features = self.model.forward_features(x)
        except AssertionError as error:  # of networks whose input has one size, such as Swin
            sides = " x ".join(map(str, x.shape[2:]))
            raise EncoderError(f"{type(self.model).__name__} can't read an input of {sides} ({error})") from error
        if self.pooled:
            grid = self._grid(features, x)
            return grid.mean((2, 3)), grid
        return features[:, 0], self._grid(features, x)

    def forward(self, x: Tensor, layers: int) -> list[Pair]:
        if layers == 1:
            return [self.last(x)]
        found = self.model.forward_intermediates(
            x, indices=layers, norm=True, output_fmt="NLC", intermediates_only=True, return_prefix_tokens=True
        )
        return [(prefix[:, 0], self._grid(torch.cat((prefix, patches), 1), x)) for patches, prefix in found]

    def _grid(self, features: object, x: Tensor) -> Tensor:
        if isinstance(features, Tensor) and features.ndim == 4:
            # Swin and its kin put channels last; num_features tells which axis they are.
            last = features.shape[-1] == self.model.num_features and features.shape[1] != self.model.num_features
            return features.permute(0, 3, 1, 2) if last else features
        if isinstance(features, Tensor) and features.ndim == 3:
            patches = features[:, self._prefix :]
            height = round((patches.shape[1] * x.shape[2] / x.shape[3]) ** 0.5)
            width = round(patches.shape[1] / height)
            if height * width == patches.shape[1]:
                return to_grid(patches, height, width)
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise EncoderError(f"expected features on a grid of the input's shape, got {got}; choose another timm model")


def build(name: str, **options: Any) -> Any:
    """A timm model without its classifier, for any input size where it is a vision transformer."""
    kind = timm.model_entrypoint(name).__module__.rpartition(".")[2]
    dynamic = {"dynamic_img_size": True} if kind == "vision_transformer" else {}
    return timm.create_model(name, pretrained=False, num_classes=0, **dynamic, **options)


def load_timm(spec: str, name: str, weights: Path | None, seed: int) -> Loaded:
    """A timm model with weights from a file, or without any.

    Args:
        spec: the whole spec, for messages.
        name: timm's model name.
        weights: safetensors or a PyTorch file of tensors; a classifier in it is left out. None: initialised from
            `seed`.
        seed: of the initialisation.

    Raises:
        EncoderError: unknown name (near ones listed), weights that can't be read or don't fit (each key listed),
            a model whose features aren't a grid.
    """
    model = _drawn(spec, name, seed)
    if weights is not None:
        _fill(model, weights)
    settings = timm.data.resolve_model_data_config(model)
    size = int(settings["input_size"][-1])
    preprocessing = Preprocessing(
        size,
        tuple(settings["mean"]),
        tuple(settings["std"]),
        round(size / float(settings["crop_pct"])),
        resample=next((kernel for kernel in KERNELS if kernel == settings["interpolation"]), "bicubic"),
        source=f"timm's {name}",
    )
    return of_model(spec, model, preprocessing, fingerprint(weights) if weights else None)


def load_timm_folder(folder: Path, seed: int | None, revision: str | None) -> Loaded:
    """A folder as timm saves it for a hub, `config.json` and `model.safetensors`, without its classifier.

    Of the model's arguments `in_chans` and `output_stride` are heeded; others are refused, for they could name files.

    Args:
        folder: where they lie.
        seed: None loads the weights; a number leaves them out and initialises afresh from it.
        revision: of the hub; None is the weights' fingerprint.

    Raises:
        EncoderError: as `load_timm`; other arguments, or an input that is not stated.
    """
    path = folder / "config.json"
    config = read_json(path)
    facts, options = config.get("pretrained_cfg") or {}, config.get("model_args") or {}
    options = {key: value for key, value in options.items() if key not in _OF_THE_CLASSIFIER}
    if others := sorted(options.keys() - _HEEDED):
        raise EncoderError(f"{path}: expected model_args of {', '.join(_HEEDED)} at most, got {', '.join(others)}")
    try:
        size, mean, std = int(facts["input_size"][-1]), tuple(facts["mean"]), tuple(facts["std"])
        crop, kernel = float(facts.get("crop_pct", 1)), facts.get("interpolation")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EncoderError(f"{path}: expected input_size, mean and std in pretrained_cfg ({error!r})") from error
    if len(mean) != len(std) or options.get("in_chans", 3) != len(mean) or len(mean) not in (1, 3):
        raise EncoderError(f"{path}: expected mean and std of 1 or 3 in_chans, got {len(mean)} and {len(std)}")
    model = _drawn(str(folder), str(config["architecture"]), seed or 0, **options)
    if seed is None:
        _fill(model, folder / "model.safetensors")
        revision = revision or fingerprint(folder / "model.safetensors")
    resample: Resample = next((known for known in KERNELS if known == kernel), "bicubic")
    preprocessing = Preprocessing(size, mean, std, round(size / crop), resample=resample, source=path.name)
    return of_model(str(folder), model, preprocessing, revision if seed is None else None)


def _fill(model: Any, weights: Path) -> None:
    """Load weights that fit exactly but for a classifier, which is left out."""
    heads = model.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
    fill(model, without(read_weights(weights), prefixes), weights)


def _drawn(spec: str, name: str, seed: int, **options: Any) -> Any:
    """A timm model with weights drawn from a seed."""
    if ":" in name or not timm.is_model(name):  # timm would fetch a name with a colon from a hub
        raise EncoderError(
            f"{spec!r}: expected a timm model name, got {name!r}; near: {', '.join(near_names(name)) or 'none'}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return build(name, **options)
        except (RuntimeError, TypeError, AssertionError) as error:  # an unknown tag (after the dot) or argument
            raise EncoderError(f"{spec!r}: timm can't build {name!r} ({error})") from error


def of_model(spec: str, model: Any, preprocessing: Preprocessing, revision: str | None) -> Loaded:
    """What `load` needs to know of a timm model, found by trying it once."""
    backbone = TimmBackbone(model.eval())
    with torch.inference_mode():
        try:
            size = preprocessing.size
            cls, patches = backbone(torch.zeros(1, len(preprocessing.mean), size, size), 1)[0]
        except EncoderError as error:
            raise EncoderError(f"{spec!r}: {error}") from error
    return Loaded(backbone, preprocessing, cls.shape[1], size // patches.shape[-1], revision)
