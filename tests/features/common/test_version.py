"""`--version` of every group of commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from features.common.version import device, gpus

ROOT = Path(__file__).parents[3]
GROUPS = ("extract", "train", "evaluate", "features")


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_says_its_versions_without_torch(group):
    code = (
        f"import sys; sys.argv = ['{group}', '--version']\n"
        "try:\n"
        f"    import runpy; runpy.run_module('{group}', run_name='__main__', alter_sys=False)\n"
        "finally:\n"
        "    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [
        "tagbart", "Python", "torch", "device", "Java",
    ], done.stderr  # fmt: skip
    assert lines[-1] == "False"


def test_a_gpu_counts_only_with_a_torch_that_can_use_it():
    assert device("2.13.0", ["NVIDIA H100"]).startswith("cuda (NVIDIA H100")
    assert device("2.13.0+cpu", ["NVIDIA H100"]).startswith("cpu (there is NVIDIA H100")
    assert device("2.13.0", []).startswith("cpu")


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'NVIDIA A'; echo 'NVIDIA B'", ["NVIDIA A", "NVIDIA B"]),
        ("echo 'no devices were found'; exit 6", []),
    ],
)
def test_gpus_are_those_that_nvidia_smi_lists(tmp_path, monkeypatch, script, found):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus() == found


def test_without_nvidia_smi_there_are_no_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == []
