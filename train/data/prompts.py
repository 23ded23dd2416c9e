"""Tag prompts in tokens, put together from pieces that were encoded once per tokenizer.

A prompt is BOS, then for each row of a clip its tag's name and the token of ".", then EOS: the
same tokens as `". ".join(names) + "."` tokenised whole. A byte-pair tokenizer cuts "Dog" at the
start of a text and " Dog" inside it into different tokens, so each tag has two forms.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

SEPARATOR = "."
NO_ROW = -1


def clean_name(display_name: str) -> str:
    """An AudioSet display name as the prompt says it (paper's published code, trailing commas off).

    Cut before any "(", "etc." removed, spaces and trailing commas stripped; hyphens and inner
    commas stay: "Bee, wasp, etc." gives "Bee, wasp", "Ambulance (siren)" gives "Ambulance".
    """
    return re.sub(r"\betc\.", "", display_name.split("(")[0]).strip(" ,")


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Prompts of n clips, end to end.

    Attributes:
        tokens: int32 [sum of lengths].
        tag_row: int32 [sum of lengths], the clip's row behind each token, counted from 0 in its
            clip; NO_ROW at BOS, EOS and separators.
        length: int64 [n], tokens of each prompt.
        dropped: how many tags of all clips found no room.
    """

    tokens: np.ndarray
    tag_row: np.ndarray
    length: np.ndarray
    dropped: int = 0


@dataclass
class TagCount:
    """How many tags were to be said, and how many of them found no room in their prompts.

    Several threads may add to it.
    """

    said: int = 0
    dropped: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, said: int, dropped: int) -> None:
        """Count the tags of some prompts."""
        with self._lock:
            self.said += said
            self.dropped += dropped

    def take(self, max_tokens: int) -> str:
        """What to say of the tags counted since the last call, "" if none was dropped."""
        with self._lock:
            said, dropped = self.said, self.dropped
            self.said = self.dropped = 0
        if not dropped:
            return ""
        return (
            f"{dropped:,} of {said:,} tags ({dropped / said:.1%}) were dropped: their prompts are "
            f"longer than inputs.max_prompt_tokens, {max_tokens}; a run trained with twice as many "
            "takes clips twice as long (the recipe yamnet-panns-clotho has 256)"
        )


@dataclass(frozen=True, kw_only=True)
class TagTokens:
    """Every tag's tokens in both forms, each closed by the separator's token.

    Entry i < C is tag i as the first of a prompt, entry C + i as a later one.

    Attributes:
        names: C cleaned names.
        tokens: int32, all entries end to end.
        start: int64 [2 C], where an entry begins in `tokens`.
        count: int64 [2 C], tokens of an entry, the separator included.
        bos, eos: ids of the tokenizer's own first and last token.
    """

    names: tuple[str, ...]
    tokens: np.ndarray
    start: np.ndarray
    count: np.ndarray
    bos: int
    eos: int

    @classmethod
    def encode(cls, tokenizer: Any, display_names: Sequence[str]) -> "TagTokens":
        """Encode every name once.

        Args:
            tokenizer: a transformers tokenizer.
            display_names: C AudioSet display names, in the order of the logits.
        """
        names = tuple(clean_name(name) for name in display_names)
        forms = [*names, *(f" {name}" for name in names)]
        separator = tokenizer(SEPARATOR, add_special_tokens=False)["input_ids"]
        pieces = [
            [*ids, *separator] for ids in tokenizer(forms, add_special_tokens=False)["input_ids"]
        ]
        count = np.array([len(piece) for piece in pieces], np.int64)
        return cls(
            names=names,
            tokens=np.concatenate(pieces).astype(np.int32),
            start=np.cumsum(count) - count,
            count=count,
            bos=tokenizer.bos_token_id,
            eos=tokenizer.eos_token_id,
        )

    def prompts(self, tags: np.ndarray, rows: np.ndarray, *, max_tokens: int) -> Prompts:
        """Put the prompts of n clips together.

        Args:
            tags: int [sum of rows], the tag of every row.
            rows: int [n], rows of each clip; the prompt of none is BOS and EOS.
            max_tokens: longest prompt; whole tags are dropped from the end until it fits.
        """
        first_row = np.cumsum(rows) - rows
        first_tag = first_row[rows > 0]
        entry = tags + len(self.names)
        entry[first_tag] -= len(self.names)
        count = self.count[entry]
        # Tokens from the clip's first tag to the end of this one.
        reach = np.cumsum(count)
        reach -= np.repeat(reach[first_tag] - count[first_tag], rows[rows > 0])
        kept = reach + 2 <= max_tokens
        dropped = len(tags) - int(np.count_nonzero(kept))
        length = np.full(len(rows), 2, np.int64)
        length[rows > 0] += np.add.reduceat(np.where(kept, count, 0), first_tag)
        prompt_start = np.cumsum(length) - length
        row = np.arange(len(tags)) - np.repeat(first_row, rows)
        into = np.repeat(prompt_start + 1, rows) + reach - count

        entry, count, row, into = entry[kept], count[kept], row[kept], into[kept]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        target = np.repeat(into, count) + within
        total = int(length.sum())
        tokens = np.empty(total, np.int32)
        tokens[prompt_start] = self.bos
        tokens[prompt_start + length - 1] = self.eos
        tokens[target] = self.tokens[np.repeat(self.start[entry], count) + within]
        tag_row = np.full(total, NO_ROW, np.int32)
        tag_row[target] = np.repeat(row, count)
        tag_row[into + count - 1] = NO_ROW
        return Prompts(tokens=tokens, tag_row=tag_row, length=length, dropped=dropped)
