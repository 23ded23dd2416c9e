"""A shard's bytes as HDF5 is given them: nothing on which HDF5 would never end.

HDF5 keeps texts in global heaps: a header of 16 bytes (`GCOL`, version 1, the heap's size), then
objects: a header of 16 bytes (number, references, 4 unused bytes, size) and the bytes, filled up to
eights. Number 0 is free room, its size counts its header (HDF5 File Format Specification, III.E).
HDF5 1.14.6 adds such sizes up without asking whether the next object lies further on: a size of 0
(free), or just below 2⁶⁴, holds it for ever, and no signal reaches it there.
"""

import io
import os
from pathlib import Path

_MARK = b"GCOL\x01\0\0\0"  # no text holds it: a NUL ends texts
_HEADER = 16


class CheckedFile(io.RawIOBase):
    """A file whose heaps are walked before HDF5 sees them.

    Whatever is read and holds the mark of a heap is checked first; an error that is raised here
    comes out of the call of h5py that asked for the bytes.
    """

    def __init__(self, path: Path) -> None:
        """Open a file for reading; unbuffered, as HDF5 keeps what it read itself."""
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        self._walked: set[int] = set()
        self._bytes_walked = 0

    def close(self) -> None:
        self._file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read bytes; raises ValueError if a heap begins in them on which HDF5 would not end."""
        start, around = self._file.tell(), len(_MARK) - 1
        count = self._file.readinto(buffer) or 0
        # HDF5 may put a mark together from two reads.
        before = os.pread(self._file.fileno(), min(around, start), max(0, start - around))
        after = os.pread(self._file.fileno(), around, start + count)
        found = before + bytes(buffer[:count]) + after
        at = found.find(_MARK)
        while at >= 0:
            self._walk(start - len(before) + at)
            at = found.find(_MARK, at + 1)
        return count

    def _walk(self, start: int) -> None:
        """Go through the heap that begins there, as HDF5 will."""
        if start in self._walked:
            return
        self._walked.add(start)
        size = int.from_bytes(os.pread(self._file.fileno(), 8, start + 8), "little")
        self._bytes_walked += size
        if self._bytes_walked > self._size:  # also keeps this walk short
            raise ValueError("its heaps of texts are larger than the file, or lie in one another")
        heap = os.pread(self._file.fileno(), size, start)
        at = _HEADER
        while at + _HEADER <= len(heap):
            number = int.from_bytes(heap[at : at + 2], "little")
            taken = int.from_bytes(heap[at + 8 : at + _HEADER], "little")
            if number:
                taken = _HEADER + (taken + 7) // 8 * 8
            if not _HEADER <= taken <= len(heap) - at:
                raise ValueError(f"a heap of texts at byte {start:,} holds an impossible size")
            at += taken
