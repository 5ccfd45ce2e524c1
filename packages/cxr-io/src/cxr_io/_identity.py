"""Keyed hashes in place of identifiers: the same patient stays the same, and no table of names can undo it."""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from cxr_io._errors import CxrError

KEY_VARIABLE = "CXR_IO_KEY"
_SHORTEST = 16


def find_key(out: Path, given: str | None) -> bytes:
    """The secret: as given, from the environment, or from `<out>.key` beside the output, made on first use.

    The file lies outside the folder of shards, so that sharing the shards doesn't share the key.
    """
    key = (given or os.environ.get(KEY_VARIABLE) or "").encode() or _key_beside(out)
    if len(key) < _SHORTEST:
        raise CxrError("usage", f"expected a key of at least {_SHORTEST} characters, got {len(key)}")
    return key


def _key_beside(out: Path) -> bytes:
    path = out.with_name(out.name + ".key")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)  # an interrupted run's
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
        part.replace(path)  # whole or not at all: an empty key would undo every pseudonym
    return path.read_bytes().strip()


def pseudonym(key: bytes, kind: str, identifier: str) -> str:
    """Sixteen hexadecimal digits for an identifier of some kind."""
    return hmac.new(key, f"{kind}\0{identifier}".encode(), sha256).hexdigest()[:16]


def split_of(key: bytes, patient: str) -> str:
    """`train`, `val` or `test` (70, 10, 20 %) for a patient, whatever else is in the archive."""
    u = int(pseudonym(key, "split", patient), 16) / 16**16
    return "train" if u < 0.7 else "val" if u < 0.8 else "test"
