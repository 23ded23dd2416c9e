"""Parses are kept, found again, bounded, and never cost a score."""

import sqlite3
import threading
from pathlib import Path

import pytest

from evaluate.metrics.spice.parses import Parses

DOG, RAIN = [["dog"], ["dog", "bark"]], [["rain", "roof", "fall on"]]


def opened(path: Path | None, versions: str = "1", **more) -> tuple[Parses, list[str]]:
    said: list[str] = []
    return Parses(path, versions, say=said.append, **more), said


def test_what_one_process_kept_another_finds_in_the_order_it_was_given(tmp_path):
    first, _ = opened(tmp_path / "new" / "parses.sqlite")
    assert first.unknown(["a dog", "rain", "a dog"]) == ["a dog", "rain"]
    first.keep({"a dog": DOG, "rain": RAIN, "": []})
    first.close()
    second, said = opened(tmp_path / "new" / "parses.sqlite")
    assert second.unknown(["rain", "a cat", "a dog", ""]) == ["a cat"]
    assert (second["a dog"], second["rain"], second[""]) == (DOG, RAIN, [])
    assert said == []


def test_parses_of_other_versions_are_not_used(tmp_path):
    opened(tmp_path / "file")[0].keep({"a dog": DOG})
    other, _ = opened(tmp_path / "file", versions="2")
    assert other.unknown(["a dog"]) == ["a dog"]


def test_without_a_file_parses_are_kept_in_the_process_alone(tmp_path):
    parses, _ = opened(None)
    parses.keep({"a dog": DOG})
    assert parses.unknown(["a dog"]) == []
    assert opened(None)[0].unknown(["a dog"]) == ["a dog"]


def test_the_file_is_bounded_and_the_newest_stay(tmp_path):
    path, most = tmp_path / "file", 200_000
    parses, _ = opened(path, max_bytes=most)
    texts = [f"caption {number}" for number in range(2000)]
    for at in range(0, 2000, 50):
        parses.keep(dict.fromkeys(texts[at : at + 50], DOG * 5))
    parses.close()
    assert path.stat().st_size < 1.2 * most
    unknown = opened(path)[0].unknown(texts)
    assert "caption 0" in unknown
    assert "caption 1999" not in unknown


def test_two_writers_at_once_lose_nothing(tmp_path):
    def write(name: str) -> None:
        parses, said = opened(tmp_path / "file")
        for number in range(100):
            parses.keep({f"{name} {number}": DOG, f"both {number}": RAIN})
        parses.close()
        told.extend(said)

    told: list[str] = []
    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [f"{name} {number}" for name in ("a", "b", "both") for number in range(100)]
    assert opened(tmp_path / "file")[0].unknown(texts) == []
    assert told == []


def not_sqlite(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def another_table(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE parses (a)")


def no_tuples(path: Path) -> None:
    opened(path)[0].keep({"a dog": [["one", "two", "three", "four"]]})


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [not_sqlite, another_table, no_tuples, a_folder])
def test_a_file_that_cannot_be_used_is_told_once_by_name_and_work_goes_on(tmp_path, spoil):
    path = tmp_path / "file"
    spoil(path)
    parses, said = opened(path)
    assert parses.unknown(["a dog"]) == ["a dog"]
    parses.keep({"a dog": DOG})
    parses.keep({"rain": RAIN})
    assert (parses["a dog"], parses["rain"]) == (DOG, RAIN)
    [line] = said
    assert str(path) in line
    assert "--no-cache" in line
