"""Captions as publishers and other programs write them: read, or told the way out.

Forms: NeMo's manifests and `datasets`' .json (JSON lines), Excel's `sep=;` and capitals, DOS' sign
26, lhotse's .jsonl.gz, kaldi's wav.scp, texts beside sounds, WavCaps' json_files, a head of YAML.
"""

import json
import tarfile

import pytest

from extract.dump.plan import read_dump
from features.common.errors import DumpError
from tests.extract.dump.dumps import audiocaps, put, write_csv
from tests.extract.dump.test_containers import add

LINES = '{"audio_filepath": "a.wav", "text": "rain"}\n{"audio_filepath": "b.wav", "text": "wind"}\n'


def captions_of(dump, **options) -> dict[str, tuple[str, ...]]:
    plan = read_dump(dump, **options)
    return {clip.path: clip.captions for clips in plan.splits.values() for clip in clips}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.json", LINES),
        ("annotations.json", LINES.strip()),
        ("captions.csv", "\n\nFile Name,Caption\na.wav,rain\nb.wav,wind\n"),
        ("captions.csv", "sep=;\r\nFILE;CAPTION\r\na.wav;rain\r\nb.wav;wind\r\n\x1a"),
        ("captions.txt", "file\tcaption\na.wav\train\nb.wav\twind\n"),
        ("MACS.yml", "%YAML 1.1\n---\nfiles:\n" + "".join(
            f"- filename: {name}\n  annotations:\n  - sentence: {text}\n"
            for name, text in (("a.wav", "rain"), ("b.wav", "wind"))
        )),
    ],
)  # fmt: skip
def test_what_other_programs_write_is_read(tmp_path, name, text):
    put(tmp_path, "a.wav", "b.wav")
    (tmp_path / name).write_text(text, newline="")
    assert captions_of(tmp_path) == {"a.wav": ("rain",), "b.wav": ("wind",)}


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("captions.csv.gz", "unpack it"),
        ("train/cuts.jsonl.gz", "unpack it"),
        ("clotho_audio_development.7z", "unpack it"),
        ("train-000.tar.gz", "unpack it"),
        ("wav.scp", "--kind folder"),
        ("rain.txt", "read in a tar"),  # beside rain.wav
        ("0001.txt", "read in a tar"),
        ("train.txt", "--kind folder"),
    ],
)
def test_what_may_hold_captions_and_is_not_read_ends_no_plan_in_silence(tmp_path, name, way_out):
    put(tmp_path, "rain.wav", name)
    with pytest.raises(DumpError, match=rf"found {name}.*{way_out}"):
        read_dump(tmp_path)
    assert captions_of(tmp_path, kind="folder") == {"rain.wav": ()}


def test_a_text_that_may_say_anything_is_in_nobodys_way(tmp_path):
    put(tmp_path, "rain.wav", "README.txt", "README.TXT", "_readme_and_license.txt")
    assert captions_of(tmp_path) == {"rain.wav": ()}


def test_captions_that_are_a_link_to_nothing_are_said(tmp_path):
    put(tmp_path, "rain.wav")
    (tmp_path / "captions.csv").symlink_to("gone.csv")
    with pytest.raises(DumpError, match=r"captions.csv is a link to nothing"):
        read_dump(tmp_path)


@pytest.mark.parametrize("text", ["['rain', 'it rains']", '["rain"]', "['rain' 'it rains']"])
def test_a_list_that_was_written_as_text_is_no_caption(tmp_path, text):
    write_csv(tmp_path / "captions.csv", ["file", "captions"], [("b", "wind"), ("a", text)])
    with pytest.raises(DumpError, match=r"captions.csv, line 3: .* is a list written as text"):
        read_dump(tmp_path)


def test_json_in_utf_16_is_told_to_be_saved_as_utf_8(tmp_path):
    (tmp_path / "captions.json").write_text(LINES, encoding="utf-16")
    with pytest.raises(DumpError, match=r"captions.json: is not UTF-8 text .* save it as UTF-8"):
        read_dump(tmp_path)


