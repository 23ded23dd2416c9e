"""Every command's help: an example that begins with the command, a word on every option."""

import importlib
import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

GROUPS = ("extract", "train", "evaluate", "features")


def commands():
    """Group and command of every page of help."""
    for group in GROUPS:
        app = typer.main.get_command(importlib.import_module(f"{group}.cli").app)
        for name, command in app.commands.items():
            yield pytest.param(group, name, command, id=f"{group} {name}")


@pytest.mark.parametrize(("group", "name", "command"), commands())
def test_a_page_of_help_has_an_example_with_options_that_exist(group, name, command):
    text = " ".join(command.help.split())
    _, found, example = text.partition("Example: ")
    assert found, f"{group} {name} has no example"
    words = shlex.split(example.replace("\\ ", ""))  # a backslash at a line's end
    assert words[:4] == ["python", "-m", group, name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize(("group", "name", "command"), commands())
def test_every_option_and_argument_is_explained(group, name, command):
    silent = [parameter.name for parameter in command.params if not parameter.help]
    assert not silent


@pytest.mark.parametrize(("group", "name", "command"), commands())
def test_a_page_of_help_is_as_wide_as_the_terminal(group, name, command):
    """typer breaks a docstring's lines where the source does, too."""
    lines = [line for line in command.help.splitlines() if line]
    paragraphs = re.split(r"\n\n", command.help.replace("\\\n", ""))
    assert len(lines) - command.help.count("\\\n") == len(paragraphs)


def test_help_names_types_as_people_do():
    """typer itself says <list[Path]>; features/common/console.py tells it better."""
    app = importlib.import_module("evaluate.cli").app
    done = CliRunner().invoke(app, ["report", "--help"])
    assert done.exit_code == 0 and "<path …>" in done.output
    for group, command in (("evaluate", "fetch"), ("evaluate", "report"), ("extract", "fetch")):
        app = importlib.import_module(f"{group}.cli").app
        assert "list[" not in CliRunner().invoke(app, [command, "--help"]).output
