"""Data sets by their official layouts, each image as one `Record`."""

from cxr_io.datasets._candid_ptx import candid_ptx
from cxr_io.datasets._exclusions import Exclusions
from cxr_io.datasets._layouts import DATASETS, Records, list_items
from cxr_io.datasets._masks import MaskSource, Polygons, RunLength, load_mask
from cxr_io.datasets._record import TRAIN_OR_VAL, Box, Layout, Record
from cxr_io.datasets._sections import sections
from cxr_io.datasets._splits import OVERLAPS, Leak, check_splits, split_for

__all__ = [
    "DATASETS",
    "OVERLAPS",
    "TRAIN_OR_VAL",
    "Box",
    "Exclusions",
    "Layout",
    "Leak",
    "MaskSource",
    "Polygons",
    "Record",
    "Records",
    "RunLength",
    "candid_ptx",
    "check_splits",
    "list_items",
    "load_mask",
    "sections",
    "split_for",
]
