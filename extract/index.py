"""The index over all shards of a features folder, made from their done-marks."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from extract.shards import DoneMark, Failure, ShardTask, split_folder, whole_mark
from features.common.console import log
from features.common.publish import published, write_json
from features.spec import FAILURES_COLUMNS, FAILURES_NAME, INDEX_NAME, Index, SplitEntry

_WITHDRAWN_NAME = f".{INDEX_NAME}.withdrawn"


def withdraw_index(out: Path) -> None:
    """Take features.json away, since shards that it lists are about to change.

    Which splits it lists is remembered until the next one is published, however often the run is
    killed on the way.
    """
    with suppress(FileNotFoundError):
        (out / INDEX_NAME).replace(out / _WITHDRAWN_NAME)


def publish_index(out: Path, tasks: Sequence[ShardTask]) -> Index | None:
    """Write failures.csv and, last, features.json, if every shard of `tasks` is finished.

    Splits that an earlier run finished and this one did not ask for are kept as they are now; one
    of them that is not whole any more is left out, and named.

    Returns:
        The index, or None if another machine's shards are still missing.
    """
    marks: dict[str, list[DoneMark]] = {}
    originals = {task.split: task.original for task in tasks}
    for task in tasks:
        mark = task.done(out)
        if mark is None:
            return None
        marks.setdefault(task.split, []).append(mark)
    for split, entry in _earlier_splits(out).items():
        if split in marks:
            continue
        folder = split_folder(out, split, entry.original)
        found = [whole_mark(path) for path in sorted(folder.glob("[0-9]*.json"))]
        whole = [mark for mark in found if mark]
        if len(whole) < len(found) or sum(mark.listed for mark in whole) < entry.clips_listed:
            log(
                f"{folder}: is not finished any more and does not stand in {INDEX_NAME}; finish "
                f"it by: python -m extract run DUMP --out {out} --split {split}"
            )
            continue
        marks[split], originals[split] = whole, entry.original
    splits = {
        split: SplitEntry(
            shards=tuple(mark.entry for mark in of_split if mark.entry),
            clips_listed=sum(mark.listed for mark in of_split),
            clips_missing=sum(item.missing for mark in of_split for item in mark.failures),
            clips_failed=sum(not item.missing for mark in of_split for item in mark.failures),
            original=originals[split],
        )
        for split, of_split in sorted(marks.items())
    }
    filled = [mark for of_split in marks.values() for mark in of_split if mark.entry]
    # A stream counts as there once every shard has it.
    streams = {
        name: attrs
        for name, attrs in (filled[0].streams if filled else {}).items()
        if all(name in mark.streams for mark in filled)
    }
    _write_failures(
        out, [item for of_split in marks.values() for m in of_split for item in m.failures]
    )
    index = Index(streams=streams, splits=splits)
    write_json(out / INDEX_NAME, index.to_json())
    (out / _WITHDRAWN_NAME).unlink(missing_ok=True)
    return index


def _earlier_splits(out: Path) -> dict[str, SplitEntry]:
    for name in (INDEX_NAME, _WITHDRAWN_NAME):
        if (out / name).is_file():
            return Index.read(out, name).splits
    return {}


def _write_failures(out: Path, failures: Sequence[Failure]) -> None:
    with (
        published(out / FAILURES_NAME) as draft,
        draft.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(FAILURES_COLUMNS)
        writer.writerows((item.clip, item.path, item.reason) for item in failures)
