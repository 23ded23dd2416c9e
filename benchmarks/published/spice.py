"""SPICE the way pycocoevalcap has it: Java anew for every file, every text parsed, nothing kept.

`python -m benchmarks.published.spice`: JSON {"references", "candidates"} of one file on stdin, a
value per clip on stdout. pycocoevalcap starts SPICE's command line, which today's Java cannot run;
these are the calls that its command line makes, with its settings.
"""

import json
import sys

from evaluate.metrics.child import answers_alone
from evaluate.metrics.spice import jars
from evaluate.metrics.spice.java import start_java
from evaluate.metrics.spice.worker import read_values
from features.common.machine import cores

MEMORY_MB = 8192  # what pycocoevalcap asks for


def main() -> None:
    """Score one file."""
    import jpype

    answers = answers_alone()
    asked = json.load(sys.stdin)
    start_java([str(jar) for jar in jars.class_path()], MEMORY_MB, cores())
    java = jpype.JPackage("java")
    yes = java.lang.Boolean.TRUE
    parser = jpype.JClass("edu.anu.spice.SpiceParser")(None, cores(), yes)
    counts = java.util.ArrayList()
    for texts in asked["references"]:
        counts.add(java.lang.Integer(len(texts)))
    flat = java.util.ArrayList([text for texts in asked["references"] for text in texts])
    references = parser.parseCaptions(flat, counts)
    candidates = parser.parseCaptions(java.util.ArrayList(asked["candidates"]))
    stats = jpype.JClass("edu.anu.spice.SpiceStats")(java.util.HashMap(), java.lang.Boolean.FALSE)
    for number, (candidate, reference) in enumerate(zip(candidates, references, strict=True)):
        stats.score(java.lang.Integer(number), candidate, reference, True)
    print(json.dumps(read_values(str(stats.toJSONString()), len(candidates))), file=answers)


if __name__ == "__main__":
    main()
