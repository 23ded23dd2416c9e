"""The project's sources as they stand in the wheel: the four folders below one package.

In place they are `extract`, `features`, `train`, `evaluate`; installed they are `tagbart.extract`
and so on, so that they live beside other people's packages of those names. What names a module is
found on the syntax tree; everything else stays to the letter, comments and lines included.
"""

import ast
import re
from pathlib import Path

PACKAGE = "tagbart"
FOLDERS = ("features", "extract", "train", "evaluate")
# In messages and help: how a command is called.
_CALL = re.compile(rf"python -m (?=(?:{'|'.join(FOLDERS)})\b|$)")

Edit = tuple[int, int, bytes]  # from and to, as offsets in the source's bytes, and what goes there


class NotRewritable(Exception):
    """A way of importing that would mean something else in the package."""


def rewritten(source: str, name: str) -> str:
    """A module's source with its absolute imports led into the package.

    Args:
        source: of one of our modules.
        name: of its file, for messages.

    Raises:
        NotRewritable: for `import extract.x` without `as`, whose name in the code would be another.
    """
    text = source.encode("utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )

    edits: list[Edit] = []
    for node in ast.walk(ast.parse(source, filename=name)):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module) and not node.level:
            begin, end = span(node)
            at = begin + text[begin:end].index((node.module or "").encode())
            edits.append((at, at, f"{PACKAGE}.".encode()))
        elif isinstance(node, ast.Import) and any(_is_ours(alias.name) for alias in node.names):
            if len(node.names) > 1 or node.names[0].asname is None:
                raise NotRewritable(f"{name}, line {node.lineno}: import it by `from … import …`")
            begin, end = span(node)
            at = begin + text[begin:end].index(node.names[0].name.encode())
            edits.append((at, at, f"{PACKAGE}.".encode()))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            edits += _calls(text, *span(node), node.value)
    for begin, end, new in sorted(set(edits), reverse=True):
        text = text[:begin] + new + text[end:]
    return text.decode("utf-8")


def _is_ours(module: str | None) -> bool:
    return (module or "").split(".")[0] in FOLDERS


def _calls(text: bytes, begin: int, end: int, value: str) -> list[Edit]:
    """`python -m extract` in a string becomes `tagbart extract`, as people call it then."""
    if not _CALL.search(value):
        return []
    written = text[begin:end].decode("utf-8")
    pattern = re.compile(rf"python -m (?=(?:{'|'.join(FOLDERS)})\b|[\"'{{]|$)")
    return [
        (
            begin + len(written[: found.start()].encode()),
            begin + len(written[: found.end()].encode()),
            f"{PACKAGE} ".encode(),
        )
        for found in pattern.finditer(written)
    ]


def write_package(root: Path, out: Path) -> Path:
    """Write the package as the wheel holds it.

    Args:
        root: the project.
        out: folder to write `tagbart/` into; must not hold one.

    Returns:
        The package's folder.
    """
    package = out / PACKAGE
    for own in sorted((root / "package" / PACKAGE).iterdir()):
        if own.is_file():
            _write(package / own.name, own.read_bytes())
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            target = package / path.relative_to(root)
            if path.suffix == ".py":
                source = path.read_text(encoding="utf-8")
                _write(target, rewritten(source, str(path)).encode())
            else:
                _write(target, path.read_bytes())
    return package


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
