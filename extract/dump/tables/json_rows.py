"""Records of a JSON, JSONL or YAML file of captions, one after the other."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from extract.dump.tables.texts import head_text
from features.common.errors import DumpError, first_line
from features.common.reading import check_ordinary, read_text

_DEEP = "nested too deeply"


def jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not empty.

    Raises:
        DumpError: if the file cannot be read, or a line is no JSON object.
    """
    try:
        check_ordinary(path)
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _object(_parsed(line, f"{path}, line {number}"), path, number)
    except UnicodeDecodeError as error:
        raise DumpError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise DumpError(f"{path}: cannot be read ({error.strerror})") from error


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of every record of a list, or of the list under `data`, as WavCaps has it;
    or of every line, as `datasets` and NeMo write .json.

    Records are decoded one at a time: as objects all of them would take ten times the text.

    Raises:
        DumpError: if the file cannot be read, or holds no list of objects.
    """
    text = _text(path)
    decoder = json.JSONDecoder()
    try:
        at = _list_start(text, decoder)
        if at is None and _has_lines(text, decoder):
            yield from jsonl_rows(path)
            return
        if at is None:
            raise DumpError(f"{path}: holds no list of clips, neither itself nor under 'data'")
        number, alone = 0, text.lstrip().startswith("[")
        while text[at] != "]":
            value, at = decoder.raw_decode(text, at)
            number += 1
            yield number, _object(value, path, number)
            at = _skip(text, at)
            if text[at] == ",":
                at = _skip(text, at + 1)
            elif text[at] != "]":
                raise DumpError(f"{path}: not valid JSON behind record {number}; get it again")
        if alone and text[at + 1 :].strip():
            raise DumpError(
                f"{path}: goes on behind its list ({text[at + 1 :].strip()[:40]!r}); expected one "
                "list of all clips"
            )
    except (ValueError, IndexError) as error:
        raise DumpError(f"{path}: not valid JSON ({error}); get it again") from error
    except RecursionError as error:
        raise DumpError(f"{path}: not valid JSON ({_DEEP})") from error


def yaml_files(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and record of every item under `files`, as MACS has it.

    Raises:
        DumpError: if the file cannot be read, or holds no such list.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is there
    try:
        raw = yaml.load(_text(path), Loader=loader)
    except yaml.YAMLError as error:
        raise DumpError(f"{path}: not valid YAML ({first_line(error)}); get it again") from error
    except RecursionError as error:
        raise DumpError(f"{path}: not valid YAML ({_DEEP})") from error
    items = raw.get("files") if isinstance(raw, dict) else None
    if not isinstance(items, list):
        raise DumpError(f"{path}: holds no list under 'files', as MACS.yaml has it")
    for number, item in enumerate(items, 1):
        yield number, _object(item, path, number)


def json_columns(path: Path) -> list[str]:
    """The keys of the first record, `data.` before them if it stands in a list of that name."""
    try:
        text, decoder = head_text(path), json.JSONDecoder()
        start: int | None = None
        if path.suffix.lower() == ".json":
            start = _list_start(text, decoder)
        if start is None and (path.suffix.lower() != ".json" or _has_lines(text, decoder)):
            start = _skip(text, 0)
        if start is None:
            return []
        record, _ = decoder.raw_decode(text, start)
    except (OSError, ValueError, IndexError, RecursionError):
        return []
    wrapped = "data." if text.lstrip().startswith("{") and start > _skip(text, 0) else ""
    return [wrapped + key for key in record] if isinstance(record, dict) else []


def _has_lines(text: str, decoder: json.JSONDecoder) -> bool:
    """Whether a text begins with an object in a line of its own."""
    start = _skip(text, 0)
    _, end = decoder.raw_decode(text, start)
    return text[start] == "{" and "\n" not in text[start:end]


def is_macs(path: Path) -> bool:
    """Whether a YAML file begins with MACS' list of files."""
    try:
        lines = (line for line in head_text(path).splitlines() if line.strip(" -"))
        return next((line for line in lines if line[0] not in "#%"), "").startswith("files:")
    except OSError:
        return False


def _list_start(text: str, decoder: json.JSONDecoder) -> int | None:
    """Where the first record of the list stands, or the list's end if it is empty."""
    at = _skip(text, 0)
    if text[at] == "[":
        return _skip(text, at + 1)
    if text[at] != "{":
        return None
    at = _skip(text, at + 1)
    while text[at] == '"':
        key, at = decoder.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # the colon
        if key == "data" and text[at] == "[":
            return _skip(text, at + 1)
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] != ",":
            return None
        at = _skip(text, at + 1)
    return None


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise DumpError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise DumpError(f"{path}: cannot be read ({error.strerror})") from error


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DumpError(f"{where}: not valid JSON ({error}); expected an object a line") from error
    except RecursionError as error:
        raise DumpError(f"{where}: not valid JSON ({_DEEP})") from error


def _object(value: Any, path: Path, number: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DumpError(f"{path}: record {number} is {str(value)[:60]!r}, expected an object")
    return value
