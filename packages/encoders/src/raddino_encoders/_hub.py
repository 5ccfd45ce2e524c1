"""A folder of the Hugging Face hub by its id: from the cache, or fetched once where there is a network."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from raddino_encoders._constants import IDS
from raddino_encoders._errors import EncoderError

_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
# Configurations and weights; no code, and no weights that transformers would have to unpickle.
_FILES = ("config.json", "preprocessor_config.json", "model*.safetensors*", "open_clip_*")


def is_hub_id(spec: str) -> bool:
    """Whether a spec reads as `<owner>/<name>` or `<owner>/<name>@<revision>` and not as a path of this machine."""
    match = _ID.fullmatch(spec)
    return bool(match) and not Path(spec.partition("/")[0]).exists()


def fetch(spec: str, *, offline: bool) -> tuple[Path, str]:
    """The folder of an id and its commit.

    Args:
        spec: `<owner>/<name>`, with `@` a branch, a tag or a commit; a commit gives the same weights for ever.
        offline: look in the cache only.

    Raises:
        EncoderError: not in the cache and not to be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    match = _ID.fullmatch(spec)
    name, revision = (match[1], match[2]) if match else (spec, None)
    try:
        folder = snapshot_download(name, revision=revision, allow_patterns=list(_FILES), local_files_only=offline)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        near = ", ".join(difflib.get_close_matches(name, IDS, cutoff=0.5)) or "none"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        how = "its cache on this machine (offline)" if offline else "the hub or its cache on this machine"
        raise EncoderError(
            f"{spec!r}: expected an encoder in {how}, found none ({reason}); near: {near}. Check the name and the "
            "revision, or give the path of a folder"
        ) from error
    return Path(folder), Path(folder).name
