"""Rows of a stream, read from a shard's file where they are needed.

Not mapped: whoever shortens a mapped file, or a network disk that fails, ends the program by a
signal (SIGBUS) without a word. A read that brings too little is said.
"""

import os
import weakref
from pathlib import Path

import numpy as np

from features.common.errors import FormatError


class FileRows:
    """One stream of one shard, [rows, D]: a slice of it is read. Holds its file open."""

    def __init__(self, path: Path, dtype: str, byte: int, shape: tuple[int, int]) -> None:
        """Open a shard's file.

        Args:
            path: the file.
            dtype: of the values.
            byte: where they begin in the file.
            shape: rows, D.

        Raises:
            OSError: if the file cannot be opened.
        """
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._start, self._row_bytes = byte, self.dtype.itemsize * shape[1]
        self.nbytes = shape[0] * self._row_bytes
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some rows, an array of their own.

        Raises:
            FormatError: if the file has become shorter, or cannot be read any more.
        """
        first, end, _ = rows.indices(len(self))
        values = np.empty((end - first, self.shape[1]), self.dtype)
        if not values.size:
            return values
        left, at = values.data.cast("B"), self._start + first * self._row_bytes
        try:
            while left:
                got = os.preadv(self._file, [left], at)
                if not got:
                    raise FormatError(
                        f"{self.path}: was shortened while it was in use (now "
                        f"{os.fstat(self._file).st_size:,} bytes, rows expected up to byte "
                        f"{at + len(left):,}); bring the shard back, then go on by the same command"
                    )
                left, at = left[got:], at + got
        except OSError as error:
            raise FormatError(
                f"{self.path}: cannot be read any more ({error.strerror}); when it can, go on by "
                "the same command"
            ) from error
        return values
