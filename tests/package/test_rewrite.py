"""The wheel's sources: imports led into the package, all else to the letter."""

import ast
import importlib.util
from pathlib import Path

import pytest

from tests.test_imports import imported_modules

ROOT = Path(__file__).parents[2]
FLOORS = {"extract", "features", "train", "evaluate"}


@pytest.fixture(scope="module")
def rewrite():
    """package/rewrite.py, which is no module of the project."""
    spec = importlib.util.spec_from_file_location("rewrite", ROOT / "package" / "rewrite.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("from extract.sound import audio", "from tagbart.extract.sound import audio"),
        ("from evaluate import cli  # é", "from tagbart.evaluate import cli  # é"),
        ("x = 'é'; from train import (\n  a,\n)", "x = 'é'; from tagbart.train import (\n  a,\n)"),
        ("import features.spec as spec", "import tagbart.features.spec as spec"),
        ("if x:\n    from features import spec", "if x:\n    from tagbart.features import spec"),
        ("say('é: run python -m extract fetch')", "say('é: run tagbart extract fetch')"),
        ('"""Run `python -m train run F`."""', '"""Run `tagbart train run F`."""'),
        ("log(f'python -m {name} --help')", "log(f'tagbart {name} --help')"),
        # Not ours, not imports, not calls: to the letter.
        ("import evaluation, extractor", "import evaluation, extractor"),
        ("from training import run", "from training import run"),
        ("# from extract import x", "# from extract import x"),
        ("split = 'train'; key = 'train.seed'", "split = 'train'; key = 'train.seed'"),
        ("say('python -m benchmarks')", "say('python -m benchmarks')"),
    ],
)  # fmt: skip
def test_what_names_a_module_is_led_into_the_package(rewrite, ours, theirs):
    assert rewrite.rewritten(ours, "x.py") == theirs


@pytest.mark.parametrize("source", ["import extract.run", "import os, train"])
def test_an_import_whose_name_would_be_another_is_refused(rewrite, source):
    with pytest.raises(rewrite.NotRewritable, match=r"x\.py, line 1"):
        rewrite.rewritten(source, "x.py")


@pytest.fixture(scope="module")
def package(rewrite, tmp_path_factory):
    return rewrite.write_package(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_package_holds_every_file_of_the_four_folders_and_its_own(package):
    there = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    ours = {
        path.relative_to(ROOT)
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    own = {Path(name) for name in ("__init__.py", "__main__.py", "py.typed")}
    assert there == ours | own


def test_no_module_of_the_package_imports_a_bare_name_and_lines_stay_where_they_are(package):
    sources = list(package.rglob("*.py"))
    assert len(sources) > 100
    for source in sources:
        assert not {name.split(".")[0] for name in imported_modules(source)} & FLOORS, source
        original = ROOT / source.relative_to(package)
        if original.exists():
            text = source.read_text(encoding="utf-8")
            assert len(text.splitlines()) == len(original.read_text("utf-8").splitlines())
            ast.parse(text)
