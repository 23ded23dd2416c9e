"""Captions in the forms that other programs read."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from features.common.publish import published, write_json

COCO_NAME = "captions.coco.json"
DCASE_NAME = "captions.dcase.csv"


def write_coco(path: Path, captions: Mapping[str, str]) -> None:
    """Publish a COCO results file: [{"image_id": …, "caption": …}, …].

    Args:
        path: to write.
        captions: by clip id. The ids stay what they are, texts, where COCO's images have numbers.
    """
    write_json(path, [{"image_id": clip, "caption": text} for clip, text in captions.items()])


def write_dcase(path: Path, captions: Sequence[tuple[str, str]]) -> None:
    """Publish a DCASE submission (Task 6, automated audio captioning): file_name,caption_predicted.

    Args:
        path: to write.
        captions: audio file name and caption.
    """
    with published(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file_name", "caption_predicted"])
        writer.writerows(captions)
