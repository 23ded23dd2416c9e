"""`python -m benchmarks gpu`, tried through on a CPU in small shapes."""

import json

import pytest

from benchmarks import gpu
from benchmarks.gpu_parts import PARTS, prepare
from train.updates import Updater


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The work folder and what the parts need in their environment."""
    folder = tmp_path_factory.mktemp("gpu")
    return folder, prepare(folder, tiny=True)


@pytest.mark.parametrize(
    ("part", "figure"),
    [("updates", "median_ms"), ("captions", "bf16_s"), ("extraction tf32", "clips_per_s"),
     ("published", "float32_ms")],
)  # fmt: skip
def test_every_part_gives_the_figures_of_its_rows(part, figure, work, monkeypatch):
    folder, environment = work
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    launch = Updater.launch
    figures = PARTS[part].run(folder, True)
    assert Updater.launch is launch  # a part watches updates; later runs of the process are not
    assert figures[figure] > 0
    assert {row[1] for row in gpu.ROWS if row[0] == part} <= figures.keys()
    json.dumps(figures)  # all of them can be written


def test_a_part_that_fails_costs_only_itself(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(gpu, "prepare", lambda work, tiny: {"TAGBART_REAL_DATA": str(tmp_path)})
    gpu.measure(["updates"], tmp_path / "gpu.json", tiny=True)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["updates"]["failed"].startswith("exit code")
    assert "| exit code" in capfd.readouterr().out
