"""What other systems write is scored against references from any captions file."""

import json

import pytest

from evaluate.report.folders import read_study
from evaluate.scores.cli import score_command
from evaluate.scores.foreign import read_foreign_sets
from evaluate.scores.predictions import PredictionsError
from evaluate.scores.score import Wanted, score_texts
from features.common.errors import ConfigError

CLOTHO = "file_name,caption_1,caption_2\nx 1.wav,a dog,dogs\nb.wav,rain,it rains\n"
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n1,a_b,30,a dog\n2,c,0,rain\n3,a_b,30,dogs\n"


def written(tmp_path, name: str, content: object):
    path = tmp_path / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def coco(*captions: tuple[object, str]) -> list[dict[str, object]]:
    return [{"image_id": clip, "caption": text} for clip, text in captions]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.json", coco(("b.wav", "wet"), ("x 1.wav", "barks, loudly"))),
        ("r.csv", 'file_name,caption_predicted\nb.wav,wet\nx 1.wav,"barks, loudly"\n'),
        ("r.tsv", "file_name\tcaption_predicted\nb\twet\nx 1.wav\tbarks, loudly\n"),
        ("r.txt", "barks, loudly\nwet\n"),
        ("r.jsonl", '{"clip": "b", "candidate": "wet"}\n'
                    '{"clip": "x 1.wav", "candidate": "barks, loudly", "references": ["no"]}\n'),
    ],
)  # fmt: skip
def test_every_form_is_found_by_clip_and_said(tmp_path, capsys, name, content):
    path = written(tmp_path, name, content)
    references = written(tmp_path, "clotho.csv", CLOTHO)
    sets = read_foreign_sets([path, path], references)
    assert sets.clips == ("x 1.wav", "b.wav")
    assert sets.references == (("a dog", "dogs"), ("rain", "it rains"))
    assert sets.candidates == (("barks, loudly", "wet"),) * 2
    told = capsys.readouterr().err
    assert f"{references}: captions, 2 clips with 2 references" in told
    assert f"{path}: " in told and "2 captions" in told


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("a.csv", AUDIOCAPS, ("a_b_30", "c_0")),
        ("a.json", {"images": [], "annotations": coco((7, "a dog"), (8, "rain"), (7, "dogs"))},
         ("7", "8")),
        ("a.jsonl", '{"file": "q.wav", "captions": ["a dog", "dogs"]}\n'
                    '{"file": "r.wav", "captions": ["rain"]}\n', ("q.wav", "r.wav")),
    ],
)  # fmt: skip
def test_references_come_in_every_form_that_extraction_reads_and_as_coco(
    tmp_path, capsys, name, content, ids
):
    path = written(tmp_path, "r.json", coco((ids[1], "wet"), (ids[0], "barks")))
    sets = read_foreign_sets([path], written(tmp_path, name, content))
    assert sets.clips == ids
    assert sets.references == (("a dog", "dogs"), ("rain",))
    assert sets.candidates == (("barks", "wet"),)
    assert "2 clips with 1 to 2 references" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.json", coco(("b.wav", "x"), ("new", "x"), ("b", "y")),
         r"clips that .*clotho.csv has not \(1\): 'new' \(record 2\); clips that stand there twice "
         r"\(1\): 'b' \(record 3\); clips that are missing \(1\): 'x 1.wav'"),
        ("r.txt", "one\n", r"has 1 lines, .*clotho.csv has 2 clips"),
        ("r.csv", "name,words\nb,x\n", r"found the columns \['name', 'words'\], expected"),
        ("r.json", {"b.wav": "x"}, r"expected COCO results, a list of"),
        ("r.json", [{"image_id": "b.wav"}], r"record 1: has no 'caption'"),
        ("r.json", coco((True, "x")), r"'image_id' is True, expected a clip's name"),
        ("r.json", coco(("b.wav", None)), r"'caption' is None, expected a text"),
        ("r.json", coco(("b.wav", "a\ud83d")), r"record 1: 'a.ud83d' holds half a character"),
        ("r.jsonl", '{"clip": "\\ud83d", "candidate": "x"}', r"line 1: .* half a character"),
        ("r.csv", None, r"cannot be read \(No such file or directory\)"),
        ("r.json", "[", "not valid JSON"),
        ("r.doc", "", r"ends with '.doc'; expected .json"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(tmp_path, name, content, words):
    path = tmp_path / name if content is None else written(tmp_path, name, content)
    with pytest.raises(PredictionsError, match=words) as caught:
        read_foreign_sets([path], written(tmp_path, "clotho.csv", CLOTHO))
    assert str(path) in str(caught.value)


def test_the_command_and_python_give_the_same_numbers(tmp_path, shared_meteor, capsys):
    references = written(tmp_path, "clotho.csv", CLOTHO)
    path = written(tmp_path, "r.csv", "file_name,caption_predicted\nb.wav,it rains\nx 1.wav,dogs\n")
    score_command([path], references=references, spice=False, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    scores = score_texts(
        ["dogs", "it rains"], [["a dog", "dogs"], ["rain", "it rains"]], Wanted(spice=False)
    )
    assert printed["corpus"] == scores.corpus
    assert scores.per_clip["bleu_1"].tolist() == pytest.approx([1, 1])


def test_a_report_shows_what_was_scored_and_captions_from_elsewhere_stay(
    tmp_path, shared_meteor, capsys
):
    references, out = written(tmp_path, "clotho.csv", CLOTHO), tmp_path / "out"
    for caption in ("it rains", "it pours"):  # a submission that was mended, scored again
        path = written(tmp_path, "r.csv", f"file_name,caption_predicted\nb,{caption}\nx 1,dogs\n")
        score_command([path], out=out, references=references, spice=False, fense=False)
        study = read_study([out])
        assert [study.systems[0].caption(clip) for clip in study.clips] == ["dogs", caption]
        assert study.references("b.wav") == ("rain", "it rains")
    assert "checksums" not in capsys.readouterr().err
    others = out / "predictions.jsonl"
    others.write_text('{"clip": "c", "candidate": "mine", "references": ["x"]}\n')
    with pytest.raises(ConfigError, match=f"{others}: holds other captions"):
        score_command([path], out=out, references=references, spice=False, fense=False)
    assert "mine" in others.read_text()


def test_without_references_their_option_is_named(tmp_path):
    path = written(tmp_path, "r.json", coco(("b", "rain")))
    with pytest.raises(PredictionsError, match=r"r.json, line 1: .* need --references"):
        score_command([path], spice=False)
