"""How well people agree: each caption of a clip scored against the clip's other captions.

The paper's "Human" row. Captions files as published: AudioCaps (youtube_id, start_time, caption; a
row per caption) and Clotho (file_name, caption_1, caption_2, …; a row per clip).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluate.scores.predictions import PredictionSets
from extract.dump.plan import listed_in
from extract.dump.tables.entries import columns_of, table_kind
from features.common.errors import DumpError
from features.common.reading import check_ordinary


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Captions by clip id, in the file's order; empty ones are left out.

    Raises:
        DumpError: if the file is absent, lacks the columns of both data sets, or has a bad row.
    """
    kind = table_kind(path)
    if not kind:
        raise DumpError(
            f"{path}: {_why_not(path)}; name a captions file, such as AudioCaps' test.csv"
        )
    listed = listed_in(path, kind)
    return {listed.ids[i]: listed.captions_of(i) for i in range(len(listed.ids))}


def _why_not(path: Path) -> str:
    try:
        check_ordinary(path)
        path.open("rb").close()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return (
        f"found the columns {columns_of(path)}, expected youtube_id, start_time and caption, or a "
        "file's name and its captions"
    )


def leave_one_out(captions: Mapping[str, Sequence[str]], source: Path) -> list[PredictionSets]:
    """As many sets as captions per clip: in set k caption k is the candidate, the rest references.

    Args:
        captions: per clip at least two, the same number for every clip.
        source: the file that they come from, for error messages.

    Raises:
        DumpError: if clips have different numbers of captions, or fewer than two.
    """
    if not captions:
        raise DumpError(f"{source}: holds no captions")
    first, texts = next(iter(captions.items()))
    count = len(texts)
    if count < 2:
        raise DumpError(
            f"{source}: clip {first!r} has one caption; at least two are needed, as the test and "
            "validation files have"
        )
    for clip, texts in captions.items():
        if len(texts) != count:
            raise DumpError(
                f"{source}: clip {clip!r} has {len(texts)} captions, {first!r} has {count}; "
                "expected the same number for every clip"
            )
    return [
        PredictionSets(
            clips=tuple(captions),
            references=tuple((*texts[:k], *texts[k + 1 :]) for texts in captions.values()),
            candidates=(tuple(texts[k] for texts in captions.values()),),
        )
        for k in range(count)
    ]
