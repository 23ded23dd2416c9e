"""`python -m features` as a user meets it."""

import json
import subprocess
import sys

from tests.features.test_features import flip_a_byte, folder  # noqa: F401


def features(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "features", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_info_says_how_many_clips_of_those_listed_are_there(folder):  # noqa: F811
    done = features("info", folder)
    assert done.returncode == 0
    assert "3 of 5 clips (1 missing, 1 failed), 2 shards" in done.stdout
    assert json.loads(features("info", folder, "--json").stdout)["version"] == 1


def test_verify_ends_with_0_when_sound_and_with_2_when_damaged(folder):  # noqa: F811
    sound = features("verify", folder)
    assert (sound.returncode, sound.stdout) == (0, "")
    flip_a_byte(folder / "test" / "00000.h5")
    damaged = features("verify", folder)
    assert damaged.returncode == 2
    assert "00000.h5: damaged" in damaged.stdout


def test_a_folder_without_an_index_ends_in_one_line_and_exit_code_2(tmp_path):
    done = features("info", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
