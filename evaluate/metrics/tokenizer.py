"""PTB tokenisation as caption metrics do it: Stanford's tokenizer, lower case, no punctuation.

The same jar and flags as pycocoevalcap's PTBTokenizer, fed through a pipe: that class writes a
file beside its jar, which a read-only installation does not allow.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from evaluate.metrics import jvm
from evaluate.metrics.child import ScoreError, last_words

TIMEOUT_S = 600.0
# What the tokenizer takes for the end of a line, beside "\n" (seen with 3.4.1).
_LINE_BREAKS = re.compile("[\n\r\v\f\u2028\u2029]")


def tokenize(
    texts: Sequence[str], *, folder: Path | None = None, timeout_s: float = TIMEOUT_S
) -> list[str]:
    """Tokenise any number of texts with one Java process.

    Args:
        texts: captions; line breaks inside them count as spaces.
        folder: pycocoevalcap's, found by itself when None.
        timeout_s: end Java after this time.

    Returns:
        As many texts, tokens separated by one space; "" where no word is left.

    Raises:
        ScoreError: if Java fails, takes too long, or answers with another number of lines.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    if not texts:
        return []
    jar = (folder or jvm.pycocoevalcap_folder()) / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    command = [str(jvm.java()), *jvm.LOCALE, "-cp", str(jar)]
    command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    lines = "".join(_LINE_BREAKS.sub(" ", text) + "\n" for text in texts)
    try:
        done = subprocess.run(
            command,
            input=lines.encode("utf-8", "replace"),
            capture_output=True,
            timeout=timeout_s,
            env=os.environ | jvm.ENVIRONMENT,
        )
    except subprocess.TimeoutExpired:
        raise ScoreError(f"PTB tokenizer: no end after {timeout_s:g} s, ended it") from None
    except OSError as error:
        raise ScoreError(f"PTB tokenizer: cannot start {command[0]} ({error})") from error
    # Not splitlines(): a token may hold what Python, but not the tokenizer, calls a line break.
    answer = done.stdout.decode("utf-8").removesuffix("\n").split("\n")
    if done.returncode != 0 or len(answer) != len(texts):
        raise ScoreError(
            f"PTB tokenizer: {len(answer)} lines for {len(texts)} captions, "
            f"exit code {done.returncode}{last_words(done.stderr)}"
        )
    dropped = frozenset(PUNCTUATIONS)
    return [
        " ".join(token for token in line.rstrip().split(" ") if token not in dropped)
        for line in answer
    ]
