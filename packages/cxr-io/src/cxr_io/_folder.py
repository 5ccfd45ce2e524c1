"""Where shards lie: a local folder, or anything that fsspec opens by URL."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from cxr_io._errors import CxrError

_WAITS = (0.5, 2.0, 8.0)  # seconds before a request that failed is made again
_T = TypeVar("_T")


class Folder:
    """Files by name. Remote ones are opened as local copies without a name, which end with their descriptor.

    A remote request that fails is made again; after the last one, `CxrError` with the code `unreachable`.
    """

    def __init__(self, place: str | Path) -> None:
        self._place = str(place)
        self.remote = "://" in self._place

    def __str__(self) -> str:
        return self._place

    def read(self, name: str) -> bytes:
        """A whole file; FileNotFoundError where there is none."""
        if not self.remote:
            return Path(self._place, name).read_bytes()
        return self._request(name, lambda files, path: bytes(files.cat_file(path)))

    def open(self, name: str) -> int:
        """A descriptor for reading; OSError where there is no such file."""
        if not self.remote:
            return os.open(Path(self._place, name), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        with tempfile.TemporaryDirectory(prefix="cxr-io-") as place:
            copy = Path(place, "shard")
            self._request(name, lambda files, path: files.get_file(path, str(copy)))
            return os.open(copy, os.O_RDONLY)

    def write(self, name: str, file: Path) -> None:
        """Put a copy of a local file in a remote folder."""
        self._request(name, lambda files, path: files.put_file(str(file), path))

    def note(self, name: str, text: str) -> None:
        """Write a short text in a remote folder."""
        self._request(name, lambda files, path: files.pipe_file(path, text.encode()))

    def remove(self, name: str) -> None:
        """Delete a file of a remote folder, if it is there."""
        with suppress(FileNotFoundError):
            self._request(name, lambda files, path: files.rm_file(path))

    def _request(self, name: str, ask: Callable[[Any, str], _T]) -> _T:
        files, root = self._files()
        waits = iter(_WAITS)
        while True:
            try:
                return ask(files, f"{root}/{name}")
            except FileNotFoundError:
                raise
            except Exception as error:  # the file systems promise no set of exceptions
                wait = next(waits, None)
                if wait is None:
                    raise CxrError(
                        "unreachable",
                        f"expected {self}/{name}, {len(_WAITS) + 1} requests failed ({type(error).__name__}: {error}); "
                        "what is done is kept, run again to go on",
                    ) from error
                time.sleep(wait)

    def _files(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError as error:
            raise CxrError(
                "usage", f"expected fsspec to read {self._place}; pip install 'cxr-io[remote]' and its protocol"
            ) from error
        files, root = fsspec.url_to_fs(self._place.rstrip("/"))
        return files, str(root)
