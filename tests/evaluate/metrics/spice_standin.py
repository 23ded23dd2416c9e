"""A SPICE worker without CoreNLP 3.6.0's models, run as a process of its own by the tests.

Real: the JVM, SPICE 1.0's SceneGraph, SpiceStats, TupleSet and Evaluation classes with their
synonyms, the worker's protocol and read-out. Stood in for: SpiceParser, which needs the models;
here every word becomes an object, "red-dog" the attribute red of the object dog, and the word
"nothing" no tuple at all. Java talks to stdout on purpose.
"""

import sys
from typing import Any

from evaluate.metrics import spice_worker


class StandInParser:
    def __init__(self) -> None:
        import jpype

        constants = jpype.JClass("edu.cmu.meteor.util.Constants")
        url, folder = jpype.JClass("java.net.URL"), str(constants.DEFAULT_SYN_DIR_URL)
        names = ("exceptions", "synsets", "relations")
        synonyms = jpype.JClass("edu.cmu.meteor.aligner.SynonymDictionary")
        self.synonyms = synonyms(*(url(f"{folder}/english.{name}") for name in names))
        self.graph = jpype.JClass("edu.anu.spice.SceneGraph")
        self.out = jpype.JClass("java.lang.System").out

    def parseCaptions(self, texts: Any, counts: Any) -> list[Any]:
        self.out.println("Java talks as it likes {")
        words = iter(texts)
        graphs = []
        for count in counts:
            graph = self.graph(self.synonyms, True)
            for _ in range(int(count)):
                for word in str(next(words)).split():
                    attribute, _, thing = word.rpartition("-")
                    if word == "nothing":
                        continue
                    graph.addObject(thing)
                    if attribute:
                        graph.addAttribute(thing, attribute)
            graphs.append(graph)
        return graphs


class StandInClasses(spice_worker.JavaClasses):
    def _new_parser(self, threads: int) -> Any:
        return StandInParser()


def start(settings: dict[str, Any]) -> spice_worker.Classes:
    spice_worker.start_java(settings["class_path"], settings["memory_mb"])
    return StandInClasses(settings["threads"])


if __name__ == "__main__":
    sys.exit(spice_worker.main(start))
