"""Captions files that are damaged: what they lose is refused or joined, never lost in silence."""

import json

import pytest

from extract.dump.plan import read_dump
from features.common.errors import DumpError
from tests.extract.dump.dumps import AUDIOCAPS, CLOTHO, put, write_csv

HEAD = "audiocap_id,youtube_id,start_time,caption\n"
FIVE = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"


def refused(dump, name: str, text: str) -> str:
    (dump / name).write_text(text, encoding="utf-8")
    put(dump, "x.wav")
    with pytest.raises(DumpError) as error:
        read_dump(dump)
    assert str(dump / name) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        # Never closed.
        ("train.csv", HEAD + '1,a,30,"A man\n2,b,10,a dog\n3,c,20,rain\n', 2),
        ("train.csv", HEAD + '1,a,30,rain\n2,b,10,"A man\n3,c,20,rain\n', 3),
        ("clotho_captions_development.csv", FIVE + 'a.wav,1,2,3,4,"5\nb.wav,1,2,3,4,5\n', 2),
        ("captions.csv", 'file,caption\na.wav,"rain\nb.wav,wind\n', 2),
        # Closed by another stray quote further down.
        ("train.csv", HEAD + '1,a,30,"A man\n2,b,10,a dog\n3,c,20,rain"\n', 2),
        ("train.csv", HEAD + '1,a,30,"A man\n2,b,10,"a dog"\n3,c,20,rain\n', 2),
        ("train.csv", HEAD + '1,a,30,"A man\n2,b,10,a dog"\n', 2),
        ("captions.csv", 'file,caption\na.wav,"rain\nb.wav,wind\nc.wav,hail"\n', 2),
        ("captions.csv", 'file,caption,split\na.wav,"rain,train\nb.wav,wind,"val\n', 2),
        ("captions.csv", 'file,caption\na.wav,"rain" falls\n', 2),
        ("captions.csv", 'file,caption\na,"rain\nb,a wind\nc,hail"\n', 2),
    ],
)
def test_a_stray_quote_is_refused_by_its_line(tmp_path, name, text, line):
    assert f"line {line}" in refused(tmp_path, name, text)


def test_line_breaks_within_quotes_are_no_damage(tmp_path):
    said = "A man speaks,\nwhile water, far away, runs\n2 dogs bark, loud, near, 30 times"
    write_csv(tmp_path / "train.csv", AUDIOCAPS, [(1, "a", 30, said), (2, "b", 10, "rain")])
    clips = read_dump(tmp_path).splits["train"]
    assert clips[0].captions == (" ".join(said.split()),) and len(clips) == 2


def test_a_line_of_prose_with_a_comma_is_no_row_of_two_columns(tmp_path):
    write_csv(tmp_path / "captions.csv", ["file", "caption"], [("a", "rain falls\nthen, wind")])
    assert read_dump(tmp_path).splits["train"][0].captions == ("rain falls then, wind",)


def test_a_caption_that_goes_on_in_a_row_of_its_own_is_joined_and_counted(tmp_path, capsys):
    text = HEAD + "1,a,30,an engine hums with\nspeech behind\n2,b,10,a dog\nbarks, twice,\nthen\n"
    (tmp_path / "train.csv").write_text(text)
    clips = read_dump(tmp_path).splits["train"]
    assert [clip.captions for clip in clips] == [
        ("an engine hums with speech behind",),
        ("a dog barks, twice, then",),
    ]
    assert "3 captions went on" in capsys.readouterr().err


@pytest.mark.parametrize("row", ["3,c\n", "3,c,20\n", "3\n"])
def test_a_row_that_is_cut_off_is_no_rest_of_a_caption(tmp_path, row):
    assert "line 3" in refused(tmp_path, "train.csv", HEAD + "1,a,30,rain\n" + row)


@pytest.mark.parametrize("bad", ["ra\0in", "rain \ud800"])
@pytest.mark.parametrize("field", ["caption", "file", "split"])
def test_what_a_shard_cannot_hold_is_refused_when_it_is_read(tmp_path, field, bad):
    record = {"file": "x.wav", "caption": "rain", "split": "train"}
    text = json.dumps(record | {field: bad}) + "\n"
    message = refused(tmp_path, "captions.jsonl", text)
    assert "line 1" in message and ("NUL" in message or "UTF-16" in message)


@pytest.mark.parametrize(
    "row", ["1,a\0,30,rain\n", "1,a,3\x000,rain\n", "1,a,30,ra\0in\n", "\0,a,30,rain\n"]
)
def test_a_nul_in_a_csv_is_refused_by_its_line(tmp_path, row):
    assert "line 2" in refused(tmp_path, "train.csv", HEAD + row)


def test_a_csv_in_utf_16_is_said(tmp_path):
    put(tmp_path, "x.wav")
    (tmp_path / "train.csv").write_bytes((HEAD + "1,a,30,rain\n").encode("utf-16"))
    with pytest.raises(DumpError, match=r"train.csv: is not UTF-8 text .*; save it as UTF-8"):
        read_dump(tmp_path)


def test_clothos_captions_with_one_column_more_are_refused(tmp_path):
    write_csv(tmp_path / "clotho_captions_evaluation.csv", CLOTHO, [("a.wav", *"123456")])
    with pytest.raises(DumpError, match="line 2: 7 values for 6 columns"):
        read_dump(tmp_path)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_what_excel_makes_of_a_csv_is_read(tmp_path, sign):
    rows = ["file,caption,", 'a.wav,"Rain, then wind",', ",,", "b.wav,Hail,", "  ,,"]
    text = "\r\n".join(rows).replace(",", sign).replace(f"Rain{sign}", "Rain,")
    (tmp_path / "captions.csv").write_bytes(text.encode("utf-8-sig"))
    clips = read_dump(tmp_path).splits["train"]
    assert [clip.captions for clip in clips] == [("Rain, then wind",), ("Hail",)]


def test_columns_of_one_name_are_refused_for_only_one_would_be_read(tmp_path):
    message = refused(tmp_path, "captions.csv", "file,caption,caption\nx.wav,rain,wind\n")
    assert "2 columns are called 'caption'" in message


def test_each_object_of_a_jsonl_has_captions_under_its_own_keys(tmp_path, capsys):
    records = [
        {"file": "a.wav", "caption": "rain"},
        {"file": "b.wav", "text": "wind"},
        {"file": "c.wav", "caption_1": "hail", "caption_2": "ice"},
        {"file": "d.wav", "says": "thunder"},
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, records)))
    clips = (clip for split in read_dump(tmp_path).splits.values() for clip in split)
    found = {clip.id: clip.captions for clip in clips}
    assert found == {
        "a.wav": ("rain",),
        "b.wav": ("wind",),
        "c.wav": ("hail", "ice"),
        "d.wav": (),
    }
    assert "1 empty captions" in capsys.readouterr().err


def test_two_lists_one_behind_the_other_are_refused(tmp_path):
    one, other = ([{"file": name, "caption": "rain"}] for name in ("x.wav", "y.wav"))
    message = refused(tmp_path, "captions.json", json.dumps(one) + "\n" + json.dumps(other))
    assert "goes on behind its list" in message
