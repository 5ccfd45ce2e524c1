"""Shards to a store that others stream from: whole files, the index last, and nothing sent twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cxr_io._errors import CxrError
from cxr_io._folder import Folder
from cxr_io._shards import INDEX, file_sha256, read_index

_SENT = ".sent"  # beside each file of the store, what it holds


def upload(shards: str | Path, url: str, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Copy what an ingest has finished to a folder that fsspec opens, such as `s3://bucket/shards`.

    Returns how many files were sent: those that are there with the same content are not sent again, so that one that
    was stopped goes on, and a second ingest sends what it changed. A reader sees no index before all is there. Nothing
    is sent that is not among the shards: no key, no names of files. Requests that fail are made again; then `CxrError`
    (`unreachable`).
    """
    folder, store, index = Path(shards), Folder(url), read_index(shards)
    if not store.remote:
        raise CxrError("usage", f"expected a URL such as s3://bucket/shards, got {url}; copy the folder")
    if "samples" not in index:
        raise CxrError("usage", f"expected shards of version 0.2 in {shards}; those of 0.1 name rejected files")
    files = {entry["name"]: entry["sha256"] for entry in (*index["shards"], index["samples"])}
    sent = 0
    for number, (name, content) in enumerate(files.items(), 1):
        if _held(store, name) != content:
            if file_sha256(folder / name) != content:
                raise CxrError("damaged", f"expected {name} as it was written (SHA-256 differs); verify the shards")
            for stale in (INDEX, f"{name}{_SENT}"):  # which speak of it as it was
                store.remove(stale)
            store.write(name, folder / name)
            store.note(f"{name}{_SENT}", content)
            sent += 1
        if progress:
            progress(number, len(files))
    for name in ("rejected.jsonl", INDEX):
        store.write(name, folder / name)
    return sent


def _held(store: Folder, name: str) -> str | None:
    """The SHA-256 of what was sent under a name before."""
    with suppress(FileNotFoundError):
        return store.read(f"{name}{_SENT}").decode()
    return None
