"""The process in which SPICE's Java runs: `python -m evaluate.metrics.spice.worker`, JSON lines.

In: first {"class_path": […], "memory_mb": n, "threads": n, "cache": path or null, "versions": text}
    (see client.Spice), then per request
    {"references": [[text, …] per clip], "candidates": [[text per clip] per file]}.
Out: any number of {"done": n, "total": n} and {"note": text}, then
    {"values": [[F or null per clip] per file]}; {"error": text} instead if something fails, which
    ends the process.

Java and its libraries print as they like: only this module's messages reach the real stdout.
"""

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from queue import Queue
from typing import Any

from evaluate.metrics.child import answers_alone
from evaluate.metrics.jvm import SPICE_LONG
from evaluate.metrics.spice.java import JavaClasses, start_java
from evaluate.metrics.spice.parses import Parses

TEXTS_PER_BATCH = 200  # often enough for a progress bar, few enough calls into Java

Report = Callable[[int, int], None]
Write = Callable[[dict[str, Any]], None]
Start = Callable[[dict[str, Any]], JavaClasses]


def spice_values(
    classes: JavaClasses,
    parses: Parses,
    references: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
    report: Report,
) -> list[list[float | None]]:
    """SPICE's F per clip and file. Every distinct text is parsed once, if it is not known yet.

    Captions without words have no tuples, so they need no parser: as a candidate they score 0, as
    a reference they add nothing.

    Args:
        classes: SPICE.
        parses: those known; new ones are added.
        references: per clip.
        candidates: per file and clip.
        report: called with texts parsed and how many are to be.

    Returns:
        Per file and clip a number, or None where SPICE gives none.
    """
    texts = [text for some in (*references, *candidates) for text in some if text]
    parse(classes, parses, texts, report)
    graphs = [classes.graph(parses[text] for text in some if text) for some in references]
    values = []
    for file in candidates:
        pairs = [
            (clip, classes.graph([parses[text]]), graphs[clip])
            for clip, text in enumerate(file)
            if text
        ]
        values.append(read_values(classes.evaluate(pairs), len(file)))
    return values


def parse(classes: JavaClasses, parses: Parses, texts: Iterable[str], report: Report) -> None:
    """Parse the texts that are not known; each batch is kept as soon as it is done."""
    unknown = parses.unknown(texts)
    # Long ones last and alone: what they may break comes after what is kept.
    unknown.sort(key=lambda text: len(text.split()) if is_long(text) else 0)
    done = 0
    for batch in _batches(unknown):
        report(done, len(unknown))
        parses.keep(dict(zip(batch, classes.tuples(batch), strict=True)))
        done += len(batch)
    report(done, len(unknown))


def is_long(text: str) -> bool:
    """Whether a text is parsed alone, since memory goes with the square of its words."""
    return len(text.split()) > SPICE_LONG


def read_values(text: str, clips: int) -> list[float | None]:
    """SPICE's JSON: the F over all tuples by clip number; 0.0 for clips that it was not given.

    SPICE writes null for a number that is none (it divides by no tuples).
    """
    values: list[float | None] = [0.0] * clips
    for item in json.loads(text):
        f = item["scores"]["All"]["f"]
        values[item["image_id"]] = None if f is None or math.isnan(f) else float(f)
    return values


def serve(lines: Iterator[str], write: Write, start: Start) -> int:
    """Answer requests until the lines end; the exit code."""
    try:
        settings = json.loads(next(lines))
        classes = start(settings)
        cache = settings.get("cache")
        parses = Parses(
            Path(cache) if cache else None,
            settings.get("versions", ""),
            say=lambda text: write({"note": text}),
        )
        for line in lines:
            request = json.loads(line)
            values = spice_values(
                classes,
                parses,
                request["references"],
                request["candidates"],
                lambda done, total: write({"done": done, "total": total}),
            )
            write({"values": values})
    except Exception as error:  # a process boundary: Java's errors have no common class of ours
        write({"error": " ".join(f"{type(error).__name__}: {error}".split())})
        return 1
    return 0


def main(start: Start) -> None:
    """Serve stdin, and end at once when it ends or a signal comes.

    Never by Java's own way out: it takes down what its threads are working on, and crashes.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    answers = answers_alone()
    lines: Queue[str] = Queue()
    threading.Thread(target=_read_stdin, args=(lines,), daemon=True).start()
    code = serve(iter(lines.get, None), lambda item: print(json.dumps(item), file=answers), start)
    answers.flush()
    os._exit(code)


def _read_stdin(lines: Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # the one who asks has ended


def _start(settings: dict[str, Any]) -> JavaClasses:
    start_java(settings["class_path"], settings["memory_mb"], settings["threads"])
    return JavaClasses(settings["threads"])


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    short = sum(not is_long(text) for text in texts)
    for at in range(0, short, TEXTS_PER_BATCH):
        yield texts[at : min(at + TEXTS_PER_BATCH, short)]
    for text in texts[short:]:
        yield [text]


if __name__ == "__main__":
    main(_start)
