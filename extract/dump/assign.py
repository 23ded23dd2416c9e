"""Every clip that the captions list gets its file, and no file goes to two clips."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import PurePosixPath

import numpy as np

from extract.dump.audio_files import AudioFiles
from extract.dump.clips import Listed, Planned, Texts
from extract.dump.names import AudioCapsNames, Chooser, FileNames, count, hashes
from features.common.console import log

_Place = tuple[str, int]  # split, position


def assign(
    files: AudioFiles,
    listed: Mapping[str, Listed],
    folders: Mapping[str, str],
    meant: Mapping[str, str],
    kind: str,
) -> dict[str, Planned]:
    """Look every clip up among the files of a dump.

    First by the names that are known; then, for clips without a file, by names that nearly fit,
    among the files that are nobody's, where exactly one fits.

    Args:
        files: of the dump.
        listed: clips by split.
        folders: of the captions files, by split, relative to the dump; "" for the dump itself.
        meant: the captions' words for splits, and what they mean.
        kind: of dataset.
    """
    chooser = Chooser(meant)
    look_up = (
        AudioCapsNames(files, list(listed.values()), chooser)
        if kind == "audiocaps"
        else FileNames(files, chooser)
    )
    paths: dict[str, Texts] = {}
    reasons: dict[str, dict[int, str]] = {}
    without: list[_Place] = []
    for split, table in listed.items():
        paths[split], reasons[split] = Texts(), {}
        for index in range(len(table.ids)):
            path, reason = look_up.find(table, index, split, folders.get(split, ""))
            paths[split].append(path or "")
            if reason:
                reasons[split][index] = reason
            elif not path:
                without.append((split, index))
    if without and len(files):
        nearly = _nearly(listed, look_up, chooser, without, np.sort(hashes(chain(*paths.values()))))
        for split in dict.fromkeys(split for split, _ in nearly):
            paths[split] = Texts(
                nearly.get((split, index), path) for index, path in enumerate(paths[split])
            )
    given = hashes(chain(*paths.values()))  # of "", which is no file, 0
    _leave_out_doubles(listed, paths, reasons, given)
    if chooser.ties:
        taken, other = chooser.ties[0]
        log(
            f"{len(chooser.ties):,} clips have files of their name in several folders; {taken!r} "
            f"was taken, not {other!r}: if those are other recordings, name folders in the captions"
        )
    _say_left(files, np.unique(given[given != 0]))
    return {split: table.planned(paths[split], reasons[split]) for split, table in listed.items()}


def _nearly(
    listed: Mapping[str, Listed],
    look_up: AudioCapsNames | FileNames,
    chooser: Chooser,
    without: list[_Place],
    taken: np.ndarray,
) -> dict[_Place, str]:
    """Files for clips that have none: those that nearly fit and are nobody's (`taken`)."""
    claims: dict[str, list[_Place]] = {}
    for split, index in without:
        free = [p for p in look_up.near(listed[split], index, split) if not count(taken, p)]
        stems = {str(PurePosixPath(path).with_suffix("")) for path in free}
        path = chooser.best(sorted(set(free)), split) if len(stems) == 1 else None
        if path:
            claims.setdefault(path, []).append((split, index))
    given = {
        place: path
        for path, places in claims.items()
        if len({listed[split].ids[index] for split, index in places}) == 1
        for place in places
    }
    if given:
        (split, index), path = next(iter(given.items()))
        log(
            f"{len(given):,} clips found under names that differ a little from the captions', "
            f"the first is {listed[split].ids[index]!r}: {path!r}"
        )
    return given


def _say_left(files: AudioFiles, taken: np.ndarray) -> None:
    """Say how many files are no clip's, given the hashes of all that are, in order."""
    if len(files) > len(taken):
        first = next((path for path in files if not count(taken, path)), "")
        log(f"{len(files) - len(taken):,} audio files are no clip's, such as {first!r}")


def _leave_out_doubles(
    listed: Mapping[str, Listed],
    paths: Mapping[str, Texts],
    reasons: Mapping[str, dict[int, str]],
    files: np.ndarray,
) -> None:
    """A file goes to the first clip that it fits; the same clip in two splits is no other."""
    clips = hashes(chain(*(table.ids for table in listed.values())))
    twice = set(_given_twice(clips, files))
    position = 0
    for split, table in listed.items():
        for index in range(len(table.ids)) if twice else ():
            if position + index in twice:
                path = paths[split][index]
                reasons[split][index] = f"missing: {path} fits an earlier clip too"
        position += len(table.ids)


def _given_twice(clips: np.ndarray, files: np.ndarray) -> Iterator[int]:
    """Whose file went to another clip before.

    Args:
        clips: hashes of ids [n].
        files: hashes of paths [n], 0 where there is none.
    """
    ordered = np.sort(files)
    doubled = set(ordered[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)].tolist())
    owner: dict[int, int] = {}
    for at, file in enumerate(files.tolist() if doubled else ()):
        if file in doubled and owner.setdefault(file, clips[at]) != clips[at]:
            yield at
