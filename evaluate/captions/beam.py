"""Beam search, caption by caption equal to transformers' `generate`.

step_decoder.py holds the arithmetic, beams.py what may follow, what counts as finished and when a
clip is done; here they take turns.
"""

from collections.abc import Callable

import torch
from transformers import BartForConditionalGeneration

from evaluate.captions.beams import Beams, Hypothesis, SpecialTokens
from evaluate.captions.layers.output_layer import likeliest_tokens
from evaluate.captions.options import DecodingOptions
from evaluate.captions.step_decoder import StepDecoder
from train.graphs import Record, Shapes, Step

# Tokens from one look at which clips are done to the next: a look waits for the device.
_TOKENS_A_LOOK = {"cpu": 1, "cuda": 4}
# Steps of a shape before it is recorded: recording takes time, too, and pays where a shape is
# frequent.
_PLAIN_STEPS = 4
# Where steps are recorded a batch is halved as its clips are done, so often at most: every size
# is a shape of its own.
_HALVES = 3


class BeamSearch:
    """Searches the best captions of one batch of clips after the other.

    Where steps can be recorded, all batches use the same memory, and a step of a shape that was
    met a few times is repeated as one launch (train/graphs.py).

    Example:
        search = BeamSearch(bart, options, partial(cuda_graphs, device), log)
        for states, mask in batches:
            found = search(states, mask)                   # [clips][up to options.beams]
    """

    def __init__(
        self,
        bart: BartForConditionalGeneration,
        options: DecodingOptions,
        recorder: Callable[[], Record | None] = lambda: None,
        say: Callable[[str], object] = lambda why: None,
    ) -> None:
        """Search nothing yet.

        Args:
            bart: in eval mode, on the device of all batches.
            options: how to search.
            recorder: gives what turns a step into a function that repeats it, as
                train.graphs.cuda_graphs does; None where there is no such thing. Asked anew when
                all that was recorded is let go: torch takes nothing into an emptied pool.
            say: told why steps could not be recorded; all go plainly from then on.
        """
        self._bart, self._options, self._special = bart, options, SpecialTokens.of(bart)
        self._recorder, self._record = recorder, recorder()
        self._shapes = Shapes[Step](say, _PLAIN_STEPS)
        # Here once: a copy from the host would wait for the encoder, batch by batch.
        self._prefix = torch.tensor(self._special.prefix, device=bart.device)
        self._kept: tuple[StepDecoder, Beams] | None = None

    @torch.inference_mode()
    def __call__(
        self, encoder_states: torch.Tensor, attention_mask: torch.Tensor
    ) -> list[list[Hypothesis]]:
        """Search.

        Args:
            encoder_states: [clips, rows, d_model], the encoder's output.
            attention_mask: int [clips, rows], 1 where a row is no padding.

        Returns:
            Per clip up to `options.beams` hypotheses, best first.
        """
        clips, device = len(encoder_states), encoder_states.device
        decoder, beams = self._begin(encoder_states, attention_mask)
        order = list(range(clips))  # the clip at each place
        # The last place is EOS's, whatever the model says.
        for place in range(len(self._prefix), self._options.max_length - 1):
            if place == len(self._prefix):
                hidden = decoder.start(self._prefix)[:, None]
                self._advance(beams, hidden, place + 1)
            else:
                self._step(decoder, beams)
            if place % _TOKENS_A_LOOK[device.type] == 0 and not self._look(decoder, beams, order):
                break
        beams.end_all(decoder.clips)
        found = beams.hypotheses(clips, decoder.length + 1)
        return [of_clip for _, of_clip in sorted(zip(order, found, strict=True))]

    def _begin(self, states: torch.Tensor, mask: torch.Tensor) -> tuple[StepDecoder, Beams]:
        """The decoder and the beams for a batch, in the memory of the last one if that suits."""
        clips, rows = states.shape[:2]
        kept = self._kept
        if kept and clips <= kept[0].room[0] and rows <= kept[0].room[1] <= 2 * rows:
            decoder, beams = kept
            decoder.take(states, mask)
            decoder.clips = self._size(decoder, clips)
        else:
            self._kept, kept = None, None  # their memory is free
            self._forget()
            options = self._options
            decoder = StepDecoder(
                self._bart, states, mask, beams=options.beams, max_length=options.max_length
            )
            beams = Beams(clips, self._special, options, states.device)
            if self._record:
                self._kept = decoder, beams
        beams.begin(clips)
        return decoder, beams

    def _step(self, decoder: StepDecoder, beams: Beams) -> None:
        """One token more for every beam."""
        clips, longest, moved = decoder.next_step()
        if moved:
            self._forget()

        def step() -> None:
            hidden = decoder.feed(*beams.next_tokens(clips), longest)
            self._advance(beams, hidden, longest + 1)

        record, found = self._record, None
        if record:
            found = self._shapes.turn((clips, longest), lambda: record(step))
        (found or step)()

    def _forget(self) -> None:
        """Let go what was recorded: its memory is no longer the decoder's."""
        if self._shapes.forget():
            self._record = self._recorder()

    def _advance(self, beams: Beams, hidden: torch.Tensor, tokens: int) -> None:
        beams.advance(*likeliest_tokens(self._bart, hidden, beams.wanted(tokens)), tokens)

    def _look(self, decoder: StepDecoder, beams: Beams, order: list[int]) -> bool:
        """Take clips that are done out of the batch; whether there are others."""
        done = beams.done(decoder.clips)
        left = done.count(False)
        clips = self._size(decoder, left)
        if not left or clips == decoder.clips:
            return left > 0
        movers = [place for place in range(clips, len(done)) if not done[place]]
        holes = [place for place in range(clips) if done[place]][: len(movers)]
        decoder.move(movers, holes, clips)
        if movers:
            beams.swap(movers, holes)
            for mover, hole in zip(movers, holes, strict=True):
                order[mover], order[hole] = order[hole], order[mover]
        return True

    def _size(self, decoder: StepDecoder, clips: int) -> int:
        """The batch for so many clips: as many, but of few sizes where steps are recorded."""
        if not self._record:
            return clips
        sizes = [-(-decoder.room[0] // 2**half) for half in range(_HALVES + 1)]
        return min(size for size in sizes if size >= clips)


def beam_search(
    bart: BartForConditionalGeneration,
    encoder_states: torch.Tensor,
    attention_mask: torch.Tensor,
    options: DecodingOptions,
) -> list[list[Hypothesis]]:
    """Search the best captions of one batch of clips, as BeamSearch does."""
    return BeamSearch(bart, options)(encoder_states, attention_mask)
