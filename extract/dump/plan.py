"""A dump folder becomes a plan: which clips there are, with which captions, in which file.

Every reader gives the same entries (extract/dump/tables/entries.py), whatever it reads. Here they
are gathered by clip and split, and every clip gets its file.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extract.dump.assign import assign
from extract.dump.audio_files import AudioFiles, check_folder
from extract.dump.clips import Gatherer, Listed, PlannedClip
from extract.dump.find import CONTAINER_KINDS, Chosen, check_kind, find_captions
from extract.dump.refusals import say_unused
from extract.dump.splits import SPLITS, SplitRule, folder_splits, meanings
from extract.dump.tables.containers import contained_entries
from extract.dump.tables.entries import Entry, Table, entries
from extract.dump.tables.texts import CAPTION_COLUMNS
from features.common.console import log
from features.common.damaged import some
from features.common.errors import ConfigError, DumpError

FOLDER_SPLIT = "all"
_IDS_OF_THEIR_OWN = ("wavcaps", "webdataset")  # kinds whose files each count from the start


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All clips of a dump by split, missing ones included, in the order of the captions files.

    Attributes:
        kind: of dataset.
        splits: the clips.
        originals: what the dump itself calls a split, where that is something else.
    """

    kind: str
    splits: Mapping[str, Sequence[PlannedClip]]
    originals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Splits:
    """What the captions list by split, and the words of the dump for these splits."""

    listed: dict[str, Listed]
    words: dict[str, str]
    folders: dict[str, str]
    by_rule: bool = False


def read_dump(
    dump: Path,
    *,
    captions: Path | None = None,
    kind: str | None = None,
    splits: Sequence[str] | None = None,
    rule: SplitRule | None = None,
) -> Plan:
    """Plan the extraction of a dump.

    Args:
        dump: folder with the audio, in any known layout.
        captions: folder with the captions files, or one such file, when they are not in the dump.
        kind: one of find.KINDS; recognised when None. `folder` is audio without captions.
        splits: which to plan, by our names or the dump's own; all by default.
        rule: how clips are divided where nothing names their split.

    Raises:
        DumpError: if the dump or its captions cannot be used.
        ConfigError: if `kind` is unknown, or a rule was asked for and the dump has splits.
    """
    check_kind(kind)
    check_folder(dump)
    files = AudioFiles(dump)
    chosen = None if kind == "folder" else find_captions(dump, files, captions, kind)
    if chosen is None:
        say_unused(files.tables)
        if splits and FOLDER_SPLIT not in splits:
            _wanted(dump, splits, {FOLDER_SPLIT: ""})
        return Plan(kind="folder", splits={FOLDER_SPLIT: _plan_folder(dump, files)})
    say_unused(chosen.unused)
    found = _gathered(dump, chosen, rule or SplitRule())
    wanted = _wanted(dump, splits, found.words)
    if chosen.kind in CONTAINER_KINDS:
        planned = {split: listed.planned() for split, listed in found.listed.items()}
    else:
        # All are looked up, not only those asked for: a bare id is certain only among all of them.
        # Where a rule divides, a folder named `train` is one of railways.
        meant = {} if found.by_rule else {word: split for split, word in found.words.items()}
        planned = assign(files, found.listed, found.folders, meant, chosen.kind)
    return Plan(
        kind=chosen.kind,
        splits={split: planned[split] for split in planned if split in wanted},
        originals={split: word for split, word in found.words.items() if word != split},
    )


def listed_in(path: Path, kind: str) -> Listed:
    """The clips of one captions file, whatever their splits.

    Raises:
        DumpError: if it cannot be read.
    """
    by_word = {"": Gatherer()}
    table = Table(path=path, shown=str(path), kind=kind)
    _gather_into(by_word, (entry._replace(split="") for entry in entries(table)), table)
    return by_word[""].listed()


def _gathered(dump: Path, chosen: Chosen, rule: SplitRule) -> _Splits:
    """Read all tables, and find every clip's split.

    It is what the row says, else what the file of the row is called after, else what all the files
    that are named lie below, else what the rule makes of the name.
    """
    by_word: dict[str, Gatherer] = {}
    folders: dict[str, str] = {}
    for table in chosen.tables:
        read = contained_entries if table.kind in CONTAINER_KINDS else entries
        _gather_into(by_word, read(table), table, dump)
        if table.folder:
            folders[table.word] = table.folder
    listed = {word: gatherer.listed() for word, gatherer in by_word.items()}
    if not sum(len(table.ids) for table in listed.values()):
        raise DumpError(f"{chosen.tables[0].path}: lists no clips")
    if not any(caption for table in listed.values() for caption in table.captions):
        if chosen.beside:
            raise DumpError(
                f"{dump}: {some(chosen.beside)} holds captions, {chosen.tables[0].shown} sounds "
                "without any; these are read together once the sounds are unpacked; "
                f"--kind {chosen.kind} goes on without captions"
            )
        names = ", ".join(CAPTION_COLUMNS)
        log(f"{dump}: not one clip has a caption; they are looked for as {names} or caption_1 …")
    if set(listed) == {""}:
        listed = _by_folder(listed[""]) or listed
    if set(listed) == {""} or (rule.asked and set(listed) <= {"", "train", "training"}):
        whole = listed.get("") or next(iter(listed.values()))
        return _Splits(
            listed=_by_rule(whole, rule),
            words={split: split for split in SPLITS},
            folders=dict.fromkeys(SPLITS, next(iter(folders.values()), "")),
            by_rule=True,
        )
    if rule.asked:
        raise ConfigError(
            f"{dump}: its captions name the splits {', '.join(map(repr, listed))}; --val and "
            "--test are for captions without splits: leave them out"
        )
    meant = chosen.meant if set(listed) <= set(chosen.meant) else meanings(listed)
    return _named_splits(chosen.tables[0].path, listed, meant, folders)