def test_wavcaps_selection_of_a_set_beside_the_set_is_not_read_twice(tmp_path, capsys):
    put(tmp_path, "FreeSound_flac/1.flac", "FreeSound_flac/2.flac")
    for name, ids in (("fsd_final", "12"), ("fsd_final_2s", "1")):
        path = tmp_path / "json_files" / "FreeSound" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"data": [{"id": n, "caption": f"of {n}"} for n in ids]}))
    assert captions_of(tmp_path) == {
        "FreeSound_flac/1.flac": ("of 1",),
        "FreeSound_flac/2.flac": ("of 2",),
    }
    assert "not used: json_files/FreeSound/fsd_final_2s.json" in capsys.readouterr().err


def test_sounds_in_a_tar_with_their_captions_beside_it_or_in_a_table_of_it_are_refused(tmp_path):
    with tarfile.open(tmp_path / "audio.tar", "w") as tar:
        add(tar, "a.flac", b"x")
    write_csv(tmp_path / "captions.csv", ["file", "caption"], [("a.flac", "rain")])
    with pytest.raises(DumpError, match=r"captions.csv holds captions, audio.tar sounds without"):
        read_dump(tmp_path)
    assert list(captions_of(tmp_path, kind="webdataset").values()) == [()]
    with tarfile.open(tmp_path / "audio.tar", "a") as tar:
        add(tar, "clotho_captions_development.csv", b"file_name,caption_1\na.flac,rain\n")
        add(tar, "README.txt", b"Clotho")
    with pytest.raises(DumpError, match=r"audio.tar: holds clotho_.*unpack it"):
        read_dump(tmp_path)


def test_a_tar_that_is_compressed_under_its_plain_name_is_said(tmp_path):
    with tarfile.open(tmp_path / "train.tar", "w:gz") as tar:
        add(tar, "a.flac", b"x")
    with pytest.raises(DumpError, match=r"train.tar: .* it is compressed: unpack it"):
        read_dump(tmp_path)


def test_parquet_with_paths_in_place_of_bytes_is_a_captions_file(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    put(tmp_path, "wavs/a.wav")
    audio = pa.array(
        [{"bytes": None, "path": "a.wav"}],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    pq.write_table(pa.table({"audio": audio, "caption": ["rain"]}), tmp_path / "train.parquet")
    assert captions_of(tmp_path) == {"wavs/a.wav": ("rain",)}


def test_files_that_are_nobodys_and_names_in_several_folders_are_said(tmp_path, capsys):
    audiocaps(tmp_path, (1, "a", 0))
    put(tmp_path, "clean/a_0.wav", "noisy/a_0.wav", "b_0.wav")
    assert captions_of(tmp_path) == {"clean/a_0.wav": ("caption 1",)}
    said = capsys.readouterr().err
    assert "'clean/a_0.wav' was taken, not 'noisy/a_0.wav'" in said
    assert "2 audio files are no clip's" in said


def test_of_one_split_in_two_forms_one_is_read(tmp_path, capsys):
    put(tmp_path, "a.wav", "b.wav")
    (tmp_path / "train.json").write_text(LINES)
    write_csv(tmp_path / "train.csv", ["file", "caption"], [("a.wav", "rain"), ("b.wav", "wind")])
    assert captions_of(tmp_path) == {"a.wav": ("rain",), "b.wav": ("wind",)}
    assert "not used: train.json" in capsys.readouterr().err


def test_a_tar_and_links_to_it_are_one(tmp_path):
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        add(tar, "a.flac", b"x")
        add(tar, "a.txt", b"rain")
    for name in ("a.tar", "c.tar"):
        (tmp_path / name).symlink_to("b.tar")
    ((path, captions),) = captions_of(tmp_path).items()
    assert path.startswith("a.tar//") and captions == ("rain",)
