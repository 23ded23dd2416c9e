"""Some clips captioned, and their CIDEr-D, as training asks for it (evaluate/sample_cli.py)."""

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.common.errors import ConfigError, FormatError
from features.common.reading import parse_json
from features.reader import Clip, Features
from features.spec import Index

if TYPE_CHECKING:
    from train.run_folder.checkpoint import Run

# Of a processor's time: Java's tokenizer and CIDEr-D of a hundred clips (measured on two cores).
_SCORING_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A clip, and which of the run's tasks shall speak; "" for the first."""

    clip: Clip
    task: str = ""


@dataclass(kw_only=True)
class Sample:
    """Clips to caption by a run's weights, as they are each time.

    Attributes:
        run: the run folder.
        device: None for this machine's own.
        asked: clips in order.
        show: the captions of so many are told.
    """

    run: Path
    device: str | None
    asked: Sequence[Asked]
    show: int
    _scorer: "CiderD | None" = None

    def answer(self, within: float | None) -> dict[str, Any]:
        """Captions, and CIDEr-D where it takes no more than `within` seconds of processors."""
        from evaluate.captions.search import open_run  # torch: not for --help

        begun = _processor_s()
        run = open_run(self.run, self.device)
        decoding = _processor_s()
        shown = _texts(run, self.asked[: self.show])
        rest = self.asked[len(shown) :]
        each = (_processor_s() - decoding) / max(1, len(shown))
        cider_d = None
        if within is None or _processor_s() - begun + each * len(rest) + _SCORING_S <= within:
            people = [one.clip.captions for one in self.asked]
            self._scorer = self._scorer or CiderD(people)
            cider_d = self._scorer.score([*shown, *_texts(run, rest)])
        return {
            "captions": [
                {
                    "clip": one.clip.id,
                    "caption": text,
                    "references": list(one.clip.captions),
                    **({"task": one.task} if one.task else {}),
                }
                for one, text in zip(self.asked, shown, strict=False)
            ],
            "clips": len(self.asked),
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


def _texts(run: "Run", asked: Sequence[Asked]) -> list[str]:
    """Captions, each in its task's wording."""
    from evaluate.captions.generate import caption_clips
    from evaluate.captions.options import DecodingOptions

    texts = [""] * len(asked)
    for task in dict.fromkeys(one.task for one in asked):
        places = [place for place, one in enumerate(asked) if one.task == task]
        clips = [asked[place].clip for place in places]
        found = caption_clips(run, clips, DecodingOptions(task=task))
        for place, caption in zip(places, found, strict=True):
            texts[place] = caption.text
    return texts


def clips_of(folders: Sequence[Path], split: str, ids: Path) -> list[Asked]:
    """The clips of a list, in its order, from whichever folder has them.

    Args:
        folders: features folders.
        split: of them.
        ids: a clip's id a line, or as JSON `{"clip": id}` with the number of its folder under
            "features", counted from 0, and whose wording it shall have under "task".

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
    lines = [_line(line) for line in wanted]
    several = len(folders) > 1
    found: dict[int, Clip] = {}
    for number, folder in enumerate(folders):
        if several and split not in Index.read(folder).splits:
            continue
        part = Features(folder, split)
        there = set(part.ids)
        for place, line in enumerate(lines):
            if line["clip"] in there and line.get("features", number) == number:
                found.setdefault(place, part[line["clip"]])
    missing = [line["clip"] for place, line in enumerate(lines) if place not in found]
    if missing:
        raise FormatError(
            f"{', '.join(map(str, folders))}: split {split!r} has no clip {missing[0]!r}, which "
            f"{ids} names"
        )
    return [Asked(clip=found[place], task=line.get("task", "")) for place, line in enumerate(lines)]


def _line(text: str) -> dict[str, Any]:
    """A line of the list; what is no JSON of ours is an id, whatever it looks like."""
    try:
        record = parse_json(text)
    except ValueError:
        return {"clip": text}
    return record if isinstance(record, dict) and "clip" in record else {"clip": text}


def _processor_s() -> float:
    """Seconds of processors' time of this process, and of what it has started, so far."""
    of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in of)
