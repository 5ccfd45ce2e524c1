"""Segmentation on patch tokens: decoders, their training, metrics with intervals by patient, predictions to files."""

from importlib.metadata import version

from raddino_seg._augment import Augment
from raddino_seg._decoder import Decoder
from raddino_seg._dicom_seg import write_dicom_seg
from raddino_seg._end_to_end import Encoder, EndToEnd, encode_once
from raddino_seg._errors import SegError
from raddino_seg._fit import Training
from raddino_seg._heads import HEADS as _HEADS
from raddino_seg._load import describe, load
from raddino_seg._losses import LOSSES as _LOSSES
from raddino_seg._masks import Masks, from_bits, from_values, mean_mask
from raddino_seg._measure import METRICS, measure
from raddino_seg._model import Model
from raddino_seg._nifti import write_nifti
from raddino_seg._objects import object_sensitivity
from raddino_seg._overlap import dice, iou
from raddino_seg._propagate import propagate
from raddino_seg._score import Score, evaluate, summarise
from raddino_seg._shots import SHOTS, draw_shots
from raddino_seg._surface import average_surface_distance, hausdorff
from raddino_seg._tile import decide, predict_tiled
from raddino_seg._train import train, train_on_images, train_unet
from raddino_seg._unet import UNet

DECODERS = tuple(_HEADS)
LOSSES = tuple(_LOSSES)

__all__ = [
    "DECODERS",
    "LOSSES",
    "METRICS",
    "SHOTS",
    "Augment",
    "Decoder",
    "Encoder",
    "EndToEnd",
    "Masks",
    "Model",
    "Score",
    "SegError",
    "Training",
    "UNet",
    "average_surface_distance",
    "decide",
    "describe",
    "dice",
    "draw_shots",
    "encode_once",
    "evaluate",
    "from_bits",
    "from_values",
    "hausdorff",
    "iou",
    "load",
    "mean_mask",
    "measure",
    "object_sensitivity",
    "predict_tiled",
    "propagate",
    "summarise",
    "train",
    "train_on_images",
    "train_unet",
    "write_dicom_seg",
    "write_nifti",
]
__version__ = version("raddino-seg")
