"""Where shards lie: a local folder, or anything that fsspec opens by URL."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError


class Folder:
    """Files by name. Remote ones are opened as local copies without a name, which end with their descriptor."""

    def __init__(self, place: str | Path) -> None:
        self._place = str(place)
        self._remote = "://" in self._place

    def __str__(self) -> str:
        return self._place

    def read(self, name: str) -> bytes:
        """A whole file; FileNotFoundError where there is none."""
        if not self._remote:
            return Path(self._place, name).read_bytes()
        files, root = self._files()
        return bytes(files.cat_file(f"{root}/{name}"))

    def open(self, name: str) -> int:
        """A descriptor for reading; OSError where there is no such file."""
        if not self._remote:
            return os.open(Path(self._place, name), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        files, root = self._files()
        with tempfile.TemporaryDirectory(prefix="cxr-io-") as place:
            copy = Path(place, "shard")
            files.get_file(f"{root}/{name}", str(copy))
            return os.open(copy, os.O_RDONLY)

    def _files(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError as error:
            raise CxrError(
                "usage", f"expected fsspec to read {self._place}; pip install 'cxr-io[remote]' and its protocol"
            ) from error
        files, root = fsspec.url_to_fs(self._place.rstrip("/"))
        return files, str(root)
