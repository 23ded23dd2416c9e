"""A features folder as a page: listen by tag, find bad labels, see what splits share."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from evaluate.report import pages
from evaluate.report.charts import histogram
from evaluate.report.dataset import Overview, caption_texts, caption_words, durations_s
from evaluate.report.output import MARK_NAME, published_folder
from evaluate.view.timeline import tag_streams
from evaluate.view.words import stems
from features.common.publish import write_json
from features.reader import Clip, Features

LISTED = 2000  # clips of a split in the table: a browser sorts so many at once
FORMAT = "tagbart-dataset-page"
COPIED = ("view.css", "report.css", "triage.js", "report.js")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What a split has in common with the one that is learnt from."""

    split: str
    clips: int
    captions: int
    captions_too: int
    vocabulary: int
    unknown_words: int


def build_page(
    opened: Sequence[Features], found: Sequence[Overview], out: Path, audio: Path | None
) -> None:
    """Write OUT/index.html and what it reads.

    Args:
        opened: splits.
        found: their overviews, in the same order.
        out: folder; an earlier page there is replaced.
        audio: the dump that was extracted, to listen; None for no sound.

    Raises:
        TagbartError: if `out` holds something else than such a page.
    """
    learnt = next((each for each in opened if each.split == "train"), opened[0])
    rows = [row for features in opened for row in _rows(features)]
    with published_folder(out, FORMAT) as draft:
        for name in COPIED:
            shutil.copyfile(pages.TEMPLATES / name, draft / name)
        text = json.dumps(_data(rows), ensure_ascii=False, separators=(",", ":"))
        (draft / "clips.js").write_text(f"window.tagbart = {text};\n", encoding="utf-8")
        template = pages.environment().get_template("dataset.html")
        page = template.render(
            found=found,
            charts=_charts(opened),
            tags=tag_shares(found),
            shared=[shared(learnt, other) for other in opened if other is not learnt],
            first=learnt.split,
            rows=rows,
            listed=LISTED,
            cut=any(len(features) > LISTED for features in opened),
            sounds=_sounds(rows, audio, out),
        )
        (draft / "index.html").write_text(page, encoding="utf-8")
        write_json(draft / MARK_NAME, {"format": FORMAT, "version": 1, "clips": len(rows)})


def named_share(tags: Sequence[str], captions: Sequence[str]) -> float:
    """How many of a clip's likeliest tags share a word with some caption of it, 0 to 1.

    By the words' stems only: a low share is a reason to listen, no proof of a wrong label.
    """
    said = {stem for text in captions for stem in stems(text.replace("-", " "))}
    fits = [bool(stems(re.sub(r"[-,()]", " ", tag)) & said) for tag in tags]
    return sum(fits) / len(fits) if fits else 1.0


def tag_shares(found: Sequence[Overview]) -> list[dict[str, Any]]:
    """Per tag, its share of each split's clips and draws, the first split's commonest first."""
    by_split = [{tag.name: tag for tag in item.tags} for item in found]
    names = dict.fromkeys(name for tags in by_split for name in tags)
    return [
        {
            "tag": name,
            "clips": [
                tags[name].clips / max(1, item.clips) if name in tags else 0.0
                for tags, item in zip(by_split, found, strict=True)
            ],
            "draws": [tags[name].share_of_draws if name in tags else 0.0 for tags in by_split],
        }
        for name in names
    ]


def shared(learnt: Features, other: Features) -> Shared:
    """What another split has that the first has too: clips, whole captions, words."""
    texts = {text.strip().lower() for text in caption_texts(learnt)}
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    own = [text.strip().lower() for text in caption_texts(other)]
    vocabulary = {word for text in own for word in re.findall(r"\w+", text)}
    return Shared(
        split=other.split,
        clips=len(set(learnt.ids) & set(other.ids)),
        captions=len(own),
        captions_too=sum(text in texts for text in own),
        vocabulary=len(vocabulary),
        unknown_words=len(vocabulary - words),
    )


def _rows(features: Features) -> list[dict[str, Any]]:
    """Clips for the table, evenly spread over a large split."""
    spec = next(iter(tag_streams(features.streams)), None)
    rows = []
    for index in np.unique(np.linspace(0, len(features) - 1, LISTED).round().astype(int)):
        if not len(features):
            break
        clip: Clip = features[int(index)]
        tags: list[str] = []
        if spec:
            likeliest = clip.streams[spec.name].argmax(axis=1)
            tags = list(dict.fromkeys(spec.classes[i] for i in likeliest))
        rows.append(
            {
                "split": features.split,
                "clip": clip.id,
                "path": clip.path,
                "captions": list(clip.captions),
                "tags": tags,
                "named": named_share(tags, clip.captions) if clip.captions else None,
            }
        )
    return rows


def _data(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows as triage.js sorts and searches them; a split stands where a caption does."""
    return {
        "systems": ["split"],
        "metrics": ["named"],
        "headings": {"named": "tags named"},
        "first": "named",
        "clips": [
            {
                "n": number,
                "id": row["clip"],
                "captions": [row["split"]],
                "references": row["captions"],
                "tags": row["tags"],
                "scores": [[row["named"]]],
            }
            for number, row in enumerate(rows)
        ],
    }


def _sounds(rows: Sequence[Mapping[str, Any]], audio: Path | None, out: Path) -> dict[int, str]:
    if audio is None:
        return {}
    here, dump = out.resolve(), audio.resolve()
    return {
        number: quote(Path(os.path.relpath(dump / row["path"], here)).as_posix())
        for number, row in enumerate(rows)
    }


def _charts(opened: Sequence[Features]) -> dict[str, str]:
    charts = {}
    for features in opened:
        for what, of, values in (
            ("seconds of a clip", "clips", durations_s(features)),
            ("words of a caption", "captions", caption_words(caption_texts(features))),
        ):
            if len(values):
                charts[f"{features.split}: {what}"] = histogram(values, x=what, of=of)
    return charts
