"""What was said of one recording, as files that other programs open."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluate.captions.hours.merging import Spoken
from features.common.console import harmless, json_text

if TYPE_CHECKING:
    from evaluate.captions.listener import Said

CSV_COLUMNS = ("file", "start_s", "end_s", "caption", "probability", "tags")


@dataclass(frozen=True, kw_only=True)
class Form:
    """A kind of file: how its name ends, and what makes its text."""

    ending: str
    text: "Callable[[Sequence[Said]], str]"


def as_srt(spoken: Iterable[Spoken]) -> str:
    """SubRip: number, times with a comma, text, empty line.

    Players drop what stands in < >, and there is no escape: such brackets become ‹ ›.
    """
    brackets = str.maketrans("<>", "‹›")
    return "".join(
        f"{number}\n{_times(item, ',')}\n{_line(item.text).translate(brackets)}\n\n"
        for number, item in enumerate(spoken, start=1)
    )


def as_vtt(spoken: Iterable[Spoken]) -> str:
    """WebVTT (w3.org/TR/webvtt1): a head, then cues; & < > are escaped in their text."""
    escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    cues = (f"{_times(item, '.')}\n{_line(item.text).translate(escapes)}\n\n" for item in spoken)
    return "WEBVTT\n\n" + "".join(cues)


def as_labels(spoken: Iterable[Spoken]) -> str:
    """Audacity's label track: start, end in seconds and text with tabs between, as it exports."""
    return "".join(f"{item.start_s:.6f}\t{item.end_s:.6f}\t{_line(item.text)}\n" for item in spoken)


def as_jsonl(said: "Iterable[Said]") -> str:
    """A JSON object a line, as `--json` lists them."""
    return "".join(json_text(record(item), indent=None) + "\n" for item in said)


def as_csv(said: "Iterable[Said]") -> str:
    """A head, then a row for each."""
    return "".join(harmless(line) + "\n" for line in csv_lines(said))


FORMS = {
    "srt": Form(ending=".srt", text=as_srt),
    "vtt": Form(ending=".vtt", text=as_vtt),
    # Audacity opens what ends in .txt; a .txt of its own may lie beside a recording already.
    "labels": Form(ending=".labels.txt", text=as_labels),
    "jsonl": Form(ending=".jsonl", text=as_jsonl),
    "csv": Form(ending=".csv", text=as_csv),
}


def record(item: "Said") -> dict[str, Any]:
    """One caption for programs; silence has no probability."""
    caption = item.caption
    found = {
        "file": item.file,
        "start_s": round(item.start_s, 3),
        "end_s": round(item.end_s, 3),
        "caption": item.text if caption is None else caption.text,
        "probability": None if caption is None else caption.n_best[0].probability,
        "tags": [] if caption is None else list(caption.tags),
    }
    if caption is not None and len(caption.n_best) > 1:
        found["n_best"] = [candidate.as_json() for candidate in caption.n_best]
    return found


def csv_lines(said: "Iterable[Said]") -> Iterator[str]:
    """CSV without line ends: the head, then rows as they come, tags joined by "; "."""
    yield ",".join(CSV_COLUMNS)
    for item in said:
        found = record(item)
        text = io.StringIO()
        # With another end a line break in a file's name would stand there without quotes.
        csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n").writerow(
            found | {"tags": "; ".join(found["tags"])}
        )
        yield text.getvalue().removesuffix("\n")


def clock(seconds: float, point: str = "") -> str:
    """Hours, minutes, seconds, and after the point, if there is one, thousandths: 01:02:03.004."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{whole:02}" + (f"{point}{thousandths:03}" if point else "")


def _times(item: Spoken, point: str) -> str:
    # A cue must end after it starts, however short its sound is.
    end_s = max(item.end_s, round(item.start_s, 3) + 0.001)
    return f"{clock(item.start_s, point)} --> {clock(end_s, point)}"


def _line(text: str) -> str:
    """A text in one line that is not empty: line breaks and tabs would end a cue or a label."""
    return " ".join(harmless(text).split()) or "…"
