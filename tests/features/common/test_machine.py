"""Cores are counted on every platform, and threads share them with other programs."""

import os
import subprocess
import sys

import pytest

from features.common.machine import cores, let_threads_sleep


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert cores() == 3


def test_where_the_system_does_not_say_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cores() == 7


def test_threads_sleep_soon_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    let_threads_sleep()
    assert os.environ["GOMP_SPINCOUNT"] == "2000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "300000")
    let_threads_sleep()
    assert os.environ["GOMP_SPINCOUNT"] == "300000"


@pytest.mark.parametrize("program", ["extract", "train", "evaluate"])
def test_every_program_says_so_before_torch_is_there(program):
    source = f"""
import builtins, os, sys
true = builtins.__import__
def told_first(name, *rest, **more):
    assert name != "torch" or os.environ["GOMP_SPINCOUNT"] == "2000", "torch came first"
    return true(name, *rest, **more)
builtins.__import__ = told_first
import {program}.__main__, torch
"""
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    subprocess.run([sys.executable, "-c", source], check=True, env=environment)
