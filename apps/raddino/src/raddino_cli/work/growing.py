"""An array on disk that grows by rows and can be taken up again: memory stays flat, whatever its length."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray


class GrowingArray:
    """A `.npy` file of rows of one shape; it holds the first `rows` of what is there, and what is appended."""

    def __init__(self, path: Path, row: tuple[int, ...], dtype: DTypeLike, rows: int = 0) -> None:
        self.row, self.dtype, self._rows = row, np.dtype(dtype), rows
        self._file = path.open("r+b" if rows else "w+b")
        self._write_header()
        self._file.truncate(self._file.tell() + rows * int(np.prod(row)) * self.dtype.itemsize)
        self._file.seek(0, os.SEEK_END)

    def append(self, rows: NDArray[np.generic]) -> None:
        """Add rows (n, *row)."""
        if rows.shape[1:] != self.row:
            raise ValueError(f"expected rows of shape {self.row}, got {rows.shape[1:]}")
        self._file.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self._rows += len(rows)

    def sync(self) -> None:
        """Make what was appended outlast a loss of power."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give the file its true length."""
        self._write_header()
        self.sync()
        self._file.close()

    def _write_header(self) -> None:
        # numpy leaves room in a header for the first axis to grow, so it can be written over.
        self._file.seek(0)
        shape = {"shape": (self._rows, *self.row), "fortran_order": False, "descr": npy.dtype_to_descr(self.dtype)}
        npy.write_array_header_1_0(self._file, shape)
