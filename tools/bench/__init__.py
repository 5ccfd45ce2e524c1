"""Speed as a ratio to a peer, measured in the same run; a bench is a function that returns one line."""

from collections.abc import Callable

from tools.bench._cluster import cluster, cluster_embed
from tools.bench._codecs import codecs
from tools.bench._crops import crops
from tools.bench._decoders import decoders
from tools.bench._embed import embed
from tools.bench._gpu import gpu_attention, gpu_loss, gpu_run, gpu_step
from tools.bench._ingest import ingest
from tools.bench._memory import memory, million
from tools.bench._phantom import phantom
from tools.bench._probes import bootstrap, sweep
from tools.bench._prototypes import prototypes
from tools.bench._read import read
from tools.bench._reporter import reporter
from tools.bench._reports import reports
from tools.bench._resize import resize
from tools.bench._step import step
from tools.bench._stream import stream, stream_start

BENCHES: dict[str, Callable[[], str]] = {
    "resize": resize,
    "read": read,
    "codecs": codecs,
    "ingest": ingest,
    "cluster": cluster,
    "cluster-embed": cluster_embed,
    "stream": stream,
    "start": stream_start,
    "memory": memory,
    "million": million,
    "phantom": phantom,
    "crops": crops,
    "embed": embed,
    "sweep": sweep,
    "bootstrap": bootstrap,
    "prototypes": prototypes,
    "step": step,
    "gpu-step": gpu_step,
    "gpu-attention": gpu_attention,
    "gpu-loss": gpu_loss,
    "gpu-run": gpu_run,
    "decoders": decoders,
    "reports": reports,
    "reporter": reporter,
}

__all__ = ["BENCHES"]
