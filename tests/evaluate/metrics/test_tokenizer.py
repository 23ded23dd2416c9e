"""The PTB tokenizer: pycocoevalcap's result, one line per caption whatever is in it."""

import os
import sys

import pytest
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from evaluate.metrics import jvm, tokenizer
from evaluate.metrics.child import ScoreError
from evaluate.metrics.tokenizer import tokenize


def test_words_are_lower_case_and_punctuation_is_gone():
    assert tokenize(["A dog barks, twice!", "He's here..."]) == [
        "a dog barks twice",
        "he 's here",
    ]


def test_brackets_stay_as_they_do_in_pycocoevalcap():
    # Its list of punctuation has them in upper case, after the tokenizer made lower case.
    assert tokenize(["a (dog)"]) == ["a -lrb- dog -rrb-"]


def test_line_breaks_inside_captions_never_shift_the_rows():
    texts = ["one\ntwo", "\r\n", "a\x0bb\x0cc\u2028d\u2029e\rf", "", "   ", "last\n\n"]
    assert tokenize(texts) == ["one two", "", "a b c d e f", "", "", "last"]
    assert tokenize([""]) == [""]
    assert tokenize([]) == []


def test_letters_beyond_ascii_survive_any_locale(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    # The emoji is no token for PTB; half an emoji is no character at all.
    assert tokenize(["Café naïve 你好", "dog \U0001f436 barks", "broken \ud83d end"]) == [
        "café naïve 你好",
        "dog barks",
        "broken end",
    ]


def test_a_read_only_folder_with_spaces_is_enough(spaced_folder):
    before = sorted(path.name for path in (spaced_folder / "tokenizer").iterdir())
    assert tokenize(["A dog."], folder=spaced_folder) == ["a dog"]
    assert sorted(path.name for path in (spaced_folder / "tokenizer").iterdir()) == before


def test_a_failing_java_is_reported_with_its_own_words(tmp_path):
    with pytest.raises(ScoreError, match=r"exit code 1; its own words: .*PTBTokenizer"):
        tokenize(["a dog"], folder=tmp_path)


def test_a_tokenizer_without_end_is_ended(tmp_path, monkeypatch):
    program = tmp_path / "java"
    program.write_text(f"#!{sys.executable}\nimport threading\nthreading.Event().wait()\n")
    program.chmod(0o755)
    monkeypatch.setattr(jvm, "java", lambda: program)
    with pytest.raises(ScoreError, match=r"no end after 0.3 s, ended it"):
        tokenize(["a dog"], timeout_s=0.3)


@pytest.mark.real_data
def test_real_captions_get_the_tokens_of_pycocoevalcaps_own_class(real_data, monkeypatch):
    from evaluate.scores.human import read_captions

    captions = read_captions(real_data / "audiocaps" / "captions" / "val.csv")
    monkeypatch.setenv("PATH", f"{jvm.java().parent}{os.pathsep}{os.environ['PATH']}")
    theirs = PTBTokenizer().tokenize(
        {clip: [{"caption": text} for text in texts] for clip, texts in captions.items()}
    )
    ours = iter(tokenizer.tokenize([text for texts in captions.values() for text in texts]))
    assert theirs == {clip: [next(ours) for _ in texts] for clip, texts in captions.items()}
