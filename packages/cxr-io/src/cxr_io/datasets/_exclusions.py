"""Images and patients that must stay out, such as those that another model was trained on."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path, PurePosixPath

from cxr_io._errors import CxrError
from cxr_io.datasets._record import Record


class Exclusions:
    """A list of what to leave out: a text file, one image, patient or study a line.

    An image is named by its record's name, its file's name, or that without suffix. Blank lines and those that begin
    with `#` say nothing.
    """

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CxrError("usage", f"expected a list of exclusions in UTF-8 at {path}: {error}") from error
        self._names = frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))

    def __len__(self) -> int:
        return len(self._names)

    @property
    def digest(self) -> str:
        """SHA-256 of what is listed, in hexadecimal; the same for another order of lines."""
        return sha256("\n".join(sorted(self._names)).encode()).hexdigest()

    def check(self, record: Record) -> None:
        """Raise `CxrError` (`excluded`) for a record that is on the list."""
        file = PurePosixPath(record.name)
        for name in (record.name, file.name, file.stem, record.patient, record.study):
            if name in self._names:
                raise CxrError("excluded", "expected an image that is not on the list of exclusions, this one is")
