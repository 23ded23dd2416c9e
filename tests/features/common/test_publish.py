"""A name stands for a whole file; what is made of one kind is never mixed with another."""

import errno
import os

import pytest

from features.common.errors import ConfigError
from features.common.publish import EVALUATION, FEATURES, RUN, check_writable, published

MARKS = {
    "features.json": FEATURES,
    "train/00000.h5": FEATURES,
    "00000.h5": "a split of features",
    "recipe.toml": RUN,
    "scores.json": EVALUATION,
    "report.json": "a report",
}


@pytest.mark.parametrize("kind", [FEATURES, RUN, EVALUATION])
@pytest.mark.parametrize("mark", MARKS)
def test_a_folder_of_another_kind_is_refused_and_one_that_holds_both_is_gone_on_with(
    mark, kind, tmp_path
):
    check_writable(tmp_path / "new", kind)
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).touch()
    check_writable(tmp_path)
    if kind == MARKS[mark]:
        check_writable(tmp_path, kind)
        return
    with pytest.raises(ConfigError, match=f"holds {MARKS[mark]} .*, with which {kind} would be"):
        check_writable(tmp_path, kind)
    (tmp_path / next(name for name in MARKS if MARKS[name] == kind)).touch()
    check_writable(tmp_path, kind)


def test_a_file_has_its_old_words_until_all_the_new_ones_are_written(tmp_path):
    path = tmp_path / "made" / "words.txt"
    for words in ("old", "new"):
        with published(path) as draft:
            draft.write_text(words)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == words
    with pytest.raises(ZeroDivisionError), published(path) as draft:
        draft.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (lambda draft: OSError(errno.ENOSPC, "full"), True),  # from a write, which names no file
        (lambda draft: PermissionError(errno.EACCES, "no", str(draft)), True),
        (lambda draft: PermissionError(errno.EACCES, "no", os.fsencode(draft / "part")), True),
        (lambda draft: Exception("No space left on device (os error 28)"), True),  # Rust's
        (lambda draft: FileNotFoundError(errno.ENOENT, "no", "source.wav"), False),
        (lambda draft: ValueError("28"), False),
    ],
)
def test_what_the_system_refuses_of_a_draft_names_the_file_and_nothing_else_does(
    raised, told, tmp_path
):
    path, error = tmp_path / "words.txt", None
    with pytest.raises(Exception) as caught, published(path) as draft:
        error = raised(draft)
        raise error
    if told:
        assert isinstance(caught.value, OSError) and caught.value.filename == str(path)
        assert caught.value.errno in (errno.ENOSPC, errno.EACCES)
    else:
        assert caught.value is error


def test_a_folder_that_may_not_be_written_is_named_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may everywhere
    with pytest.raises(ConfigError, match=rf"{tmp_path}: this folder cannot be written to"):
        check_writable(tmp_path / "run")
