"""Plan 2 million clips and decide what is left to do: seconds and peak memory.

    python -m benchmarks.planning [--clips N] [--layout folder|audiocaps]

The folder listing is simulated (a file system would have to be filled first): 2,000 folders whose
entries os.scandir hands out under the usual names. All else is the code of `extract run`: plan,
shards, digests, done-marks. Half of the shards have one, as after a run that was killed.
"""

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import extract.run  # noqa: F401 - so that the peak is the command's, torch included
from extract.dump.plan import read_dump
from extract.shards import DoneMark, plan_shards
from features.spec import ShardEntry

FOLDERS = 2_000
SHARD_CLIPS = 2_000


class _Entry:
    """What os.scandir gives, as far as planning looks at it."""

    def __init__(self, folder: str, name: str, is_folder: bool) -> None:
        self.name, self.path, self._is_folder = name, f"{folder}/{name}", is_folder

    def is_dir(self) -> bool:
        return self._is_folder


def main(arguments: Sequence[str] = ()) -> None:
    """Print the figures of one plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2_000_000)
    parser.add_argument("--layout", choices=("folder", "audiocaps"), default="folder")
    chosen = parser.parse_args(arguments)
    idle_mb = _peak_mb()
    with tempfile.TemporaryDirectory() as name:
        dump, out = Path(name, "dump"), Path(name, "out")
        dump.mkdir()
        if chosen.layout == "audiocaps":
            _write_captions(dump, chosen.clips)
        with _listing(dump, chosen.clips):
            started = _now()
            plan = read_dump(dump)
            tasks = plan_shards(plan, SHARD_CLIPS)
            present = sum(task.present for task in tasks)
            planned_s = _since(started)
        _write_marks(tasks[::2], out)
        started = _now()
        todo = [task for task in tasks if task.done(out) is None]
        resumed_s = _since(started)
    print(f"{present:,} clips with audio, {len(tasks):,} shards, {len(todo):,} left to do")
    print(f"index and plan {planned_s}; resume decided in {resumed_s}")
    print(f"peak memory {_peak_mb():,.0f} MB, of which {idle_mb:,.0f} MB before planning")


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(started: tuple[float, float]) -> str:
    wall_s, cpu_s = (now - then for now, then in zip(_now(), started, strict=True))
    return f"{wall_s:.1f} s ({cpu_s:.1f} s of a core)"


def _name(number: int) -> str:
    return f"Y{number:011d}_30.000_40.000.wav"


@contextmanager
def _listing(dump: Path, clips: int) -> Iterator[None]:
    real, per_folder = os.scandir, -(-clips // FOLDERS)
    real_stat = os.stat

    @contextmanager
    def scandir(folder: str) -> Iterator[Iterator[_Entry]]:
        path = os.fspath(folder).rstrip("/")
        if path == str(dump):
            folders = (_Entry(path, f"f{number:04d}", True) for number in range(FOLDERS))
            with real(folder) as entries:
                yield chain(entries, folders)  # type: ignore[misc]
        elif not path.startswith(str(dump)):
            with real(folder) as entries:
                yield entries  # type: ignore[misc]
        else:
            first = int(path[-4:]) * per_folder
            numbers = range(first, min(first + per_folder, clips))
            yield (_Entry(path, _name(number), False) for number in numbers)

    def stat(path, *args, **kwargs):
        name = os.fspath(path)
        inside = isinstance(name, str) and name.startswith(f"{dump}/f")
        if not inside:
            return real_stat(path, *args, **kwargs)
        status = list(real_stat(dump))
        status[1] = 10**9 + int(name.rstrip("/")[-4:])  # an inode of its own
        return os.stat_result(status)

    with patch("os.scandir", scandir), patch("os.stat", stat):
        yield


def _write_captions(dump: Path, clips: int) -> None:
    with (dump / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["audiocap_id", "youtube_id", "start_time", "caption"])
        caption = "A man speaks while water runs and a dog barks in the distance"
        writer.writerows((number, f"{number:011d}", 30, caption) for number in range(clips))


def _write_marks(tasks, out: Path) -> None:
    for task in tasks:
        path = task.path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        DoneMark(
            planned=task.digest,
            shard_clips=task.shard_clips,
            listed=len(task.clips),
            entry=ShardEntry(file=path.name, clips=len(task.clips), bytes=0, sha256=""),
            streams={},
            failures=(),
        ).write(task.mark_path(out))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
