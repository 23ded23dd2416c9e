"""The model asked again about a caption: each token's probability, and what it looked at."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from evaluate.captions.candidate import ClipLike
from evaluate.captions.search import teacher_forced
from train.data.prompts import NO_ROW
from train.run_folder.checkpoint import Run


@dataclass(frozen=True, kw_only=True)
class Insight:
    """One caption under the prompt of its clip's likeliest tags.

    Attributes:
        prompt: L pieces of the encoder's input; special tokens by name, "" for a row of audio.
        prompt_rows: the row of features behind each, NO_ROW at BOS, EOS and separators.
        tokens: T pieces of the caption; the last is the end of the sentence.
        probabilities: of each piece, given those before it.
        attention: float32 [T, L], cross-attention when each piece was said, averaged over layers
            and heads; a row adds up to 1.
        hop_s: seconds from a row of features to the next.
    """

    prompt: tuple[str, ...]
    prompt_rows: tuple[int, ...]
    tokens: tuple[str, ...]
    probabilities: tuple[float, ...]
    attention: np.ndarray
    hop_s: float

    def by_row(self) -> tuple[np.ndarray, np.ndarray]:
        """Attention summed over each row's tokens, [T, rows], and over all other tokens, [T]."""
        rows = np.array(self.prompt_rows)
        summed = [self.attention[:, rows == row].sum(axis=1) for row in range(rows.max() + 1)]
        return np.stack(summed, axis=1), self.attention[:, rows == NO_ROW].sum(axis=1)


def look_inside(
    run: Run,
    clips: Sequence[ClipLike],
    captions: Sequence[str],
    *,
    batch_size: int = 32,
    done: Callable[[int], object] = lambda clips: None,
) -> list[Insight]:
    """Run captions through the model that may have said them.

    Args:
        run: a trained run.
        clips: with the streams that the run reads.
        captions: one per clip.
        batch_size: clips computed together.
        done: told how many clips were computed just now.
    """
    insights: list[Insight] = []
    with _visible_attention(run):
        for start in range(0, len(clips), batch_size):
            part = slice(start, start + batch_size)
            insights += _look(run, clips[part], captions[part])
            done(len(clips[part]))
    return insights


@contextmanager
def _visible_attention(run: Run) -> Iterator[None]:
    # The fast attention kernels keep no weights; the plain one differs by rounding only.
    bart: Any = run.model.bart
    before = bart.config._attn_implementation
    bart.set_attn_implementation("eager")
    try:
        yield
    finally:
        bart.set_attn_implementation(before)


@torch.inference_mode()
def _look(run: Run, clips: Sequence[ClipLike], captions: Sequence[str]) -> list[Insight]:
    model, bart = run.model, run.model.bart
    batch = run.builder.batch([clip.streams for clip in clips]).to(model.device)
    embeds, mask = model.encoder_inputs(batch)
    states = bart.model.encoder(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
    positions = model.config.bart.max_position_embeddings
    tokens = [run.tokenizer(text)["input_ids"][:positions] for text in captions]
    labels, decoded = teacher_forced(bart, states, mask, tokens, output_attentions=True)
    logits = bart.lm_head(decoded.last_hidden_state) + bart.final_logits_bias
    said = labels.clamp(min=0)[:, :, None]
    logprobs = logits.float().log_softmax(dim=2).gather(2, said)[:, :, 0]
    probabilities = logprobs.exp().cpu().numpy()
    attention = torch.stack(decoded.cross_attentions).float().mean(dim=(0, 2)).cpu().numpy()
    prompts = _prompts(run, clips)
    return [
        # BOS, the first token, is forced: nothing was decided there.
        Insight(
            prompt=pieces,
            prompt_rows=rows,
            tokens=tuple(run.tokenizer.decode([token]) for token in ids[1:]),
            probabilities=tuple(map(float, probabilities[i, 1 : len(ids)])),
            attention=attention[i, 1 : len(ids), : len(pieces)],
            hop_s=run.builder.hop_s,
        )
        for i, (ids, (pieces, rows)) in enumerate(zip(tokens, prompts, strict=True))
    ]


def _prompts(run: Run, clips: Sequence[ClipLike]) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Each clip's encoder positions: pieces of text, and the row of features behind each."""
    tags, audio = run.builder.gather([clip.streams for clip in clips])
    prompts = run.builder.block(tags, audio, None).prompts
    if prompts is None:
        assert audio is not None
        return [(("",) * n, tuple(range(n))) for n in audio.counts.tolist()]
    pieces = [run.tokenizer.decode([token]) for token in prompts.tokens.tolist()]
    rows = prompts.tag_row.tolist()
    ends = np.cumsum(prompts.length).tolist()
    return [
        (tuple(pieces[start:end]), tuple(rows[start:end]))
        for start, end in zip([0, *ends], ends, strict=False)
    ]
