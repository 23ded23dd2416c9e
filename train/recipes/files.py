"""Read and write recipes: defaults, then a TOML file and its parents, then --set."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import Any

from features.common.damaged import seen_in
from features.common.errors import ConfigError
from features.common.publish import published
from features.common.reading import read_text
from train.recipes.config import SECTIONS, Recipe

FOLDER = Path(__file__).parent
FILE_NAME = "recipe.toml"


def recipe_names() -> list[str]:
    """Names of the recipes that come with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name_or_file: str, settings: Iterable[str] = ()) -> Recipe:
    """A recipe by name or file, with `section.key=value` settings on top.

    Raises:
        ConfigError: if there is no such recipe, or a key or value is not valid.
    """
    path = _find(name_or_file, FOLDER)
    values = _with_parents(path, seen=())
    for setting in settings:
        _apply(values, setting)
    try:
        return _as_recipe(values.pop("name", path.stem), values)
    except ConfigError as error:
        if path.parent == FOLDER:
            raise
        raise ConfigError(f"{path}{' with --set' if settings else ''}: {error}") from error


def read_resolved(path: Path) -> Recipe:
    """A recipe as a run folder holds it."""
    values = _read(path)
    if not values:
        raise ConfigError(f"{path}: {seen_in(path, binary=False)}")
    try:
        return _as_recipe(values.pop("name", path.stem), values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def write_resolved(recipe: Recipe, path: Path) -> None:
    """Publish every value of a recipe, so that later defaults change nothing."""
    with published(path) as draft:
        draft.write_text(to_toml(recipe), encoding="utf-8")


def to_toml(recipe: Recipe) -> str:
    """A recipe as TOML text, all values spelled out."""
    lines = [f"name = {_literal(recipe.name)}", f"description = {_literal(recipe.description)}"]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        values = asdict(getattr(recipe, section))
        lines += [f"{key} = {_literal(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _find(name_or_file: str, beside: Path) -> Path:
    named = Path(name_or_file)
    own = (named,) if named.suffix == ".toml" else ()
    try:
        for path in (beside / f"{named}.toml", FOLDER / f"{named}.toml", *own):
            if path.is_file():
                return path
    except (OSError, ValueError):
        pass  # no name that a file can have
    raise ConfigError(
        f"no recipe {name_or_file!r}{_meant(named.stem, recipe_names())}; `python -m train "
        "recipes` lists them, and a path to a .toml file is taken too"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        what = seen_in(path, binary=False)
        reason = f"; it {what}" if "not the file itself" in what else f" ({error})"
        raise ConfigError(f"{path}: not valid TOML{reason}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not valid TOML (nested too deeply)") from error


def _with_parents(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe file's values over those of its parents."""
    if path.resolve() in seen:
        raise ConfigError(f"{path}: is its own parent")
    own = _read(path)
    parent = own.pop("parent", "")
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: parent is {parent!r}, expected a recipe's name or file")
    above = (*seen, path.resolve())
    values = _with_parents(_find(parent, path.parent), above) if parent else {}
    values.pop("name", None)
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(values.get(key, {}), Mapping):
            values[key] = {**values.get(key, {}), **value}
        else:
            values[key] = value
    return values


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"--set {setting}: expected section.key=value, e.g. optim.batch_size=16")
    part = values.setdefault(section, {})
    if not isinstance(part, dict):
        raise ConfigError(f"--set {setting}: {section} is {part!r}, no section")
    word = text.strip()
    value = _value(word)
    kind = getattr(SECTIONS.get(section), "__annotations__", {}).get(name)
    number = isinstance(value, int | float | date) and not isinstance(value, bool)
    # A name may look like a number: a folder is called 2026-11-27, a commit 1234567.
    part[name] = word if number and kind is str else value


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text  # a bare word: --set model.pretrained=none
    return found["value"] if len(found) == 1 else text  # several lines


def _as_recipe(name: str, values: dict[str, Any]) -> Recipe:
    known = {item.name for item in fields(Recipe)}
    for key in values:
        if key not in known:
            guess = _meant(key, [*known, "parent", *_all_keys()])
            raise ConfigError(f"recipe has no {key!r}{guess}")
    sections = {}
    for section, kind in SECTIONS.items():
        part = values.get(section, {})
        if not isinstance(part, Mapping):
            raise ConfigError(f"recipe: {section} is {part!r}, expected a [{section}] section")
        names = [item.name for item in fields(kind)]
        for key in part:
            if key not in names:
                guess = _meant(key, names) or _meant(key, _all_keys())
                guess = guess or f"; [{section}] has {', '.join(names)}"
                raise ConfigError(f"recipe has no '{section}.{key}'{guess}")
        sections[section] = kind(**part)
    return Recipe(name=name, description=values.get("description", ""), **sections)


def _all_keys() -> list[str]:
    return [f"{section}.{item.name}" for section, kind in SECTIONS.items() for item in fields(kind)]


def _meant(word: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word, judged by its last part: `; did you mean 'x'?`."""
    by_tail = {name.rpartition(".")[2]: name for name in known}
    found = difflib.get_close_matches(word.rpartition(".")[2].lower(), by_tail, n=1)
    return f"; did you mean '{by_tail[found[0]]}'?" if found else ""


def _literal(value: Any) -> str:
    # JSON's strings, numbers and booleans are TOML's, too, but for 1e-05, which both take.
    return json.dumps(value, ensure_ascii=False)
