"""Write one shard: clips are gathered in memory and published as a finished file."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from features.common.checksum import sha256_of_bytes
from features.common.errors import ClipError
from features.common.publish import published
from features.spec import FORMAT, VERSION, ShardEntry, StreamSpec

_TEXT = h5py.string_dtype("utf-8")


class ShardWriter:
    """Gathers the clips of one shard. A 10 s clip with all three streams takes 17 kB in float16.

    Example:
        writer = ShardWriter("test", [yamnet_spec, panns_spec])
        writer.add("abc_30", "test/abc_30.wav", 10.0, ["a dog barks"], {"yamnet": …, "panns": …})
        entry = writer.publish(root / "test" / "00000.h5")
    """

    def __init__(self, split: str, streams: Sequence[StreamSpec]) -> None:
        self.split = split
        self.streams = {spec.name: spec for spec in streams}
        self._ids: list[str] = []
        self._paths: list[str] = []
        self._durations_s: list[float] = []
        self._captions: list[Sequence[str]] = []
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in self.streams}

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self,
        clip: str,
        path: str,
        duration_s: float,
        captions: Sequence[str],
        values: Mapping[str, np.ndarray],
    ) -> None:
        """Add one clip.

        Args:
            clip: its id.
            path: its audio file, relative to the dump.
            duration_s: length of the decoded audio.
            captions: none, one or several.
            values: per stream, float [T, D] with T at least 1, not to be changed later.

        Raises:
            ValueError: if the streams or their shapes are not those declared.
            ClipError: if a value is not finite, or too large for the stream's dtype.
        """
        if values.keys() != self.streams.keys():
            raise ValueError(f"{clip}: streams {sorted(values)}, declared {sorted(self.streams)}")
        stored = {}
        for name, spec in self.streams.items():
            rows = values[name]
            if rows.ndim != 2 or rows.shape[0] < 1 or rows.shape[1] != spec.width:
                raise ValueError(f"{clip}: {name} has shape {rows.shape}, not [T, {spec.width}]")
            with np.errstate(over="ignore"):  # looked at in the next line
                stored[name] = rows.astype(spec.dtype, copy=False)
            if not np.isfinite(stored[name]).all():
                raise ClipError(f"{name} gave values that {spec.dtype} cannot hold")
        self._ids.append(clip)
        self._paths.append(path)
        self._durations_s.append(duration_s)
        self._captions.append(tuple(captions))
        for name, rows in stored.items():
            self._values[name].append(rows)

    def cut(self, clips: int) -> None:
        """Forget what was added after the first `clips` clips, halves of a clip included."""
        for column in (self._ids, self._paths, self._durations_s, self._captions):
            del column[clips:]
        for rows in self._values.values():
            del rows[clips:]

    def publish(self, path: Path) -> ShardEntry:
        """Write the shard, give it its final name, and say what stands there.

        Args:
            path: FEATURES/<split>/<number>.h5.
        """
        image = self._image()
        with ThreadPoolExecutor(max_workers=1) as aside:
            digest = aside.submit(sha256_of_bytes, image)  # while the disk takes it
            with published(path) as draft:
                draft.write_bytes(image)
        return ShardEntry(
            file=f"{path.parent.name}/{path.name}",
            clips=len(self),
            bytes=len(image),
            sha256=digest.result(),
        )

    def _image(self) -> bytes:
        # In memory, since HDF5 crashes the process when a disk fills up under an open file.
        with h5py.File("shard", "w", driver="core", backing_store=False) as file:
            self._write(file)
            file.flush()
            return file.id.get_file_image()

    def _write(self, file: h5py.File) -> None:
        file.attrs.update({"format": FORMAT, "version": VERSION, "split": self.split})
        clips = file.create_group("clips")
        clips.create_dataset("id", data=_texts(self._ids), dtype=_TEXT)
        clips.create_dataset("path", data=_texts(self._paths), dtype=_TEXT)
        clips["duration_s"] = np.asarray(self._durations_s, np.float64)
        captions = file.create_group("captions")
        texts = [text for texts in self._captions for text in texts]
        captions.create_dataset("text", data=_texts(texts), dtype=_TEXT)
        captions["offset"] = _offsets([len(texts) for texts in self._captions])
        for name, spec in self.streams.items():
            group = file.create_group(f"streams/{name}")
            group.attrs.update(spec.attrs())
            rows = self._values[name]
            # Contiguous and uncompressed: a reader maps it straight from the file.
            group["values"] = (
                np.concatenate(rows) if rows else np.zeros((0, spec.width), spec.dtype)
            )
            group["offset"] = _offsets([len(part) for part in rows])
            if spec.classes:
                group.create_dataset("classes", data=_texts(spec.classes), dtype=_TEXT)


def _offsets(counts: Sequence[int]) -> np.ndarray:
    """int64 [n + 1], item i owns [offset[i], offset[i + 1])."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _texts(texts: Sequence[str]) -> list[bytes]:
    # A file name that is not UTF-8 reaches Python with surrogates, which HDF5 cannot hold.
    return [text.encode("utf-8", "backslashreplace") for text in texts]
