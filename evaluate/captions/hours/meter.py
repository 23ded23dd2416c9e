"""Progress through hours of sound: how many hours an hour, and how long it will take."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from extract.sound.ahead import Ended
from extract.sound.windows import guessed_s
from features.common.console import progress

if TYPE_CHECKING:
    from evaluate.captions.listener import Followed

_FORM = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"


class Meter(AbstractContextManager["Meter"]):
    """A bar on stderr that counts seconds of sound; how long files last is guessed beforehand."""

    def __init__(self, files: Sequence[Path], *, shown: bool = True) -> None:
        self._guesses_s = [guessed_s(file) for file in files]
        self._number, self._at_s, self._done_s = 0, 0.0, 0.0
        self._begun = time.monotonic()
        self._bar = progress(total=max(1, round(sum(self._guesses_s))), what="caption", unit="s")
        self._bar.disable = self._bar.disable or not shown
        self._bar.bar_format = _FORM

    def __exit__(self, *ended: object) -> None:
        self._bar.close()

    def watch(self, items: "Followed") -> "Followed":
        """The same, with the bar going on as they are taken."""
        for number, item in items:
            if isinstance(item, Ended):
                self._end(number)
            else:
                self._hear(number, item[0].end_s)
            yield number, item

    def _hear(self, number: int, end_s: float) -> None:
        if number != self._number:
            self._number, self._at_s = number, 0.0
        self._show(end_s - self._at_s)
        self._at_s = max(self._at_s, end_s)

    def _end(self, number: int) -> None:
        heard_s = self._at_s if number == self._number else 0.0
        self._bar.total = max(1.0, self._bar.total + heard_s - self._guesses_s[number])
        self._show(0.0)

    def summary(self) -> str:
        """Hours of sound so far, and how many an hour."""
        return f"{self._done_s / 3600:.2f} h of sound, {self._rate():.3g} h an hour"

    def _show(self, seconds: float) -> None:
        self._done_s += max(0.0, seconds)
        self._bar.total = max(self._bar.total, self._done_s)  # a guess may be too low
        text = f"{self._done_s / 3600:.2f} of {self._bar.total / 3600:.2f} h, "
        self._bar.set_postfix_str(f"{text}{self._rate():.3g} h of sound an hour", refresh=False)
        self._bar.update(max(0.0, seconds))

    def _rate(self) -> float:
        return self._done_s / max(1e-9, time.monotonic() - self._begun)
