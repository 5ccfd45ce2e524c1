"""From a file to the model it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from raddino_seg._decoder import Decoder
from raddino_seg._end_to_end import Encoder, EndToEnd
from raddino_seg._errors import SegError
from raddino_seg._files import read_tensors
from raddino_seg._model import FORMAT, Model
from raddino_seg._unet import UNet


def describe(path: str | Path) -> dict[str, Any]:
    """What a file says of its model: `kind` ("decoder", "end-to-end", "unet"), `classes`, `overlapping` and the like.

    Raises:
        SegError: missing, damaged or another file.
    """
    return _read(path)[1]


def load(path: str | Path, encoder: Encoder | None = None) -> Model:
    """The model that `save` wrote, ready to predict.

    Args:
        path: the file.
        encoder: makes a model of images of a decoder. One that was trained with its encoder needs the same architecture
            here, whose weights are replaced.

    Raises:
        SegError: missing, damaged or another file; an encoder that is missing or doesn't fit.
    """
    state, facts = _read(path)
    kind = facts.pop("kind")
    if kind == EndToEnd.kind and encoder is None:
        raise SegError(f"{path} holds an encoder that was trained with its decoder: give load() one to put it in")
    try:
        if kind == UNet.kind:
            model: Model = UNet(**facts)
        else:
            model = decoder = Decoder(**{**facts, "grid": tuple(facts["grid"])})
        if kind == EndToEnd.kind and encoder:
            model = EndToEnd(encoder, decoder, unfreeze=True)
        model.load_state_dict(state)
        if kind == Decoder.kind and encoder:
            model = EndToEnd(encoder, decoder, unfreeze=False)
    except (TypeError, KeyError, RuntimeError) as error:
        raise SegError(f"expected weights that fit their description at {path}: {error}") from error
    return model.eval()


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state, facts = read_tensors(Path(path))
    if facts.pop("format", None) != FORMAT or facts.get("kind") not in (Decoder.kind, EndToEnd.kind, UNet.kind):
        raise SegError(f"expected a model of format {FORMAT} at {path}; train it again with this version")
    return state, facts
