"""README and docs: every command is run here, or says that it needs a download or a cluster.

What is marked so, and not run, at least has options that exist.
"""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXCUSES = ("needs a download", "needs a cluster", "needs a GPU", "takes minutes")
# Names that the pages use, and where the small demo of this test has the like.
STANDS_FOR = {
    "features-audiocaps": "demo/features",
    "FEATURES": "demo/features",
    "audiocaps": "demo/dump",
    "DUMP": "demo/dump",
    "runs/yamnet-panns/test": "demo/evaluation",
    "runs/yamnet-panns": "demo/run",
    "RUN": "demo/run",
    "weights": "extract/demo_weights",
}
GROUPS = ("extract", "train", "evaluate", "features")
FLOORS = (*GROUPS, "benchmarks", "docs", "package", "tests")
KINDS = {"sh", "bash", "python", "toml", "json", ""}  # "": a picture of files


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def commands() -> list[str]:
    """Every command of every page that carries no excuse, each once.

    Those of docs/adding-a-dataset.md are run one after the other in tests/test_own_data.py.
    """
    pages = [page for page in PAGES if page.name != "adding-a-dataset.md"]
    lines = [line for page in pages for block in blocks(page, "sh") for line in joined(block)]
    runnable = [line for line in lines if not any(excuse in line for excuse in EXCUSES)]
    return list(dict.fromkeys(line.partition(" #")[0].strip() for line in runnable))


def joined(block: str) -> list[str]:
    """A block's commands, with lines that end in a backslash put together."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory) -> Path:
    """A folder that looks like the project's root, with a demo of 60 clips in `demo/`."""
    place = tmp_path_factory.mktemp("docs")
    for name in ("features", "extract", "train", "evaluate", "benchmarks"):
        (place / name).symlink_to(ROOT / name)
    demo = [
        "extract demo demo/dump --clips 60",
        "extract run demo/dump --out demo/features --weights extract/demo_weights",
        "train run demo/features --out demo/run --recipe demo --set optim.max_updates=4",
        "evaluate run demo/run demo/features --out demo/evaluation --no-spice --beams 1",
    ]
    for line in demo:
        done = run(place, [sys.executable, "-m", *line.split()])
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    recipe, *_ = blocks(ROOT / "docs" / "recipes.md", "toml")
    (place / "larger-batches.toml").write_text(recipe, encoding="utf-8")
    return place


def run(place: Path, command: list[str]) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
    }
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


def scripts() -> list[str]:
    """Blocks of shell that are more than commands one by one; docs/page.md's is run elsewhere."""
    pages = [page for page in PAGES if page.name != "page.md"]
    return [block for page in pages for block in blocks(page, "bash")]


def calls_of_ours() -> list[str]:
    """Every call of ours in every page, marked or not: what follows `python -m`."""
    texts = [*scripts(), *(block for page in PAGES for block in blocks(page, "sh"))]
    lines = [line.partition(" #")[0] for text in texts for line in joined(text)]
    ours = re.compile(rf"-m ((?:{'|'.join(GROUPS)}) .*)")
    return list(dict.fromkeys(found[1] for line in lines if (found := ours.search(line))))


def test_every_block_is_of_a_kind_that_is_checked_here():
    for page in PAGES:
        fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.M)
        assert len(fences) % 2 == 0, page.name
        assert set(fences[::2]) <= KINDS and set(fences[1::2]) <= {""}, page.name


@pytest.mark.parametrize("script", scripts())
def test_a_script_that_is_not_run_says_why(script):
    assert any(excuse in script for excuse in EXCUSES)


@pytest.mark.parametrize("call", calls_of_ours())
def test_the_arguments_of_a_call_are_understood(call):
    group, name, *arguments = shlex.split(call)
    app = typer.main.get_command(importlib.import_module(f"{group}.cli").app)
    app.commands[name].make_context(name, arguments)  # reads them, runs nothing


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_pages_runs_as_it_stands_there(line, small_demo, tmp_path):
    words = shlex.split(line)
    if words[0] == "make":
        # The targets themselves run in CI; here, that they exist and take these variables.
        done = run(ROOT, ["make", "--dry-run", *words[1:]])
    else:
        assert words[:2] == ["python", "-m"], f"neither make nor python -m: {line}"
        words = [STANDS_FOR.get(word, word) for word in words]
        for option in ("--out",):  # never into what other commands read
            if option in words:
                words[words.index(option) + 1] = str(tmp_path / "out")
        done = run(small_demo, [sys.executable, *words[1:]])
    assert done.returncode == 0, done.stderr


def test_python_examples_of_the_pages_run(small_demo):
    examples = [block for page in PAGES for block in blocks(page, "python")]
    assert examples
    for example in examples:
        done = run(small_demo, [sys.executable, "-c", example])
        assert done.returncode == 0, done.stderr


def test_the_notebook_runs(small_demo):
    notebook = json.loads((ROOT / "docs" / "caption.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 5
    done = run(small_demo, [sys.executable, "-c", "\n".join(cells)])
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in done.stdout


def test_every_file_that_a_page_points_to_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_every_file_that_a_page_or_a_comment_names_is_there():
    named = re.compile(rf"(?<![\w`/.])(?:{'|'.join(FLOORS)})/[\w/.-]+\.(?:py|md|toml|svg|sh)\b")
    code = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    for file in [*PAGES, *code]:
        text = file.read_text(encoding="utf-8").replace("`", " ")
        assert [name for name in named.findall(text) if not (ROOT / name).exists()] == [], file


def test_the_picture_shows_every_floor():
    picture = ElementTree.parse(ROOT / "docs" / "data-flow.svg")
    words = {node.text for node in picture.iter() if node.tag.endswith("}text")}
    assert {f"{floor}/" for floor in GROUPS} <= words


def test_a_run_leaves_captions_of_validation_clips(small_demo):
    """By the real child: those of the last weights, which are always there."""
    last = (small_demo / "demo/run/captions.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    sample = json.loads(last)
    assert sample["update"] == 4 and 1 <= len(sample["captions"]) <= 10
    assert all(said["references"] for said in sample["captions"])
