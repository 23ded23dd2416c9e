"""Imports point back along the data flow, between floors and between the rooms of a floor."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "features": {"features"},
    "extract": {"extract", "features"},
    "train": {"train", "features"},
    "evaluate": {"evaluate", "train", "extract", "features"},
}
# The rooms of each floor from the ground up: a room imports itself and what stands before it.
# A floor's own files stand above its rooms, but for those that are named here among them.
ROOMS = {
    "features": ("common",),
    "extract": ("weights", "sound", "networks", "running", "streams", "dump", "demo"),
    "train": ("recipes", "data", "model", "run_folder"),
    "evaluate": ("metrics", "scores", "captions", "view", "report", "page"),
}
SIZE = 14  # files of a room that can be seen at a glance


def imported_modules(source: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; `from a import b` counts as a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import, line {node.lineno}"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_names(source: Path) -> set[str]:
    """Top-level names of every import in a file."""
    return {name.split(".")[0] for name in imported_modules(source)}


def storey(floor: str, parts: tuple[str, ...]) -> int:
    """How high a module stands in its floor; `parts` are what follows the floor's name."""
    rooms = ROOMS[floor]
    return rooms.index(parts[0]) if parts and parts[0] in rooms else len(rooms)


def sources(floor: str) -> list[Path]:
    found = sorted((ROOT / floor).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_imports_point_back_along_the_data_flow(floor):
    for source in sources(floor):
        siblings = imported_names(source) & {*MAY_IMPORT, "tests", "benchmarks"}
        assert siblings <= MAY_IMPORT[floor], f"{source} imports {siblings - MAY_IMPORT[floor]}"


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_imports_between_the_rooms_of_a_floor_go_one_way(floor):
    for source in sources(floor):
        own = storey(floor, source.relative_to(ROOT / floor).with_suffix("").parts)
        for name in imported_modules(source):
            top, *rest = name.split(".")
            if top == floor and rest:
                assert storey(floor, tuple(rest)) <= own, f"{source} imports {name}, which is above"


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_every_room_is_in_the_order_says_what_it_is_and_is_seen_at_a_glance(floor):
    for room in sorted({source.parent for source in sources(floor)}):
        text = (room / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{room} says nothing of itself"
        assert len(list(room.glob("*.py"))) - 1 <= SIZE, f"{room} holds more than {SIZE} files"
        if room.name != floor:
            assert room.relative_to(ROOT / floor).parts[0] in ROOMS[floor], room


@pytest.mark.parametrize("banned", ["torch", "tensorflow", "transformers"])
def test_the_ground_floor_needs_no_network_library(banned):
    for source in sources("features"):
        assert banned not in imported_names(source), source


def test_nothing_imports_tensorflow_but_the_converter():
    users = {
        str(source.relative_to(ROOT))
        for floor in MAY_IMPORT
        for source in sources(floor)
        if imported_names(source) & {"tensorflow", "tensorflow_hub"}
    }
    assert users == {"extract/weights/savedmodel.py"}


@pytest.mark.parametrize(
    ("module", "heavy"), [("features.cli", "torch"), ("extract.run", "transformers")]
)
def test_what_takes_seconds_to_import_is_imported_where_it_is_used(module, heavy):
    code = f"import {module}, sys; print({heavy!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr


# What pyproject.toml's extras bring, by what is imported.
EXTRAS = (
    "torch transformers tokenizers huggingface_hub soundfile soxr resampy tensorboard torchlibrosa "
    "panns_inference tensorflow tensorflow_hub tf_keras gradio aac_metrics sentence_transformers "
    "ray pyarrow"
).split()


def without_extras(*command: str) -> subprocess.CompletedProcess:
    """Run one of our commands as where nothing but the package's own dependencies is installed."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS}))  # with None there, none is found
from importlib import import_module
from features.common.command import run_app
name, *sys.argv[1:] = {list(command)}
run_app(import_module(name + ".cli").app, name)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_scoring_needs_no_extra(tmp_path):
    line = '{"clip": "a", "candidate": "a dog barks", "references": ["a dog barks", "it barks"]}\n'
    (tmp_path / "p.jsonl").write_text(line + line.replace('"a"', '"b"'))
    done = without_extras("evaluate", "score", str(tmp_path / "p.jsonl"), "--no-spice")
    assert done.returncode == 0, done.stderr
    assert "CIDEr-D" in done.stdout and "METEOR" in done.stdout


def test_captioning_says_what_it_lacks():
    done = without_extras("evaluate", "caption", "run", "dog.wav")
    assert done.returncode == 2
    assert re.match(r"error: this needs \w+, which is not installed here; run: make", done.stderr)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_every_floor_says_what_it_can_do_without_extras(floor):
    done = without_extras(floor, "--help")
    assert done.returncode == 0, done.stderr
