"""What the page of `evaluate serve` says about a long recording: captions as they come, then files.

Nothing of it is drawn, and nothing is written: the files stand in the page itself, as addresses
that hold them, so that they are there as long as it is open.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evaluate.captions.hours.forms import FORMS, clock
from evaluate.captions.hours.merging import merged
from evaluate.captions.layers.precision import precision_of
from evaluate.captions.listener import Listener, Recording, Said
from evaluate.captions.options import DecodingOptions
from evaluate.page.answer import (
    as_address,
    check_accepted,
    check_length,
    unreadable_sound,
    window_record,
)
from evaluate.page.limits import PICTURED_S, Limits
from evaluate.report.pages import environment
from extract.sound.ahead import Ended
from extract.sound.windows import guessed_s, read_windows
from features.common.errors import ClipError

_OFFERED = ("srt", "vtt", "labels", "csv")
_TOGETHER = 16  # windows captioned at once: fewer than a file's, for captions that come soon
_SHOW_S = 1.0  # captions so far are shown so often at most
_LATEST = 30  # stretches shown while there are more to come


@dataclass(frozen=True, kw_only=True)
class SoFar:
    """A long recording up to here.

    Attributes:
        name: of its file.
        said: stretches, equal neighbours as one.
        lasts_s: what it seems to last.
        ended: whether this is all.
        stopped: whether this is all since nobody wanted more.
        damage: why there is no more of it, "" for a whole recording.
    """

    name: str
    said: tuple[Said, ...]
    lasts_s: float
    ended: bool
    stopped: bool = False
    damage: str = ""

    @property
    def share(self) -> float:
        """How much of it was heard, 0 to 1."""
        return min(1.0, self.said[-1].end_s / max(1e-9, self.lasts_s)) if self.said else 0.0


def is_long(file: Path) -> bool:
    """Whether a sound is listed with files, and not drawn."""
    return guessed_s(file) > PICTURED_S


def listen(listener: Listener, file: Path, limits: Limits) -> Iterator[SoFar]:
    """Caption a recording window by window, in constant memory.

    Yields:
        What was said so far, every second or so, and all of it at the end.

    Raises:
        ClipError: with a reason for people, if the file cannot be used, or none of it.
    """
    check_accepted(file, limits)
    heard = partial(SoFar, name=file.name, lasts_s=guessed_s(file))
    recording = Recording(name=file.name, windows=partial(read_windows, file))
    precision = precision_of(listener.run.model)
    options = DecodingOptions(precision=precision, batch_size=_TOGETHER)
    said: list[Said] = []
    shown = time.monotonic()
    for _, item in listener.follow([recording], options):
        if isinstance(item, Ended):
            if item.failure and not said:
                raise unreadable_sound(ClipError(item.failure))
            yield heard(said=tuple(merged(said)), ended=True, damage=item.failure)
            return
        said.append(item[0])
        check_length(said[-1].end_s, limits)
        if time.monotonic() - shown >= _SHOW_S:
            shown = time.monotonic()
            yield heard(said=tuple(merged(said)), ended=False)


def as_text(heard: SoFar) -> str:
    """The captions, a line for each stretch."""
    return "\n".join(item.text for item in heard.said)


def as_html(heard: SoFar) -> str:
    """The captions with their times, the latest while they come; all of them and files at last."""
    shown = heard.said if heard.ended else heard.said[-_LATEST:]
    rows = [(clock(item.start_s), clock(item.end_s), item.text) for item in shown]
    files = []
    if heard.ended:
        for form in _OFFERED:
            name = Path(heard.name).stem + FORMS[form].ending
            content = FORMS[form].text(heard.said).encode("utf-8")
            files.append((name, as_address("text/plain;charset=utf-8", content)))
    template = environment().get_template("long.html")
    return template.render(
        heard=heard, rows=rows, left_out=len(heard.said) - len(rows), files=files
    )


def as_record(heard: SoFar) -> dict[str, Any]:
    """The same for programs, in the form of a short sound's answer."""
    return {
        "caption": as_text(heard),
        "windows": [
            window_record(
                item.start_s,
                item.end_s,
                item.caption,
                () if item.caption else ("This is silence.",),
            )
            for item in heard.said
        ],
    }
