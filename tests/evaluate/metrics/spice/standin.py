"""A SPICE worker whose parser needs no models, run as a process of its own where a fault is staged.

Real: the JVM, SPICE 1.0's graphs, statistics and synonyms, the worker's protocol and read-out.
Stood in for: the parser. Here every word is an object, "red-dog" the attribute red of the object
dog, "nothing" no tuple at all. Java talks to stdout on purpose. The word "stuck" never ends.
"""

from collections.abc import Sequence
from typing import Any

from evaluate.metrics.spice import worker
from evaluate.metrics.spice.java import JavaClasses, start_java
from evaluate.metrics.spice.parses import Tuples


class StandInClasses(JavaClasses):
    def tuples(self, texts: Sequence[str]) -> list[Tuples]:
        import jpype

        out = jpype.JClass("java.lang.System").out
        out.println("Java talks as it likes {")
        while "stuck" in texts:
            jpype.JClass("java.lang.Thread").sleep(1000)
        return [[_tuple(word) for word in text.split() if word != "nothing"] for text in texts]


def _tuple(word: str) -> list[str]:
    attribute, _, thing = word.rpartition("-")
    return [thing, attribute] if attribute else [thing]


def start(settings: dict[str, Any]) -> worker.Classes:
    start_java(settings["class_path"], settings["memory_mb"], settings["threads"])
    return StandInClasses(settings["threads"])


if __name__ == "__main__":
    worker.main(start)
