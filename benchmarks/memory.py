"""Memory of an extraction after 1,000, 2,000 … 10,000 clips: it must not grow.

    python -m benchmarks.memory [CLIPS]

The clips are links to 200 short files, of 200 lengths and three rates, since it is changing sizes
that make memory grow. The networks are tiny, so that the number of clips counts and not their
size. Resident memory of the main process and of its decoding process is printed.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.tiny_networks import write_tiny_networks
from extract.dump.plan import read_dump
from extract.pipeline import make_shards
from extract.shards import plan_shards
from extract.sound.decode import Settings
from extract.streams import load_encoders
from features.common.memory import keep_freed_memory

FILES = 200
RATES_HZ = (16_000, 22_050, 44_100)
EVERY = 1_000
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


def main(clips: int = 10_000) -> None:
    """Print resident memory by clips done, and the growth from 1,000 clips to the last."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_dump(folder / "dump", folder / "files", clips)
        weights = write_tiny_networks(folder / "weights")
        encoders = load_encoders(["yamnet", "vggish"], weights)
        seen: dict[int, float] = {}
        count = 0

        def heard(clips: int) -> None:
            nonlocal count
            count += clips
            if count % EVERY == 0:
                seen[count] = sum(map(_resident_mb, [os.getpid(), *_children()]))
                print(f"{count:7,} clips: {seen[count]:8.1f} MB", flush=True)

        tasks = plan_shards(read_dump(folder / "dump"), 500)
        (folder / "out" / "all").mkdir(parents=True)
        for _ in make_shards(
            tasks,
            dump=folder / "dump",
            out=folder / "out",
            encoders=encoders,
            settings=Settings(workers=1),
            heard=heard,
        ):
            pass
    growth = seen[max(seen)] / seen[EVERY] - 1
    print(f"growth from {EVERY:,} to {max(seen):,} clips: {growth:+.1%}")


def _write_dump(dump: Path, files: Path, clips: int) -> None:
    dump.mkdir()
    files.mkdir()
    rng = np.random.default_rng(0)
    for i in range(FILES):
        noise = rng.normal(0, 0.1, int(rng.integers(2_000, 40_000))).astype(np.float32)
        soundfile.write(files / f"{i}.wav", noise, RATES_HZ[i % len(RATES_HZ)])
    for i in range(clips):
        (dump / f"{i:06d}.wav").symlink_to(files / f"{rng.integers(FILES)}.wav")


def _children() -> list[int]:
    me = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MB


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
