"""Imports point back along the data flow, and no floor drags in what it must not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("features", "extract", "train", "evaluate")
MAY_IMPORT = {
    "features": {"features"},
    "extract": {"extract", "features"},
    "train": {"train", "features"},
    "evaluate": {"evaluate", "train", "extract", "features"},
}


def imported_names(source: Path) -> set[str]:
    """Top-level names of every absolute import in a file, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import, line {node.lineno}"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_back_along_the_data_flow(floor):
    sources = sorted((ROOT / floor).rglob("*.py"))
    assert sources
    for source in sources:
        siblings = imported_names(source) & {*FLOORS, "tests", "benchmarks"}
        assert siblings <= MAY_IMPORT[floor], f"{source} imports {siblings - MAY_IMPORT[floor]}"


@pytest.mark.parametrize("banned", ["torch", "tensorflow", "transformers"])
def test_the_ground_floor_needs_no_network_library(banned):
    for source in (ROOT / "features").rglob("*.py"):
        assert banned not in imported_names(source), source


def test_nothing_imports_tensorflow_but_the_converter():
    users = {
        str(source.relative_to(ROOT))
        for floor in FLOORS
        for source in (ROOT / floor).rglob("*.py")
        if imported_names(source) & {"tensorflow", "tensorflow_hub"}
    }
    assert users == {"extract/savedmodel.py"}


def test_importing_the_features_floor_loads_no_torch():
    code = "import features.cli, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr
