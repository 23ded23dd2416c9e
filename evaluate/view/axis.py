"""One linked view of a sound: spectrogram, tags and a caption's words on one time axis.

The report shows it of a clip, the page of `evaluate serve` of what somebody sent; both lay it out
by template/view.html, view.css and view.js.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log1p, prod

from evaluate.view.inside import Insight
from evaluate.view.pictures import BANDS_HZ, RANGE_DB
from evaluate.view.timeline import Timeline
from evaluate.view.words import Word, from_pieces

HZ_TICKS = (250, 500, 1000, 2000, 4000)


@dataclass(frozen=True, kw_only=True)
class WordLane:
    """What the decoder looked at when it said a word.

    Attributes:
        word: the word.
        shares: of what it looked at on rows of features, how much on each; adds up to 1.
        elsewhere: how much of all attention went to the prompt's start, end and full stops.
    """

    word: Word
    shares: tuple[float, ...]
    elsewhere: float


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A caption taken apart: its words over time, and the model's prompt.

    Attributes:
        label: whose caption it is; "" where there is one only.
        hop_s: seconds from a row of the words' lanes to the next.
        lanes: one per word.
        end: probability of the end of the sentence.
        prompt: pieces of the encoder's input, and whether each is a tag's.
        attention: per word, how much it looked at each piece, in thousandths.
        probability: of the whole caption.
    """

    label: str
    hop_s: float
    lanes: tuple[WordLane, ...]
    end: float
    prompt: tuple[tuple[str, bool], ...]
    attention: tuple[tuple[int, ...], ...]
    probability: float


@dataclass(frozen=True, kw_only=True)
class View:
    """What stands on one time axis.

    Attributes:
        seconds: length of the sound.
        start_s: what the clock says at the left edge.
        sound: what an <audio> element plays, "" for nothing.
        picture: the spectrogram, "" for none.
        timeline: tags, if any.
        spoken: one per caption that the model was asked about.
    """

    seconds: float
    start_s: float = 0.0
    sound: str = ""
    picture: str = ""
    timeline: Timeline | None = None
    spoken: tuple[Spoken, ...] = ()

    @property
    def extent_s(self) -> float:
        """What the full width stands for: the sound, or the rows of features that outlast it."""
        tags = self.timeline
        rows_s = len(tags.seconds) * tags.hop_s if tags else 0.0
        return max(self.seconds, rows_s, 0.1)

    @property
    def shown(self) -> bool:
        return bool(self.picture or self.timeline or self.spoken)

    @property
    def rows(self) -> int:
        """Cells side by side in the lane that has the most."""
        tags = len(self.timeline.seconds) if self.timeline else 1
        return max([tags, *(len(lane.shares) for said in self.spoken for lane in said.lanes)])

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Full seconds: where, in per cent of the width, and what the clock says there."""
        step = max(1, round(self.extent_s / 10))
        first = -(-self.start_s // 1)
        count = floor((self.start_s + self.extent_s - first) / step + 1e-6) + 1
        times = [first + step * number for number in range(count)]
        return [(100 * (time - self.start_s) / self.extent_s, f"{time:.0f}") for time in times]

    @property
    def hz_ticks(self) -> list[tuple[float, str]]:
        """Frequencies: where, in per cent from the top, and their name."""
        low, high = (_mel(hz) for hz in BANDS_HZ)
        names = [f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz" for hz in HZ_TICKS]
        return [
            (100 * (high - _mel(hz)) / (high - low), name)
            for hz, name in zip(HZ_TICKS, names, strict=True)
        ]

    @property
    def range_db(self) -> str:
        return f"{RANGE_DB:.0f}"


def spoken(seen: Insight, references: Sequence[str] = (), label: str = "") -> Spoken:
    """Take a caption apart.

    Args:
        seen: the model asked about it.
        references: what people said of the clip, to mark words that they did not use.
        label: whose caption it is.
    """
    by_row, elsewhere = seen.by_row()
    words = from_pieces(seen.tokens[:-1], seen.probabilities[:-1], references)
    lanes, attention = [], []
    for word in words:
        pieces = list(word.pieces)
        rows = by_row[pieces].mean(axis=0)
        lanes.append(
            WordLane(
                word=word,
                shares=tuple((rows / max(float(rows.sum()), 1e-12)).tolist()),
                elsewhere=float(elsewhere[pieces].mean()),
            )
        )
        mean = seen.attention[pieces].mean(axis=0)
        attention.append(tuple((mean * 1000).round().astype(int).tolist()))
    return Spoken(
        label=label,
        hop_s=seen.hop_s,
        lanes=tuple(lanes),
        end=seen.probabilities[-1],
        prompt=tuple(
            (piece or f"{row + 1} ", row >= 0)
            for piece, row in zip(seen.prompt, seen.prompt_rows, strict=True)
        ),
        attention=tuple(attention),
        probability=prod(seen.probabilities),
    )


def _mel(hz: float) -> float:
    """HTK's mel scale, which the spectrogram's bands are spaced on, up to a factor."""
    return log1p(hz / 700)
