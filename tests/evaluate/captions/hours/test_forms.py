"""The forms, read back by parsers written from their specifications, and by ffmpeg."""

import csv
import json
import re
from dataclasses import dataclass

import pytest

from evaluate.captions.candidate import Candidate, Caption
from evaluate.captions.hours.forms import as_csv, as_jsonl, as_labels, as_srt, as_vtt
from evaluate.captions.hours.merging import merged
from evaluate.captions.listener import Said


@dataclass
class Spoken:
    start_s: float
    end_s: float
    text: str


DAY = [
    Spoken(0, 10, "a dog barks, <loudly> & long"),
    Spoken(10, 3_599.9996, "[silence]"),
    Spoken(86_400, 360_000.25, "birds --> trees\n\nsing\tagain"),
    Spoken(360_000.25, 360_000.2501, ""),
]
MS = [(0, 10_000), (10_000, 3_600_000), (86_400_000, 360_000_250), (360_000_250, 360_000_251)]


def milliseconds(hours, minutes, seconds, thousandths) -> int:
    assert int(minutes) < 60 and int(seconds) < 60
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(thousandths)


def test_srt_is_numbered_cues_of_times_text_and_an_empty_line():
    time = r"(\d{2,}):(\d\d):(\d\d),(\d{3})"
    cue = re.compile(rf"(\d+)\n{time} --> {time}\n((?:(?!.*-->).+\n)+)\n")
    text, at, found = as_srt(DAY), 0, []
    while at < len(text):
        match = cue.match(text, at)
        assert match, text[at:]
        number, *times, words = match.groups()
        found.append((int(number), (milliseconds(*times[:4]), milliseconds(*times[4:])), words))
        at = match.end()
    assert [item[0] for item in found] == [1, 2, 3, 4]
    assert [item[1] for item in found] == MS
    assert found[0][2] == "a dog barks, ‹loudly› & long\n"
    assert found[2][2] == "birds --› trees sing again\n"


def test_vtt_is_a_head_and_cues_that_end_after_they_start_with_escaped_text():
    # W3C WebVTT, 4.1: times with hours of two digits or more; text without "-->" or blank lines.
    time = r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})"
    cue = re.compile(rf"{time} --> {time}\n((?:[^\n&<]|&(?:amp|lt|gt);)+)\n\n")
    head, _, text = as_vtt(DAY).partition("\n\n")
    assert head == "WEBVTT"
    found = [match.groups() for match in cue.finditer(text)]
    assert "".join(match.group() for match in cue.finditer(text)) == text
    assert [(milliseconds(*of[:4]), milliseconds(*of[4:8])) for of in found] == MS
    assert all(start < end for start, end in MS)
    assert found[0][8] == "a dog barks, &lt;loudly&gt; &amp; long"
    assert "-->" not in found[2][8]


def test_labels_are_start_end_and_text_between_tabs():
    rows = [line.split("\t") for line in as_labels(DAY).splitlines()]
    assert [(float(start), float(end)) for start, end, _ in rows] == [
        (0, 10), (10, 3_599.9996), (86_400, 360_000.25), (360_000.25, 360_000.2501)
    ]  # fmt: skip
    assert all(re.fullmatch(r"\d+\.\d{6}", value) for row in rows for value in row[:2])
    assert rows[2][2] == "birds --> trees sing again"


@pytest.mark.parametrize(("name", "write"), [("a.srt", as_srt), ("a.vtt", as_vtt)])
def test_ffmpeg_reads_the_subtitles_as_they_were_meant(name, write, ffmpeg, tmp_path):
    (tmp_path / name).write_text(write(DAY), encoding="utf-8")
    found = ffmpeg("-i", tmp_path / name, "-f", "srt", "-").decode("utf-8")
    times = re.findall(r"(\d+):(\d\d):(\d\d),(\d{3}) --> (\d+):(\d\d):(\d\d),(\d{3})", found)
    assert [(milliseconds(*of[:4]), milliseconds(*of[4:])) for of in times] == MS
    assert "loudly" in found and "[silence]" in found and "sing again" in found


def said(start_s: float, text: str | None, logprob: float = -1.0, tags: tuple = ()) -> Said:
    best = Candidate(text=text or "", logprob=logprob, score=0, tokens=(), token_logprobs=())
    caption = None if text is None else Caption(clip="x", tags=tags, n_best=(best,))
    return Said(file="a,\nb.wav", start_s=start_s, end_s=start_s + 10, caption=caption)


STRETCHES = [
    said(0, "a dog", -1, ("Dog", "Dog")),
    said(10, "a dog", -3, ("Dog", "Bark")),
    said(20, None),
    said(30, None),
    said(40, "a dog", -2, ("Dog",)),
    said(50, "rain", -2, ("Rain, drops",)),
]


def test_neighbours_that_say_the_same_are_one_with_the_caption_that_is_least_sure():
    found = merged(STRETCHES)
    assert [(item.start_s, item.end_s, item.text) for item in found] == [
        (0, 20, "a dog"), (20, 40, "[silence]"), (40, 50, "a dog"), (50, 60, "rain")
    ]  # fmt: skip
    assert found[0].caption.logprob == -3
    assert found[0].caption.tags == ("Dog", "Bark")
    assert merged([]) == []


def test_overlapping_neighbours_are_one_to_the_end_of_the_last():
    assert [(item.start_s, item.end_s) for item in merged([said(0, "a"), said(5, "a")])] == [
        (0, 15)
    ]


def test_jsonl_and_csv_hold_the_same_and_silence_has_no_probability():
    records = [json.loads(line) for line in as_jsonl(STRETCHES).splitlines()]
    rows = list(csv.DictReader(as_csv(STRETCHES).splitlines(keepends=True)))
    assert records[0]["probability"] == pytest.approx(0.3678794412)  # e ** -1
    assert records[2]["probability"] is None and records[2]["caption"] == "[silence]"
    for record, row in zip(records, rows, strict=True):
        assert row["file"] == record["file"] == "a,\nb.wav"
        assert (float(row["start_s"]), row["caption"]) == (record["start_s"], record["caption"])
        assert row["probability"] == (
            "" if record["probability"] is None else str(record["probability"])
        )
        assert row["tags"] == "; ".join(record["tags"])
