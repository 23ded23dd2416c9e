"""Some clips captioned, and their CIDEr-D, as training asks for it (evaluate/sample_cli.py)."""

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.common.errors import ConfigError, FormatError
from features.reader import Clip, Features
from features.spec import Index

# Of a processor's time: Java's tokenizer and CIDEr-D of a hundred clips (measured on two cores).
_SCORING_S = 1.0


@dataclass(kw_only=True)
class Sample:
    """Clips to caption by a run's weights, as they are each time.

    Attributes:
        run: the run folder.
        device: None for this machine's own.
        clips: in order.
        show: the captions of so many are told.
    """

    run: Path
    device: str | None
    clips: Sequence[Clip]
    show: int
    _scorer: "CiderD | None" = None

    def answer(self, within: float | None) -> dict[str, Any]:
        """Captions, and CIDEr-D where it takes no more than `within` seconds of processors."""
        from evaluate.captions.generate import caption_clips  # torch: not for --help
        from evaluate.captions.search import open_run

        begun = _processor_s()
        run = open_run(self.run, self.device)
        decoding = _processor_s()
        shown = caption_clips(run, self.clips[: self.show])
        rest = self.clips[len(shown) :]
        each = (_processor_s() - decoding) / max(1, len(shown))
        cider_d = None
        if within is None or _processor_s() - begun + each * len(rest) + _SCORING_S <= within:
            texts = [caption.text for caption in (*shown, *caption_clips(run, rest))]
            self._scorer = self._scorer or CiderD([clip.captions for clip in self.clips])
            cider_d = self._scorer.score(texts)
        return {
            "captions": [
                {"clip": clip.id, "caption": caption.text, "references": list(clip.captions)}
                for clip, caption in zip(self.clips, shown, strict=False)
            ],
            "clips": len(self.clips),
            "cider_d": cider_d,
            "processor_s": _processor_s() - begun,
        }


class CiderD:
    """CIDEr-D alone, of captions of the same clips again and again; document frequencies are those
    of their references."""

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        """Count the references' n-grams; a clip without any is left out.

        Raises:
            ScoreError: if the tokenizer fails.
        """
        from evaluate.metrics.bleu_rouge_cider import ReferenceMetrics
        from evaluate.metrics.tokenizer import tokenize

        self._tokenize = tokenize
        self._scored = [place for place, people in enumerate(references) if people]
        people = [references[place] for place in self._scored]
        told = iter(tokenize([text for texts in people for text in texts]))
        self._metrics = ReferenceMetrics([[next(told) for _ in texts] for texts in people])

    def score(self, candidates: Sequence[str]) -> float | None:
        """The mean over clips, a fraction up to 10; None if none has references."""
        if not self._scored:
            return None
        tokenised = self._tokenize([candidates[place] for place in self._scored])
        return float(self._metrics.cider_d(tokenised).mean())


def clips_of(folders: Sequence[Path], split: str, ids: Path) -> list[Clip]:
    """The clips of a list, in its order, from whichever folder has them.

    Raises:
        ConfigError: if the list cannot be read or is empty.
        FormatError: if no folder has a clip.
    """
    try:
        wanted = [line for line in ids.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--ids {ids}: cannot be read ({error})") from error
    if not wanted:
        raise ConfigError(f"--ids {ids}: names no clip; expected an id a line")
    several = len(folders) > 1
    found: dict[str, Clip] = {}
    for folder in folders:
        if several and split not in Index.read(folder).splits:
            continue
        part = Features(folder, split)
        there = set(part.ids)
        found |= {clip: part[clip] for clip in wanted if clip in there and clip not in found}
    if missing := [clip for clip in wanted if clip not in found]:
        raise FormatError(
            f"{', '.join(map(str, folders))}: split {split!r} has no clip {missing[0]!r}, which "
            f"{ids} names"
        )
    return [found[clip] for clip in wanted]


def _processor_s() -> float:
    """Seconds of processors' time of this process, and of what it has started, so far."""
    of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in of)
