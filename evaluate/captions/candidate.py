"""What is captioned, and what was found for it, as text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp
from typing import Any, Protocol

import numpy as np

from evaluate.captions.beams import Hypothesis
from train.run_folder.checkpoint import Run


class ClipLike(Protocol):
    """What is captioned; features.reader.Clip is one. `streams` holds rows [T, D] by name."""

    @property
    def id(self) -> str: ...

    @property
    def streams(self) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a candidate was ranked by, where that was by ear (evaluate/captions/choosing/by_ear.py).

    Attributes:
        likelihood: mean natural logarithm of a token's probability, EOS counted; at most 0.
        cosine: of CLAP's vectors of text and sound, -1 to 1.
        combined: weight * likelihood + (1 - weight) * cosine.
    """

    likelihood: float
    cosine: float
    combined: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A caption that the search found.

    Attributes:
        text: without special tokens.
        logprob: natural logarithm of its probability under its prompt, EOS included.
        score: what captions are ranked by, logprob / tokens ** length_penalty.
        tokens: pieces of the text, in order, without special tokens.
        token_logprobs: of each piece.
        heard: what it was chosen by, where that was by ear.
    """

    text: str
    logprob: float
    score: float
    tokens: tuple[str, ...]
    token_logprobs: tuple[float, ...]
    heard: Heard | None = None

    @property
    def probability(self) -> float:
        return exp(self.logprob)

    def as_json(self) -> dict[str, Any]:
        """The same with probabilities, for files."""
        return {
            "text": self.text,
            "probability": self.probability,
            "logprob": self.logprob,
            "score": self.score,
            "tokens": list(self.tokens),
            "token_probabilities": [exp(logprob) for logprob in self.token_logprobs],
            **(asdict(self.heard) if self.heard else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What a clip was called; `n_best[0]` is the caption, `tags` the likeliest tag of each row."""

    clip: str
    tags: tuple[str, ...]
    n_best: tuple[Candidate, ...]

    @property
    def text(self) -> str:
        return self.n_best[0].text

    @property
    def logprob(self) -> float:
        return self.n_best[0].logprob


def distinct(pool: Sequence[Hypothesis]) -> list[Hypothesis]:
    """The first of each caption, in order."""
    return list({item.tokens: item for item in reversed(pool)}.values())[::-1]


def candidates_of(run: Run, pool: Sequence[Hypothesis]) -> list[Candidate]:
    """Captions in order; the best of those that differ in nothing but special tokens."""
    found: dict[str, Candidate] = {}
    for hypothesis in pool:
        candidate = candidate_of(run, hypothesis)
        found.setdefault(candidate.text, candidate)
    return list(found.values())


def candidate_of(run: Run, hypothesis: Hypothesis) -> Candidate:
    """A hypothesis with its text and its pieces."""
    special = set(run.tokenizer.all_special_ids)
    said = [
        (token, logprob)
        for token, logprob in zip(hypothesis.tokens, hypothesis.logprobs, strict=True)
        if token not in special
    ]
    return Candidate(
        text=text_of(run, hypothesis),
        logprob=hypothesis.logprob,
        score=hypothesis.score,
        tokens=tuple(run.tokenizer.decode([token]) for token, _ in said),
        token_logprobs=tuple(logprob for _, logprob in said),
    )


def text_of(run: Run, hypothesis: Hypothesis) -> str:
    """A hypothesis' text, without special tokens."""
    text = run.tokenizer.decode(
        hypothesis.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text.strip()
