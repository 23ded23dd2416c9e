"""Our beam search gives transformers' captions, and a clip's do not depend on its batch."""

import weakref

import pytest
import torch
from transformers import BartForConditionalGeneration, GenerationConfig

from evaluate.captions import beam, step_decoder
from evaluate.captions.beam import BeamSearch, beam_search
from evaluate.captions.layers import decoder_layer
from evaluate.captions.options import PUBLISHED, DecodingOptions
from features.common.errors import RunError
from tests.recorded import record
from tests.tiny_bart import tiny_bart

CLIPS, ROWS, PAD, EOS = 36, 10, 1, 2

SETTINGS = {
    "paper": {"max_length": 24},
    "published code": PUBLISHED,
    "greedy": {"beams": 1, "max_length": 24},
    "many beams, long captions liked": {"beams": 7, "length_penalty": 2.0, "max_length": 24},
    "sums of log-probabilities": {"length_penalty": 0.0, "max_length": 24},
    "short captions liked": {"length_penalty": -1.0, "max_length": 24},
    "minimum length": {"min_length": 12, "max_length": 14},
    "no bigram twice": {"no_repeat_ngram": 2, "max_length": 24},
}


@pytest.fixture(scope="module")
def bart() -> BartForConditionalGeneration:
    """Random and small, in double precision so that no two hypotheses tie by rounding."""
    model = tiny_bart(init_std=0.4, scale_embedding=True).double()
    # Tied random weights say one word again and again; a head of its own, positions that matter and
    # a liking for EOS give captions of all lengths.
    torch.manual_seed(3)
    model.lm_head.weight = torch.nn.Parameter(0.25 * torch.randn(60, 32, dtype=torch.float64))
    model.model.decoder.embed_positions.weight.data *= 10
    model.final_logits_bias[0, EOS] = 2.5
    # What a checkpoint may bring along must count for nothing (bart-large-cnn's settings).
    model.generation_config = GenerationConfig(min_length=56, length_penalty=2.0)
    return model


@pytest.fixture(scope="module")
def inputs(bart):
    """Encoder states and mask of clips of different lengths."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(3, ROWS + 1, (CLIPS,), generator=generator)
    mask = (torch.arange(ROWS) < rows[:, None]).long()
    embeds = torch.randn(CLIPS, ROWS, 32, generator=generator, dtype=torch.float64)
    with torch.inference_mode():
        states = bart.model.encoder(inputs_embeds=embeds, attention_mask=mask)
    return embeds, states.last_hidden_state, mask


# Batches: the second is of another length, the third in the memory of the second, smaller.
PARTS = (slice(0, 3), slice(3, 20), slice(20, CLIPS))


GPUS_OWN = (
    step_decoder._TOKENS_TOGETHER, step_decoder._MULTIPLE, step_decoder._FIRST_TOKENS,
    beam._TOKENS_A_LOOK,
)  # fmt: skip


def as_on_a_gpu(monkeypatch):
    """Few shapes, a look every few tokens."""
    for table in GPUS_OWN:
        monkeypatch.setitem(table, "cpu", table["cuda"])
    monkeypatch.setitem(decoder_layer._TWO_PRODUCTS, "cpu", False)


def recorder(repeated):
    """A stand-in's pools; every step that is repeated is noted.

    As with torch, nothing can be recorded into a pool that was in use and is no more.
    """

    def pool():
        made = []

        def record_one(step):
            assert not made or any(one() is not None for one in made)
            repeat = record(step)

            def again():
                repeated.append(1)
                repeat()

            made.append(weakref.ref(again))
            return again

        return record_one

    return pool


def by_transformers(bart, embeds, mask, options):
    """Tokens after the start token, and scores, of every clip's hypotheses."""
    own, bart.generation_config = (
        bart.generation_config,
        GenerationConfig(
            num_beams=options.beams,
            length_penalty=options.length_penalty,
            max_length=options.max_length,
            min_length=options.min_length,
            no_repeat_ngram_size=options.no_repeat_ngram,
            early_stopping=options.early_stopping,
            forced_bos_token_id=0,
            forced_eos_token_id=EOS,
            bos_token_id=0,
            pad_token_id=PAD,
            eos_token_id=EOS,
            decoder_start_token_id=EOS,
            num_return_sequences=options.beams,
            return_dict_in_generate=True,
            output_scores=True,
        ),
    )
    try:
        with torch.inference_mode():
            found = bart.generate(inputs_embeds=embeds, attention_mask=mask)
    finally:
        bart.generation_config = own
    sequences = []
    for tokens in found.sequences.tolist():
        end = tokens.index(EOS, 1) + 1
        assert set(tokens[end:]) <= {PAD}
        sequences.append(tuple(tokens[1:end]))
    scores = None if options.beams == 1 else found.sequences_scores.tolist()
    return sequences, scores


