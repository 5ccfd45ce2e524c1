"""Segmentation on the patch tokens of a frozen encoder: a linear head, Dice, and its interval by patient."""

from importlib.metadata import version

from raddino_seg._decoder import LinearDecoder
from raddino_seg._errors import SegError
from raddino_seg._metrics import Score, dice, evaluate, mean_mask
from raddino_seg._train import train

__all__ = ["LinearDecoder", "Score", "SegError", "dice", "evaluate", "mean_mask", "train"]
__version__ = version("raddino-seg")
