"""The process in which aac-metrics computes FENSE: `python -m evaluate.metrics.fense_worker`.

In: one line, {"references": [[text, …] per clip], "candidates": [[text per clip] per file]}.
Out: one line, {"values": [{name of fense.METRICS: [per clip]} per file]}. It needs torch and
transformers, which scoring does without: hence a process of its own.
"""

import json
import sys
from typing import Any

from evaluate.metrics.child import answers_alone
from evaluate.metrics.fense import METRICS


def fense_values(request: dict[str, Any]) -> list[dict[str, list[float]]]:
    """Per file the values of METRICS per clip."""
    from aac_metrics.classes.fense import FENSE

    fense = FENSE(return_all_scores=True)  # loads its models, once for all files
    values = []
    for candidates in request["candidates"]:
        _, clips = fense(candidates, request["references"])
        values.append({name: clips[name].tolist() for name in METRICS})
    return values


def main() -> None:
    """Answer one request."""
    answers = answers_alone()
    print(json.dumps({"values": fense_values(json.loads(sys.stdin.readline()))}), file=answers)


if __name__ == "__main__":
    main()
