"""From an archive of radiographs to clean shards, and from shards to arrays. No torch."""

from importlib.metadata import version

from cxr_io._cluster import Cluster
from cxr_io._doctor import survey
from cxr_io._duplicates import Duplicate, near_duplicates
from cxr_io._errors import CxrError
from cxr_io._identity import pseudonym, read_key
from cxr_io._ingest import IngestSummary, ingest
from cxr_io._intensity import POLICIES
from cxr_io._limits import Limits
from cxr_io._mixture import Mixture
from cxr_io._nifti import Volume, read_volume
from cxr_io._read import Radiograph, read
from cxr_io._resize import resize_bspline, resize_radiograph
from cxr_io._sample_codec import CODECS
from cxr_io._shards import Sample, index_sha256
from cxr_io._stream import ShardStream
from cxr_io._syntax import is_decodable
from cxr_io._table import read_table
from cxr_io._upload import upload
from cxr_io._verify import Damage, info, verify
from cxr_io.datasets import (
    DATASETS,
    Box,
    Layout,
    Leak,
    Record,
    candid_ptx,
    check_splits,
    list_items,
    load_mask,
    sections,
)

__all__ = [
    "CODECS",
    "DATASETS",
    "POLICIES",
    "Box",
    "Cluster",
    "CxrError",
    "Damage",
    "Duplicate",
    "IngestSummary",
    "Layout",
    "Leak",
    "Limits",
    "Mixture",
    "Radiograph",
    "Record",
    "Sample",
    "ShardStream",
    "Volume",
    "candid_ptx",
    "check_splits",
    "index_sha256",
    "info",
    "ingest",
    "is_decodable",
    "list_items",
    "load_mask",
    "near_duplicates",
    "pseudonym",
    "read",
    "read_key",
    "read_table",
    "read_volume",
    "resize_bspline",
    "resize_radiograph",
    "sections",
    "survey",
    "upload",
    "verify",
]
__version__ = version("cxr-io")
