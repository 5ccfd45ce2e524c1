"""The files under a folder, in an order that never changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cxr_io._errors import CxrError


def walk(folder: Path) -> Iterator[Path]:
    """Every file below, sorted by path, hidden ones left out; only the names of open folders are in memory.

    Links to files count, links to folders are not followed: they may lead in circles.
    """
    try:
        with os.scandir(folder) as entries:
            # A folder sorts as its files' paths do: "a-b" comes before "a/b".
            names = sorted(
                entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
                if not entry.name.startswith(".") and (entry.is_file() or entry.is_dir(follow_symlinks=False))
            )
    except OSError as error:
        raise CxrError("missing_source", f"expected a readable folder at {folder}: {error.strerror}") from error
    for name in names:
        if name.endswith("/"):
            yield from walk(folder / name)
        else:
            yield folder / name


class Images:
    """Where images lie whose tables give only a file's name; the folder is walked once, when first asked."""

    def __init__(self, source: Path, *suffixes: str) -> None:
        self._source, self._suffixes = source, suffixes
        self._folders: dict[str, Path] | None = None

    def path(self, name: str, usual: str) -> Path:
        """The path of the file with this name, wherever it is; `usual` below the source where it isn't."""
        if self._folders is None:
            shared: dict[Path, Path] = {}  # one object for a folder, not one for each of its files
            self._folders = {
                path.name: shared.setdefault(path.parent, path.parent)
                for path in walk(self._source)
                if path.suffix.lower() in self._suffixes
            }
        folder = self._folders.get(name)
        return folder / name if folder else self._source / usual