@pytest.mark.parametrize("way", ["cpu", "gpu", "gpu without graphs"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_hypothesis_equals_transformers(bart, inputs, setting, way, monkeypatch):
    embeds, states, mask = inputs
    options = DecodingOptions(**SETTINGS[setting])
    sequences, scores = by_transformers(bart, embeds, mask, options)
    repeated: list[int] = []
    if way == "cpu":
        found = beam_search(bart, states, mask, options)
    else:
        as_on_a_gpu(monkeypatch)
        search = BeamSearch(bart, options, *([recorder(repeated)] if way == "gpu" else []))
        found = [clip for part in PARTS for clip in search(states[part], mask[part])]
    assert bool(repeated) == (way == "gpu")
    found = [item for clip in found for item in clip]
    assert [item.tokens for item in found] == sequences
    if scores is not None:
        # transformers and we keep scores in float32.
        assert [item.score for item in found] == pytest.approx(scores, rel=1e-5)


def test_where_steps_cannot_be_recorded_the_search_goes_on_plainly_and_says_why_once(
    bart, inputs, monkeypatch
):
    def refused(step):
        raise RunError("not recorded") from RuntimeError("no such luck\nat all")

    _, states, mask = inputs
    options, said = DecodingOptions(max_length=24), []
    expected = beam_search(bart, states, mask, options)
    as_on_a_gpu(monkeypatch)
    search = BeamSearch(bart, options, lambda: refused, said.append)
    for _ in range(2):
        found = search(states, mask)
        assert [[item.tokens for item in clip] for clip in found] == [
            [item.tokens for item in clip] for clip in expected
        ]
    assert said == ["no such luck"]


def test_the_clips_and_settings_tell_searches_apart(bart, inputs):
    _, states, mask = inputs
    found = {
        name: [
            clip[0].tokens for clip in beam_search(bart, states, mask, DecodingOptions(**setting))
        ]
        for name, setting in SETTINGS.items()
    }
    lengths = {len(tokens) for tokens in found["paper"]}
    assert len(lengths) > 3, lengths
    for name, captions in found.items():
        assert name == "paper" or captions != found["paper"], name


def test_no_hypothesis_is_shorter_or_longer_than_asked(bart, inputs):
    _, states, mask = inputs
    options = DecodingOptions(min_length=9, max_length=15)
    lengths = [
        1 + len(item.tokens)  # with the decoder's start token
        for clip in beam_search(bart, states, mask, options)
        for item in clip
    ]
    assert min(lengths) == 9 + 1  # nine tokens, then EOS
    assert max(lengths) == 15


@pytest.mark.parametrize("size", [1, 5, 32])
def test_a_clip_has_the_same_captions_in_any_batch(bart, inputs, size):
    _, states, mask = inputs
    options = DecodingOptions(max_length=24)
    whole = beam_search(bart, states, mask, options)
    parts = []
    for start in range(0, CLIPS, size):
        part = slice(start, start + size)
        rows = int(mask[part].sum(1).max())  # padded less than in the whole
        parts += beam_search(bart, states[part, :rows], mask[part, :rows], options)
    assert [[item.tokens for item in clip] for clip in parts] == [
        [item.tokens for item in clip] for clip in whole
    ]


def test_log_probabilities_are_those_of_the_model_given_the_tokens_before(bart, inputs):
    _, states, mask = inputs
    options = DecodingOptions(max_length=24)
    for number, clip in enumerate(beam_search(bart, states, mask, options)):
        for item in clip:
            read = torch.tensor([[EOS, *item.tokens[:-1]]])
            with torch.inference_mode():
                hidden = bart.model.decoder(
                    input_ids=read,
                    encoder_hidden_states=states[number : number + 1],
                    encoder_attention_mask=mask[number : number + 1],
                ).last_hidden_state
                logits = bart.lm_head(hidden) + bart.final_logits_bias
            expected = logits[0].log_softmax(1).gather(1, torch.tensor(item.tokens)[:, None])
            expected = expected[:, 0].tolist()
            expected[0] = 0.0  # BOS is forced
            if len(item.tokens) == options.max_length - 1:
                expected[-1] = 0.0  # and so is EOS at the limit
            assert item.logprobs == pytest.approx(expected, abs=1e-5)
            assert item.logprob == pytest.approx(sum(expected), abs=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_gpu_finds_the_captions_that_the_cpu_finds_by_graphs(
    tiny_run_folder, tiny_clips, precision, capsys
):
    from evaluate.captions.generate import caption_clips
    from tests.evaluate.conftest import CAPTIONS
    from train.run_folder.checkpoint import load_run

    run = load_run(tiny_run_folder, "cuda")
    captions = caption_clips(run, tiny_clips, DecodingOptions(precision=precision))
    assert [caption.text for caption in captions] == list(CAPTIONS)
    assert "without CUDA graphs" not in capsys.readouterr().err
