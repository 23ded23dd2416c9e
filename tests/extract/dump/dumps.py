"""Small dumps for tests: captions files in every form, and files that are only names."""

import csv
from pathlib import Path

AUDIOCAPS = ("audiocap_id", "youtube_id", "start_time", "caption")
CLOTHO = ("file_name", *(f"caption_{number}" for number in range(1, 6)))


def write_csv(path: Path, header, rows) -> Path:
    """Write a CSV, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def audiocaps(dump: Path, *rows, split: str = "train") -> Path:
    """Rows of (audiocap_id, youtube_id, start) or with a caption behind, as a captions CSV."""
    full = [(*row, f"caption {row[0]}")[:4] for row in rows]
    return write_csv(dump / f"{split}.csv", AUDIOCAPS, full)


def clotho(dump: Path, names, split: str = "development") -> Path:
    """Five captions for each of the names."""
    rows = [(name, *(f"{name} {number}" for number in range(1, 6))) for name in names]
    return write_csv(dump / f"clotho_captions_{split}.csv", CLOTHO, rows)


def put(dump: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        path = dump / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
