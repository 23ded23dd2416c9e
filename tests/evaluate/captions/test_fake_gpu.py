"""What a search asks of a GPU, on one that is not there (tests/fake_gpu.py)."""

from types import SimpleNamespace

import pytest
import torch
from transformers import BartForConditionalGeneration

from evaluate.captions.beam import BeamSearch
from evaluate.captions.beams import Beams
from evaluate.captions.layers.encoder import encode
from evaluate.captions.layers.joined import join
from evaluate.captions.layers.precision import _attentions, narrow
from evaluate.captions.options import DecodingOptions
from tests.fake_gpu import Watched, fake_gpu, moved
from tests.tiny_bart import tiny_bart

TOKENS, ROWS, WORDS = 12, 48, 60


@pytest.fixture
def read_back(monkeypatch):
    """What a search reads back: all but the last clip are done at the second look."""
    looks = []

    def done(beams, clips):
        looks.append(clips)
        return [len(looks) > 1] * (clips - 1) + [False]

    monkeypatch.setattr(Beams, "done", done)
    monkeypatch.setattr(Beams, "hypotheses", lambda beams, clips, tokens: [[]] * clips)
    return looks


def narrowed(precision: str) -> BartForConditionalGeneration:
    """Of tiny width, with a number of words that no GPU likes."""
    bart = tiny_bart(vocab_size=WORDS, decoder_layers=1).requires_grad_(False)
    narrow(SimpleNamespace(bart=bart, device=torch.device("cuda")), precision)
    return bart


@pytest.mark.filterwarnings("ignore:Accessing the data pointer")  # weights that lie together
@pytest.mark.parametrize("precision", ["bf16", "float32"])
@pytest.mark.parametrize("more", [{}, {"no_repeat_ngram": 3, "min_length": 5, "beams": 5}])
def test_of_a_batch_a_gpu_is_told_which_clips_move_and_nothing_else(precision, more, read_back):
    steps = []

    def record(step):
        steps.append(step)
        step()
        return step

    bart = narrowed(precision)
    with fake_gpu(), torch.inference_mode():
        moved(bart)
        for attention, of_itself in _attentions(SimpleNamespace(bart=bart)):
            join(attention, of_itself=of_itself)
        said: list[str] = []
        options = DecodingOptions(precision=precision, max_length=TOKENS, **more)
        search = BeamSearch(bart, options, lambda: record, said.append)
        mask = torch.ones(8, ROWS, dtype=torch.int64, device="cuda")
        embeds = torch.empty(8, ROWS, 32, device="cuda")
        for _ in range(2):  # the first makes what stays
            read_back.clear()
            with Watched() as seen:
                search(encode(bart, embeds, mask), mask)
        assert seen.crossings == {"to.dtype_layout": 2}  # the decoder's rows, and the beams'
        assert read_back == [8, 8] and not said and steps
