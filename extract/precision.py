"""In which arithmetic a folder is made: as asked, as it was begun, or as suits the device."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extract.gathering import draft_mark
from extract.running.gpu import has_tf32
from extract.shards import DoneMark, ShardTask
from extract.streams import STREAMS
from features.common.errors import ConfigError

PRECISIONS = ("float32", "tf32", "bf16")
NEEDS_A_GPU = frozenset({"tf32"})
# What the parts of a run agree on before any of them has a shard.
_AGREED = ".precision"


def settled(
    asked: str | None, out: Path, tasks: Sequence[ShardTask], *, parts: int, own: str
) -> str:
    """The precision of a run.

    Args:
        asked: what the option says, if it does.
        out: the features folder.
        tasks: all its shards.
        parts: how many runs share the work.
        own: what a folder is begun in here.

    Raises:
        ConfigError: if the other parts were begun in another precision.
    """
    begun = _begun_in(_marked(out, tasks))
    wanted = asked or begun or own
    if begun is not None or parts == 1:
        return wanted
    agreed = _agreed(out / _AGREED, wanted)
    if agreed != wanted and asked is not None:
        raise ConfigError(
            f"{out}: its parts were begun in {agreed} ({_AGREED}), now asked for {asked}; use "
            f"--precision {agreed}, or another --out"
        )
    return agreed


def own_precision(device: str, engine: str) -> str:
    """What a folder is begun in unless told: TF32 on GPUs, if this machine's have it."""
    if device == "cpu":
        return "float32"
    return "tf32" if engine == "ray" or has_tf32(device) else "float32"


def _marked(out: Path, tasks: Sequence[ShardTask]) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    for task in tasks:
        for mark in (DoneMark.read(task.mark_path(out)), draft_mark(task, out)):
            if mark is not None:
                yield mark.streams


def _begun_in(shards: Iterable[Mapping[str, Mapping[str, Any]]]) -> str | None:
    """What shards' streams were made in, by the first that tells; some know float32 alone."""
    for streams in shards:
        made_in = {name: str(attrs["precision"]) for name, attrs in streams.items()}
        for precision in made_in.values():
            if precision != "float32":
                return precision
        if any(name in STREAMS and STREAMS[name].precisions for name in made_in):
            return "float32"
    return None


def _agreed(path: Path, wanted: str) -> str:
    """What stands at `path`, which is `wanted` if nothing did."""
    draft = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}.part")
    draft.write_text(f"{wanted}\n")
    try:
        os.link(draft, path)  # of several at once, one is first
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text().strip()
