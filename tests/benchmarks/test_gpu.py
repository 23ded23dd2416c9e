"""`python -m benchmarks gpu`, tried through on a CPU in small shapes."""

import faulthandler
import json
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_parts import GPU_TESTS, PARTS, Part, prepare
from train.updates import Updater


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The work folder and what the parts need in their environment."""
    folder = tmp_path_factory.mktemp("gpu")
    return folder, prepare(folder, tiny=True)


@pytest.mark.parametrize(
    ("part", "figure"),
    [("updates", "median_ms"), ("captions", "bf16_s"), ("extraction tf32", "clips_per_s"),
     ("optimiser", "copied_ms"), ("published", "float32_ms")],
)  # fmt: skip
def test_every_part_gives_the_figures_of_its_rows(part, figure, work, monkeypatch):
    folder, environment = work
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    launch, figures = Updater.launch, {}
    for more in PARTS[part].run(folder, True):
        figures |= more
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


def test_what_a_part_measured_before_it_failed_is_kept(tmp_path, monkeypatch):
    def fails(work, tiny):
        yield {"median_ms": 11.5}
        raise RuntimeError("profiling failed")

    monkeypatch.setitem(PARTS, "updates", Part(fails, 60))
    out = tmp_path / "updates.json"
    with pytest.raises(RuntimeError):
        gpu.command(["updates"], out, tiny=True, one=tmp_path)
    faulthandler.cancel_dump_traceback_later()
    assert json.loads(out.read_text()) == {"median_ms": 11.5}


def test_every_test_marked_gpu_is_among_those_that_the_bench_runs():
    root = Path(__file__).parents[2]
    marked = [
        path
        for path in (root / "tests").rglob("test_*.py")
        if "pytest.mark.gpu" in path.read_text(encoding="utf-8") and path != Path(__file__)
    ]
    assert len(marked) > 5
    for path in marked:
        assert any(path.is_relative_to(root / name) for name in GPU_TESTS), path
