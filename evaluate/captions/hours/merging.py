"""Neighbours that say the same become one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from evaluate.captions.listener import Said


class Spoken(Protocol):
    """A stretch of sound and the text that describes it."""

    @property
    def text(self) -> str: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


S = TypeVar("S", bound=Spoken)


def runs(spoken: Iterable[S]) -> Iterator[list[S]]:
    """Neighbours of equal text together, in order."""
    return (list(same) for _, same in groupby(spoken, lambda item: item.text))


def merged(said: "Iterable[Said]") -> "list[Said]":
    """One recording's stretches: each from the start of the first to the end of the last of a run.

    Its caption, with probability and rivals, is that of the window where it is least sure; its tags
    are those of all windows, each once.
    """
    return [_joined(run) for run in runs(said)]


def _joined(run: "Sequence[Said]") -> "Said":
    captions = [item.caption for item in run if item.caption is not None]
    if len(run) == 1 or not captions:
        return replace(run[0], end_s=run[-1].end_s)
    least = min(captions, key=lambda caption: caption.logprob)
    tags = dict.fromkeys(tag for caption in captions for tag in caption.tags)
    return replace(run[0], end_s=run[-1].end_s, caption=replace(least, tags=tuple(tags)))
