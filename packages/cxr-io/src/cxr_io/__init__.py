"""From an archive of radiographs to clean shards, and from shards to arrays. No torch."""

from importlib.metadata import version

from cxr_io._doctor import survey
from cxr_io._errors import CxrError
from cxr_io._identity import read_key
from cxr_io._ingest import IngestSummary, ingest
from cxr_io._intensity import POLICIES
from cxr_io._read import Radiograph, read
from cxr_io._resize import resize_bspline
from cxr_io._sample_codec import CODECS
from cxr_io._shards import Sample
from cxr_io._sources import DATASETS
from cxr_io._stream import ShardStream
from cxr_io._verify import Damage, info, verify

__all__ = [
    "CODECS",
    "DATASETS",
    "POLICIES",
    "CxrError",
    "Damage",
    "IngestSummary",
    "Radiograph",
    "Sample",
    "ShardStream",
    "info",
    "ingest",
    "read",
    "read_key",
    "resize_bspline",
    "survey",
    "verify",
]
__version__ = version("cxr-io")
