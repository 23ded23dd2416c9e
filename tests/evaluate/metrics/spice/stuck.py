"""A SPICE worker whose parser never ends, run as a process of its own by the tests of its end."""

from collections.abc import Sequence
from typing import Any

from evaluate.metrics.spice import worker
from evaluate.metrics.spice.java import JavaClasses, start_java
from evaluate.metrics.spice.parses import Tuples


class StuckClasses(JavaClasses):
    def tuples(self, texts: Sequence[str]) -> list[Tuples]:
        import jpype

        print("Java and its libraries print as they like {")
        while True:
            jpype.JClass("java.lang.Thread").sleep(1000)


def start(settings: dict[str, Any]) -> JavaClasses:
    start_java(settings["class_path"], settings["memory_mb"], settings["threads"])
    return StuckClasses(settings["threads"])


if __name__ == "__main__":
    worker.main(start)
