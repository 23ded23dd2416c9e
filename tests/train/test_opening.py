"""A run folder belongs to one command at a time."""

import fcntl

import pytest

from features.common.errors import FormatError, RunError
from tests.train.test_run import job
from train import opening
from train.run import train


def test_a_folder_that_another_command_trains_is_refused_and_left_as_it_is(toy_features, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with (out / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is training this run; wait for it"):
            train(job(toy_features, out))
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_a_run_begun_by_another_command_meanwhile_is_not_written_over(
    toy_features, tmp_path, monkeypatch
):
    out, build = tmp_path / "run", opening.build_model

    def build_slowly(*arguments, **options):
        out.mkdir()
        (out / "recipe.toml").write_text("theirs")
        return build(*arguments, **options)

    monkeypatch.setattr(opening, "build_model", build_slowly)
    with pytest.raises(RunError, match="another command began a run here meanwhile"):
        train(job(toy_features, out))
    assert (out / "recipe.toml").read_text() == "theirs"


def test_what_cannot_begin_leaves_no_folder(tmp_path):
    with pytest.raises(FormatError, match=r"found no features\.json"):
        train(job(tmp_path / "absent", tmp_path / "run"))
    assert not (tmp_path / "run").exists()