def _named_splits(
    path: Path, listed: Mapping[str, Listed], meant: Mapping[str, str], folders: Mapping[str, str]
) -> _Splits:
    unknown = [word for word in listed if word not in meant]
    if unknown:
        found = "rows without a split" if unknown[0] == "" else f"a split {unknown[0]!r}"
        raise DumpError(f"{path}: has {found}, expected {', '.join(SPLITS)} for every row")
    counts = Counter(meant[word] for word in listed)
    twice = [split for split, count in counts.items() if count > 1]
    if twice:
        both = " and ".join(repr(word) for word in listed if meant[word] == twice[0])
        raise DumpError(f"{path}: {both} mean the one split {twice[0]}; name it one way")
    words = {meant[word]: word for word in listed}
    renamed = [f"{word} is {split}" for split, word in words.items() if word != split]
    if renamed:
        log(f"splits: {', '.join(renamed)}")
    order = sorted(words, key=SPLITS.index)
    return _Splits(
        listed={split: listed[words[split]] for split in order},
        words={split: words[split] for split in order},
        folders={split: folders.get(words[split], folders.get("", "")) for split in order},
    )


def _gather_into(
    by_word: dict[str, Gatherer], read: Iterator[Entry], table: Table, dump: Path = Path()
) -> None:
    empty = repeats = renamed = 0
    own: set[str] = set()
    for entry in read:
        word = entry.split or table.word
        if word not in by_word:
            by_word[word] = Gatherer()
        named = entry.path.endswith(f"//{entry.id}")  # else it has an id of AudioCaps
        if table.kind in _IDS_OF_THEIR_OWN:
            # The same id in another file is another clip.
            if entry.id in by_word[word] and entry.id not in own:
                label = entry.name or table.shown
                entry = entry._replace(id=f"{label}/{entry.id}")
            own.add(entry.id)
        if named and entry.id in by_word[word]:
            from extract.sound.contained import same_sound  # scoring, without decoders, needs none

            repeats += 1
            first = by_word[word].path_of(entry.id)
            # To compare all of parquet would be to read it twice: the first, the second, the fourth
            # repeated row … show soon enough what its names are.
            compared = table.kind == "webdataset" or repeats & (repeats - 1) == 0
            if compared and not same_sound(dump, first, entry.path):
                if table.kind == "parquet":
                    raise DumpError(
                        f"{table.path}: {entry.id!r} is the name of several sounds, {first} and "
                        f"{entry.path}; give each a name of its own in a column file_name"
                    )
                entry = entry._replace(id=f"{entry.id}#{repeats + 1}")
                renamed += 1
        captions = [caption for caption in entry.captions if caption]
        empty += max(1, len(entry.captions)) - len(captions)
        by_word[word].add(entry.id, captions, entry.name, entry.path)
    if empty:
        log(f"{table.path}: {empty:,} empty captions left out; their clips stay")
    if renamed:
        log(f"{table.path}: {renamed:,} sounds have another one's name; theirs are NAME#NUMBER now")


def _by_folder(listed: Listed) -> dict[str, Listed] | None:
    """Divide by the folders in the files' names, if every one lies below one named as a split."""
    by_split: dict[str, list[int]] = {}
    for index, name in enumerate(listed.ids):
        splits = folder_splits(name.replace("\\", "/").split("/")[:-1], {})
        if len(splits) != 1:
            return None
        by_split.setdefault(splits.pop(), []).append(index)
    log(f"splits: by the folders of the files, {', '.join(by_split)}")
    return {split: listed.select(clips) for split, clips in by_split.items()}


def _by_rule(listed: Listed, rule: SplitRule) -> dict[str, Listed]:
    clips: dict[str, list[int]] = {split: [] for split in SPLITS}
    for index, name in enumerate(listed.ids):
        clips[rule.split_of(name)].append(index)
    val, test = rule.shares
    counts = ", ".join(f"{split} {len(of_split):,}" for split, of_split in clips.items())
    log(
        f"splits: the captions name none; by the files' names {counts} (--val {val:g} "
        f"--test {test:g})"
    )
    return {split: listed.select(of_split) for split, of_split in clips.items() if of_split}


def _plan_folder(dump: Path, files: AudioFiles) -> list[PlannedClip]:
    clips = [PlannedClip(path, path) for path in sorted(files)]
    if not clips:
        raise DumpError(
            f"{dump}: found neither captions (train.csv, val.csv, test.csv, "
            "clotho_captions_<split>.csv or captions.csv) nor audio files; name the folder that "
            "holds the clips, or make a synthetic dump with: python -m extract demo DUMP"
        )
    return clips


def _wanted(dump: Path, asked: Sequence[str] | None, words: Mapping[str, str]) -> set[str]:
    """The splits asked for, by our names or the dump's own."""
    ours = {**{word: split for split, word in words.items() if word}, **{s: s for s in words}}
    unknown = [name for name in asked or () if name not in ours]
    if unknown:
        raise DumpError(f"{dump}: has no split {unknown[0]!r}; it has {', '.join(words)}")
    return {ours[name] for name in asked} if asked else set(words)
