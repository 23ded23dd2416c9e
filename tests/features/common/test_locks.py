"""A lock keeps others out; a file system without locks is said and passed."""

import errno
import fcntl

import pytest

from features.common.locks import locked


def test_a_second_holder_is_kept_out_until_the_first_has_closed(tmp_path):
    path = tmp_path / ".lock"
    with path.open("a") as first, path.open("a") as second:
        assert locked(first, tmp_path)
        assert not locked(second, tmp_path)
        first.close()
        assert locked(second, tmp_path)


@pytest.mark.parametrize("records", [False, True])
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_and_passed(
    number, records, tmp_path, monkeypatch, capsys
):
    def refuse(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)
    with (tmp_path / ".lock").open("a") as file:
        assert locked(file, tmp_path, records=records)
    assert "its file system has no locks" in capsys.readouterr().err
