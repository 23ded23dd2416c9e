"""What the sections of a recipe refuse, and how they say it."""

import json
import math
import re
from dataclasses import fields
from typing import Any, cast

from features.common.errors import ConfigError

INT_LIMIT = 2**63
_FLOAT_LIMIT = 3e38  # what float32 can hold


def check_types(section: Any, name: str) -> None:
    """Refuse values of another type than their field's; whole numbers become floats where asked.

    Args:
        section: a dataclass, frozen or not.
        name: of the section, as messages say it.

    Raises:
        ConfigError: naming the setting.
    """
    for item in fields(section):
        value: Any = getattr(section, item.name)
        kind = cast(type, item.type)
        if not isinstance(kind, type):  # one or several: they have been looked at
            continue
        if kind is float and type(value) is int and abs(value) < INT_LIMIT:
            object.__setattr__(section, item.name, float(value))
        elif type(value) is not kind:
            expected = "true or false" if kind is bool else f"a value of type {kind.__name__}"
            raise ConfigError(f"{name}.{item.name} is {value!r}, expected {expected}")
        check_number(f"{name}.{item.name}", value)


def check_number(name: str, value: Any) -> None:
    """Refuse what no run can compute with; the seed has bounds of its own."""
    if isinstance(value, float):
        require(math.isfinite(value), f"{name} is {value}, expected a number")
        require(abs(value) < _FLOAT_LIMIT, f"{name} is {value}, expected a number below 3e38")
    elif isinstance(value, int) and name != "train.seed":
        require(abs(value) < INT_LIMIT, f"{name} is beyond 2**63")


def one_or_several(name: str, value: Any, kind: type) -> Any:
    """A list of one as its value, of several as a tuple; what is no list as it is.

    Raises:
        ConfigError: for an empty list, for what is of another type, and for doubled or empty names.
    """
    several = list(value) if isinstance(value, list | tuple) else [value]
    number = {str: "a stream's name", int: "a whole number"}[kind]
    shown = f"inputs.{name} is {json.dumps(value, ensure_ascii=False, default=str)}"
    if not several or any(type(item) is not kind for item in several):
        raise ConfigError(f"{shown}, expected {number} or a list of several")
    if kind is str and len(several) > 1:
        require(all(several), f"{shown}: one of its names is empty")
        require(len(set(several)) == len(several), f"{shown}: each stream is named once")
    for item in several:
        check_number(f"inputs.{name}", item)
    return several[0] if len(several) == 1 else tuple(several)


def task_names(value: Any) -> tuple[str, ...]:
    """A list of names as a tuple; what a shell leaves of a list, and what is no name, refused."""
    shown = f"inputs.tasks is {json.dumps(value, ensure_ascii=False, default=str)}"
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    require(
        all(isinstance(name, str) and re.fullmatch(r"\w[\w -]*", name) for name in names),
        f"{shown}, expected a list of names of letters, digits, spaces, - and _: "
        """--set 'inputs.tasks=["audiocaps", "clotho"]'""",
    )
    require(len(set(names)) == len(names), f"{shown}: each task is named once")
    return names


def several(value: Any) -> tuple[Any, ...]:
    """One value as a tuple of it, several as they are."""
    return value if isinstance(value, tuple) else (value,)


def require(holds: bool, message: str) -> None:
    """Raise a ConfigError with this message unless it holds."""
    if not holds:
        raise ConfigError(message)


def require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise a ConfigError unless the setting has one of the known values."""
    require(value in known, f"{name} is {value!r}, expected one of {', '.join(known)}")
