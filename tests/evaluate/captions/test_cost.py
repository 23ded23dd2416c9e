"""What a decoding step asks of a device, counted: on a GPU the host's time is what these take.

The upper bounds are what was counted; who needs more should know that every operation is a kernel
in every step, and every wait lets a GPU stand idle.
"""

import pytest
import torch
from transformers import BartForConditionalGeneration

from evaluate.captions.beam import BeamSearch
from evaluate.captions.layers.joined import join
from evaluate.captions.options import DecodingOptions
from tests.evaluate.captions.test_beam import as_on_a_gpu
from tests.recorded import Counted, record
from tests.tiny_bart import tiny_bart

LAYERS, CLIPS = 12, 8  # as many layers as bart-large
A_LAYER, A_STEP = 16, 50  # operations; those of a step without its layers


def random_bart(layers: int) -> BartForConditionalGeneration:
    """Of tiny width; ends no caption by itself."""
    model = tiny_bart(d_model=16, decoder_layers=layers)
    model.final_logits_bias[0, 2] = -1e4
    for layer in model.model.decoder.layers:
        join(layer.self_attn, of_itself=True)
        join(layer.encoder_attn, of_itself=False)
    return model


@pytest.fixture
def on_a_gpu(monkeypatch):
    as_on_a_gpu(monkeypatch)


def counted(search: BeamSearch) -> Counted:
    """What a batch takes."""
    states, mask = torch.ones(CLIPS, 10, 16), torch.ones(CLIPS, 10, dtype=torch.int64)
    with Counted() as counts:
        search(states, mask)
    return counts


def of_length(tokens: int, layers: int = LAYERS, **more) -> BeamSearch:
    """A search whose every caption has so many tokens."""
    recorder = more.pop("recorder", lambda: None)
    options = DecodingOptions(max_length=tokens, **more)
    return BeamSearch(random_bart(layers), options, recorder)


@pytest.mark.parametrize(
    ("settings", "more"),
    [({}, 0), ({"min_length": 5}, 3), ({"no_repeat_ngram": 3}, 13)],
    ids=["paper", "shortest", "n-grams"],
)
def test_a_step_takes_few_operations(on_a_gpu, settings, more):
    a_step = {}
    for layers in (LAYERS, 1):
        # Both steps are among those of 16 tokens at most: the longer batch takes one more of them.
        short, long = (counted(of_length(tokens, layers, **settings)) for tokens in (10, 11))
        a_step[layers] = (long.operations - short.operations).total()
    assert (a_step[LAYERS] - a_step[1]) / (LAYERS - 1) <= A_LAYER
    assert a_step[LAYERS] <= LAYERS * A_LAYER + A_STEP + more


def test_the_host_waits_once_in_four_tokens_and_for_the_captions(on_a_gpu):
    for tokens in (16, 40):
        waits = counted(of_length(tokens, 2)).waits
        captions = waits.pop("cpu") + waits.pop("numpy")  # two tensors of what was found
        assert (waits, captions) == ({"tolist": (tokens - 2) // 4}, 4)


def test_a_step_that_was_recorded_is_one_launch(on_a_gpu):
    third = []
    for tokens in (17, 41):
        search = of_length(tokens, 2, recorder=lambda: record)
        # The first makes room, the second meets each shape as it is then.
        *_, batch = (counted(search) for _ in range(3))
        third.append(batch)
    # 24 tokens more: six looks at which clips are done, and no operation else.
    assert dict(third[1].operations - third[0].operations) == {"eq": 6}
