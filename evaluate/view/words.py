"""Words of captions: put together from a tokenizer's pieces, compared with references, diffed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import prod

DOUBTFUL = 0.5  # below this a word was less likely than all others together
# Words that name no event. Verbs of mere being are among them: "is heard" says nothing new.
EMPTY = frozenset(
    "a an the and or of in on at to from by with as while then it its is are was be being been "
    "some someone something there this that their his her he she they into over up down out off "
    "for followed after before during several other another heard sound sounds noise".split()
)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of a caption.

    Attributes:
        text: as it stands, punctuation apart.
        probability: of all its pieces, given what stands before it; None where nobody was asked.
        pieces: numbers of its pieces in the caption.
        unheard: whether no reference has it, in any form of it.
    """

    text: str
    probability: float | None
    pieces: tuple[int, ...]
    unheard: bool

    @property
    def doubtful(self) -> bool:
        return self.probability is not None and self.probability < DOUBTFUL


def from_pieces(
    pieces: Sequence[str], probabilities: Sequence[float], references: Sequence[str] = ()
) -> list[Word]:
    """Put a caption's pieces together; a mark of punctuation is a word of its own.

    Args:
        pieces: decoded tokens, without the end of the sentence.
        probabilities: one per piece.
        references: what people said; none leaves every word unmarked.
    """
    groups: list[list[int]] = []
    for number, piece in enumerate(pieces):
        plain = any(letter.isalnum() for letter in piece)
        goes_on = groups and plain and not piece[:1].isspace()
        if goes_on and any(letter.isalnum() for letter in pieces[groups[-1][-1]]):
            groups[-1].append(number)
        else:
            groups.append([number])
    said = _stems_of(references)
    return [
        Word(
            text=(text := "".join(pieces[i] for i in group).strip()) or "␣",
            probability=prod(probabilities[i] for i in group),
            pieces=tuple(group),
            unheard=bool(references) and not stems(text) <= said,
        )
        for group in groups
    ]


def from_text(text: str, references: Sequence[str] = ()) -> list[Word]:
    """A caption's words where its pieces are not known."""
    said = _stems_of(references)
    return [
        Word(
            text=word,
            probability=None,
            pieces=(),
            unheard=bool(references) and not stems(word) <= said,
        )
        for word in text.split()
    ]


def words(text: str) -> list[str]:
    """Words of a caption as people count them: lower case, parted by spaces, no punctuation."""
    stripped = (word.strip(".,;:!?\"'()").lower() for word in text.split())
    return [word for word in stripped if word]


def stems(text: str) -> set[str]:
    """Stems of the words that may name an event: barks, barked and barking are one.

    Rough on purpose (endings are cut off, nothing is looked up): it decides what a page marks, and
    no score.
    """
    return {_stem(word) for word in words(text) if word not in EMPTY}


def _stems_of(texts: Sequence[str]) -> set[str]:
    return set().union(*map(stems, texts))


def said_by_all(references: Sequence[str]) -> set[str]:
    """Stems that every reference has; none for fewer than two references."""
    if len(references) < 2:
        return set()
    first, *others = map(stems, references)
    return first.intersection(*others)


def marked(reference: str, shared: set[str], caption: str) -> list[tuple[str, str]]:
    """A reference's words, each with its mark: "shared", "missed" (and not in the caption), ""."""
    said = stems(caption)
    found = []
    for word in reference.split():
        own = stems(word) & shared
        found.append((word, "" if not own else "shared" if own <= said else "missed"))
    return found


def diff(before: str, after: str) -> list[tuple[str, str]]:
    """What becomes of one caption in another: ("same" | "gone" | "new", words) in order."""
    old, new = before.split(), after.split()
    plain = [[word.lower().strip(".,") for word in text] for text in (old, new)]
    parts: list[tuple[str, str]] = []
    for kind, a, b, c, d in SequenceMatcher(None, plain[0], plain[1], autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(("same", " ".join(new[c:d])))
            continue
        parts += [("gone", " ".join(old[a:b]))] if a < b else []
        parts += [("new", " ".join(new[c:d]))] if c < d else []
    return parts


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and not (ending == "s" and word.endswith("ss")):
            # "running" and "runs": a doubled consonant is one.
            return re.sub(r"([bdfgklmnprt])\1$", r"\1", rest.removesuffix("e"))
    return word
