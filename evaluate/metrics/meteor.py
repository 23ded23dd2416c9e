"""METEOR 1.5: the jar that pycocoevalcap carries, in one process for any number of captions.

The jar's protocol: "SCORE ||| reference ||| … ||| candidate" gives a line of 23 statistics,
"EVAL ||| statistics ||| …" gives a score per clip and then the corpus' own, which comes from the
statistics' sum (see `additive`) and is not the mean of the clips'.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from evaluate.metrics import jvm
from evaluate.metrics.child import Closing, LineProcess, ScoreError

# Without an answer. Its start takes some 8 s of computing, each answer milliseconds: far more than
# a machine that is shared by many needs, and no ten minutes where Java hangs.
TIMEOUT_S = 180.0
STATISTICS = 23
# Columns: the words of the caption and of its reference; for each of four matchers the matched
# words [4:20], the caption's and the reference's in turns; the runs of matches.
_TEST_LENGTH, _REFERENCE_LENGTH, _CHUNKS = 0, 1, 20


class Meteor(Closing):
    """One METEOR process. Starting returns at once; the first answer waits for its tables."""

    def __init__(
        self,
        *,
        folder: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        command: Sequence[str | Path] | None = None,
    ) -> None:
        """Start it.

        Args:
            folder: pycocoevalcap's, found by itself when None.
            timeout_s: end it after so long without an answer.
            command: what to start instead of Java with the jar (for tests of what can go wrong).
        """
        cwd = (folder or jvm.pycocoevalcap_folder()) / "meteor"
        flags = ["-Xmx2G", "-XX:+UseSerialGC", *jvm.LOCALE, "-jar", "meteor-1.5.jar"]
        # By itself the jar looks for its paraphrases under its own path, escaped: it finds none
        # below a folder with a space, é, # or %. This path is from where it starts.
        english = ["-l", "en", "-norm", "-a", "data/paraphrase-en.gz"]
        default: list[str | Path] = [jvm.java(), *flags, "-", "-", "-stdio", *english]
        self._process = LineProcess(
            command or default,
            name="METEOR",
            timeout_s=timeout_s,
            cwd=None if command else cwd,
            environment=jvm.ENVIRONMENT,
        )

    def close(self) -> None:
        self._process.close()

    def statistics(
        self, candidates: Sequence[str], references: Sequence[Sequence[str]]
    ) -> np.ndarray:
        """The statistics of tokenised captions against their references.

        Returns:
            float64 [clips, 23].

        Raises:
            ScoreError: if the process fails, hangs or answers something else.
        """
        lines = [
            " ||| ".join(("SCORE", *(_clean(text) for text in texts), _clean(candidate)))
            for candidate, texts in zip(candidates, references, strict=True)
        ]
        self._process.send(lines)
        answers = [self._numbers(self._process.receive(), STATISTICS) for _ in lines]
        return np.array(answers, np.float64).reshape(-1, STATISTICS)

    def scores(self, statistics: np.ndarray) -> tuple[np.ndarray, float]:
        """METEOR from statistics.

        Args:
            statistics: float64 [n, 23], a row per clip, or per sum of `additive` ones over clips.

        Returns:
            float64 [n], the score of each row, and that of all.

        Raises:
            ScoreError: if the process fails, hangs or answers something else.
        """
        rows = (" ".join(str(float(value)) for value in row) for row in statistics)
        self._process.send([" ||| ".join(("EVAL", *rows))])
        answers: Iterable[str] = (self._process.receive() for _ in range(len(statistics) + 1))
        values = [self._numbers(answer, 1)[0] for answer in answers]
        return np.array(values[:-1], np.float64), values[-1]

    def _numbers(self, answer: str, count: int) -> list[float]:
        try:
            numbers = [float(part) for part in answer.split()]
        except ValueError:
            numbers = []
        if len(numbers) != count:
            raise ScoreError(f"METEOR: answered {answer[:200]!r}, expected {count} numbers")
        return numbers


def additive(statistics: np.ndarray) -> np.ndarray:
    """Statistics whose sum over clips is that of the corpus, as METEOR itself adds them.

    A caption that meets its reference whole and in order adds no chunk to a corpus: by itself its
    one chunk costs nothing (addStats of the jar's MeteorStats).

    Args:
        statistics: float64 [clips, 23].
    """
    test, reference = statistics[:, 4:20:2].sum(axis=1), statistics[:, 5:20:2].sum(axis=1)
    whole = (test == statistics[:, _TEST_LENGTH]) & (reference == statistics[:, _REFERENCE_LENGTH])
    added = statistics.copy()
    added[whole & (statistics[:, _CHUNKS] == 1), _CHUNKS] = 0
    return added


def _clean(text: str) -> str:
    # As pycocoevalcap does with candidates; "|||" in a reference would make it two.
    return text.replace("|||", "").replace("  ", " ")
