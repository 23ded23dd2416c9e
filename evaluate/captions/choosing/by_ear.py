"""Candidates in the order that likelihood and listening again give them.

Wu et al. 2023, "Improving Audio Captioning Models with Fine-grained Audio Features, Text Embedding
Supervision, and LLM Mix-up Augmentation" (arXiv 2309.17352), rank by 0.3 x the mean log-probability
per token + 0.7 x a cosine of text and sound, neither of them rescaled (reranking/hybrid_scoring.py
of their code). Their cosine is that of their own encoder and Instructor; ours is CLAP's, with which
SLAM-AAC (Chen et al. 2024, arXiv 2410.09503) chooses too, by the cosine alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluate.captions.beams import Hypothesis
from evaluate.captions.candidate import (
    Candidate,
    ClipLike,
    Heard,
    candidate_of,
    distinct,
    text_of,
)
from evaluate.captions.search import Searcher
from evaluate.metrics.clap import STREAM, audio_vector, check_same_clap, combined
from evaluate.metrics.clap_text import ClapText
from features.reader import Features
from train.data.batches import Block
from train.data.draws import clip_keys


def likelihood(hypothesis: Hypothesis) -> float:
    """Mean log-probability of the tokens behind BOS, which is forced."""
    return hypothesis.logprob / (len(hypothesis.tokens) - 1)


@dataclass(frozen=True, kw_only=True)
class Ear:
    """Hears how well captions fit a clip.

    Example:
        ear = Ear.load(Path("weights/clap"), Features(Path("features"), "test"), "cpu")
        captions = caption_clips(run, clips, DecodingOptions(choose="clap"), ear=ear)
    """

    tower: ClapText

    @classmethod
    def load(cls, folder: Path, features: Features, device: str) -> "Ear":
        """Load the text tower of the CLAP that features were made with.

        Raises:
            FormatError: if the features have no `clap` stream.
            WeightsError: if the folder is absent, damaged, or of another CLAP.
        """
        check_same_clap(folder, features)
        return cls(tower=ClapText.read(folder).to(device))

    def cosines(self, rows: np.ndarray, texts: Sequence[str]) -> list[float]:
        """Of some texts with a clip's sound.

        Args:
            rows: of the clip's `clap` stream, [T, D].
            texts: at least one.
        """
        vectors = self.tower.vectors(texts).double().cpu().numpy()
        return (vectors @ audio_vector(rows)).tolist()


def rank_by_ear(
    searcher: Searcher,
    clips: Sequence[ClipLike],
    likeliest: Block,
    found: Sequence[Sequence[Hypothesis]],
    ear: Ear,
) -> list[list[Candidate]]:
    """Draw further candidates, join those of one text, and put the best first.

    Args:
        searcher: draws them.
        clips: to caption, each with a stream STREAM.
        likeliest: their prompts.
        found: per clip, those of the beam search.
        ear: hears them.
    """
    keys = clip_keys(clip.id for clip in clips)
    ranked = []
    for member, (clip, searched) in enumerate(zip(clips, found, strict=True)):
        drawn = searcher.draw(likeliest, member, keys[member])
        # Of several ways to write one text the likeliest stays.
        pool = sorted(distinct([*searched, *drawn]), key=likelihood)
        texts = {text_of(searcher.run, item): item for item in pool}
        cosines = ear.cosines(clip.streams[STREAM], list(texts))
        candidates = []
        for item, cosine in zip(texts.values(), cosines, strict=True):
            by = _heard(item, cosine, searcher.options.choose_weight)
            candidates.append((by.combined, replace(candidate_of(searcher.run, item), heard=by)))
        candidates.sort(key=lambda pair: -pair[0])
        ranked.append([candidate for _, candidate in candidates])
    return ranked


def _heard(hypothesis: Hypothesis, cosine: float, weight: float) -> Heard:
    likely = likelihood(hypothesis)
    return Heard(likelihood=likely, cosine=cosine, combined=combined(likely, cosine, weight))
