"""Clips that get no SPICE since a caption of theirs would take minutes, and how that is said."""

from collections.abc import Sequence

import numpy as np

from evaluate.metrics.spice.client import MOST_WORDS, Spice, is_too_long
from evaluate.scores.layout import percent, span
from evaluate.scores.results import Without
from features.common.console import log


def too_long(
    references: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
) -> np.ndarray:
    """Which clips have a caption of more than MOST_WORDS words.

    Args:
        references: per clip, tokenised.
        candidates: per file and clip, tokenised.

    Returns:
        bool [files, clips].
    """
    by_reference = [any(is_too_long(text) for text in some) for some in references]
    return np.array(
        [
            [is_too_long(text) or long for text, long in zip(file, by_reference, strict=True)]
            for file in candidates
        ],
        bool,
    )


def say_left_out(left_out: np.ndarray, clips: Sequence[str]) -> None:
    """Name the clips that one or more files get no SPICE for; bool [files, clips]."""
    left: list[bool] = np.any(left_out, axis=0).tolist()
    named = [repr(clip) for clip, out in zip(clips, left, strict=True) if out]
    if named:
        log(
            f"warning: a caption of more than {MOST_WORDS} words takes SPICE minutes, so its clip "
            f"gets none (`evaluate score --long-captions` gives it): {len(named)} of "
            f"{len(clips):,} clips, {', '.join(named)}"
        )


def spice_values(
    spice: Spice,
    references: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
    left_out: np.ndarray,
) -> list[np.ndarray]:
    """SPICE per file, float64 [clips]; NaN for the clips that are left out.

    Args:
        spice: to ask.
        references: per clip, tokenised.
        candidates: per file and clip, tokenised.
        left_out: bool [files, clips].
    """
    # Nothing of a clip that is left out is parsed: SPICE gets empty texts for it.
    unneeded: list[bool] = np.all(left_out, axis=0).tolist()
    wanted_references = [
        [] if skip else some for skip, some in zip(unneeded, references, strict=True)
    ]
    wanted = [
        ["" if skip else text for skip, text in zip(skips, file, strict=True)]
        for skips, file in zip(left_out, candidates, strict=True)
    ]
    values = spice.scores(wanted_references, wanted)
    for clips, skips in zip(values, left_out, strict=True):
        clips[skips] = np.nan
    return values


def in_words(item: Without) -> str:
    """Why a metric has no value of the whole, with the value of the rest."""
    clips = "1 clip" if item.clips == 1 else f"{item.clips:,} clips"
    return f"for all clips; without {clips}: {percent(item.value)}, 95 % {span(item.interval)}"
