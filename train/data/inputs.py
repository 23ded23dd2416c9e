"""From clips' feature rows to a model's inputs, as a recipe's [inputs] asks.

For generation:
    builder = run.builder                                  # or InputBuilder.create(…)
    batch = builder.batch([clip.streams for clip in clips])    # likeliest tags, padded
    embeds, mask = run.model.encoder_inputs(batch.to(device))
    run.model.bart.generate(inputs_embeds=embeds, attention_mask=mask, …)
    builder.tag_names(clip.streams)                        # the tags in a clip's prompt

For training, `block` takes numbers to draw tags with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from features.common.console import log
from features.common.errors import ConfigError, FormatError
from features.spec import EMBEDDING, TAG_LOGITS, StreamSpec
from train.data.batches import Batch, Block, Rows
from train.data.clocks import Pace, side_by_side
from train.data.draws import draw_tags, likeliest_tags
from train.data.prompts import NO_ROW, Prompts, TagCount, TagTokens
from train.recipes.config import InputsConfig


@dataclass(frozen=True, kw_only=True)
class InputBuilder:
    """Turns feature rows into encoder inputs, as a recipe's [inputs] asks.

    Attributes:
        inputs: the recipe's section.
        streams: the streams that it uses, by name.
        tags: tokens of every tag and behind them of every task, None for audio alone.
        pad: the tokenizer's padding token.
        task: which of `inputs.tasks` prompts begin with unless `block` is told.
        count: of the tags in all prompts made so far.
    """

    inputs: InputsConfig
    streams: dict[str, StreamSpec]
    tags: TagTokens | None
    pad: int
    task: int = 0
    count: TagCount = field(default_factory=TagCount, compare=False, repr=False)

    @classmethod
    def create(
        cls, inputs: InputsConfig, streams: Mapping[str, StreamSpec], tokenizer: Any
    ) -> Self:
        """Pick the streams and encode every tag's name once.

        Raises:
            FormatError: if `streams` lacks one, or it is of another kind.
        """
        used = {}
        for name in inputs.streams:
            kind = TAG_LOGITS if name == inputs.tags else EMBEDDING
            if name not in streams or streams[name].kind != kind:
                raise FormatError(f"no stream {name!r} of kind {kind} among {list(streams)}")
            used[name] = streams[name]
        tags = None
        if inputs.tags:
            tags = TagTokens.encode(tokenizer, (*used[inputs.tags].classes, *inputs.tasks))
        return cls(inputs=inputs, streams=used, tags=tags, pad=tokenizer.pad_token_id)

    def for_task(self, task: str) -> Self:
        """The same for prompts of a task; "" keeps this one's own, which is the first.

        Raises:
            ConfigError: if there is no such task.
        """
        if not task:
            return self
        if task not in self.inputs.tasks:
            known = ", ".join(self.inputs.tasks) or "none"
            raise ConfigError(f"--task is {task!r}; the run was trained with inputs.tasks: {known}")
        return replace(self, task=self.inputs.tasks.index(task))

    @property
    def audio_widths(self) -> tuple[int, ...]:
        """Columns of each audio stream, in the order of the recipe."""
        return tuple(self.streams[name].width for name in self.inputs.audio_streams)

    @cached_property
    def hop_s(self) -> float:
        """Seconds from a row to the next: the tags' clock, or the first audio stream's."""
        return self.streams[self.inputs.streams[0]].hop_s

    @cached_property
    def paces(self) -> tuple[Pace, ...]:
        """How each audio stream goes with that clock."""
        audio = (self.streams[name] for name in self.inputs.audio_streams)
        return tuple(Pace(hop_s=spec.hop_s, clock_s=self.hop_s) for spec in audio)

    @cached_property
    def ratio(self) -> int:
        """Tag rows per audio row: 10 for PANNs (10 s over 0.96 s), 1 for VGGish and for both."""
        repeats = {pace.repeats for pace in self.paces}
        return repeats.pop() if len(repeats) == 1 else 1

    def aligned(
        self, tag_rows: np.ndarray | None, audio: Sequence[Rows]
    ) -> tuple[np.ndarray | None, Rows | None]:
        """Bring n clips' audio streams to one clock.

        Args:
            tag_rows: int [n], rows of tags that each clip has; None for audio alone.
            audio: the rows of each of `inputs.audio_streams`.

        Returns:
            Rows of each clip that become tags: at equal clocks the shortest stream wins. The audio
            streams side by side, a row for `ratio` rows of tags; None where there is none.
        """
        brought = [pace.brought(rows) for pace, rows in zip(self.paces, audio, strict=True)]
        counts = [] if tag_rows is None else [tag_rows]
        counts += [r.counts for r, pace in zip(brought, self.paces, strict=True)
                   if pace.repeats == 1]  # fmt: skip
        shortest = np.minimum.reduce(counts)
        kept = None if tag_rows is None else shortest
        if len(brought) < 2:
            return kept, brought[0] if brought else None
        rows = np.maximum.reduce([r.counts for r in brought]) if self.ratio > 1 else shortest
        repeats = [pace.repeats // self.ratio for pace in self.paces]
        return kept, side_by_side(brought, repeats, rows)

    def block(
        self,
        tags: Rows | None,
        audio: Rows | None,
        uniform: np.ndarray | None,
        tasks: np.ndarray | None = None,
    ) -> Block:
        """Choose the tags of n clips and put their prompts together.

        Args:
            tags: logits, cut to the rows that `aligned` says.
            audio: embeddings, side by side as it makes them.
            uniform: float64 [rows of tags], numbers to draw with; None takes the likeliest tags.
            tasks: int [n], which of `inputs.tasks` each clip is; None for `self.task`.
        """
        prompts = None
        if tags is not None and self.tags is not None:
            if uniform is None:
                chosen = likeliest_tags(tags.values)
            else:
                chosen = draw_tags(tags.values, uniform)
            prompts = self._prompts(self.tags, chosen, tags.counts, tasks)
            self.count.add(len(chosen), prompts.dropped)
        return Block(prompts=prompts, audio=audio, ratio=self.ratio, pad=self.pad)

    def _prompts(
        self, tokens: TagTokens, tags: np.ndarray, counts: np.ndarray, tasks: np.ndarray | None
    ) -> Prompts:
        """The prompts of n clips, with the name of its task before each clip's tags."""
        most, known = self.inputs.max_prompt_tokens, self.inputs.tasks
        if not known:
            return tokens.prompts(tags, counts, max_tokens=most)
        # To begin with a task is like one more tag, but that no row of features stands behind it.
        task = np.full(len(counts), self.task) if tasks is None else tasks
        named = np.insert(tags, np.cumsum(counts) - counts, len(tokens.names) - len(known) + task)
        prompts = tokens.prompts(named, counts + 1, max_tokens=most)
        return replace(prompts, tag_row=np.maximum(prompts.tag_row - 1, NO_ROW))

    def say_dropped(self) -> None:
        """Say how many tags found no room in the prompts made since this was last called."""
        if text := self.count.take(self.inputs.max_prompt_tokens):
            log(text)

    def batch(self, clips: Sequence[Mapping[str, np.ndarray]]) -> Batch:
        """Encoder inputs of some clips with their likeliest tags, for generation.

        Args:
            clips: for each clip its streams' rows [T, D], by name (features.reader.Clip.streams).
        """
        tags, audio = self.gather(clips)
        return self.block(tags, audio, None).batch(np.arange(len(clips)))

    def tag_names(self, clip: Mapping[str, np.ndarray]) -> list[str]:
        """The tags in a clip's prompt, as the prompt says them; none for audio alone."""
        tags, _ = self.gather([clip])
        if tags is None or self.tags is None:
            return []
        return [self.tags.names[tag] for tag in likeliest_tags(tags.values)]

    def tag_scores(self, clip: Mapping[str, np.ndarray]) -> list[float]:
        """The scores, 0 to 1, of the tags that `tag_names` gives."""
        tags, _ = self.gather([clip])
        if tags is None:
            return []
        return (1 / (1 + np.exp(-tags.values.astype(np.float64).max(axis=1)))).tolist()

    def gather(self, clips: Sequence[Mapping[str, np.ndarray]]) -> tuple[Rows | None, Rows | None]:
        """The streams that the recipe uses, end to end: tag logits, cut to the rows that become
        tags, and embeddings, several side by side; None where there is no such stream.

        Args:
            clips: for each clip its streams' rows [T, D], by name.
        """
        rows = [clip[self.inputs.tags] for clip in clips] if self.inputs.tags else []
        counts, audio = self.aligned(
            np.array([len(part) for part in rows]) if rows else None,
            [_joined([clip[name] for clip in clips]) for name in self.inputs.audio_streams],
        )
        if counts is None:
            return None, audio
        return _joined([part[:count] for part, count in zip(rows, counts, strict=True)]), audio


def _joined(rows: Sequence[np.ndarray]) -> Rows:
    return Rows(values=np.concatenate(rows), counts=np.array([len(part) for part in rows]))
