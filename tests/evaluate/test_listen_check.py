"""What a run is given to hear under each condition of `evaluate run --listen-check`."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evaluate import listen_check
from evaluate.captions.options import DecodingOptions
from evaluate.listen_check import Listening, check_possible
from evaluate.scores.computing.listening import as_text, read_rows, write_check
from features.common.errors import ConfigError, TagbartError
from tests.evaluate.conftest import SPECS, TAGS, stream
from tests.evaluate.scores.scoring_fixtures import made_scores
from train.model.pretrained import build_model


@pytest.fixture
def listening(tiny_run, tiny_clips, tmp_path) -> Listening:
    return Listening(run=tiny_run, features=tiny_clips, options=DecodingOptions(), weights=tmp_path)


@pytest.fixture
def given(monkeypatch):
    """What was captioned: per condition the clips' streams by id; nothing is decoded."""
    found = []

    def caption(run, clips, options, *, done):
        clips = list(clips)
        found.append({clip.id: clip.streams for clip in clips})
        run.builder.batch([clip.streams for clip in clips])  # the model can be given them
        return [SimpleNamespace(text="") for _ in clips]

    monkeypatch.setattr(listen_check, "caption_clips", caption)
    return found


class HalfAlways:
    """An encoder that says 1/2 for ten seconds of silence, and takes nothing else."""

    def __init__(self, spec) -> None:
        self.spec = spec

    def encode(self, waveforms):
        [waveform] = waveforms
        assert len(waveform) == 10 * self.spec.sample_rate_hz and not waveform.any()
        return [torch.full((3, self.spec.width), 0.5)]


def test_each_condition_gives_the_features_that_it_says(listening, given, monkeypatch):
    heard = SimpleNamespace(encoders={spec.name: HalfAlways(spec) for spec in SPECS})
    monkeypatch.setattr(listen_check, "load_listener", lambda *arguments: heard)
    captions, why_not = listening.caption()
    assert list(captions) == ["shuffled", "silent", "missing", "tags"] and why_not == {}
    shuffled, silent, missing, tags = given
    clips = listening.features
    for number, name in enumerate(clips.ids):
        own, other = clips[name].streams, clips[(number + 6) % 12].streams
        for kept in ("yamnet", "panns"):
            np.testing.assert_array_equal(shuffled[name][kept], other[kept])
        assert silent[name]["yamnet"].shape == (3, len(TAGS))
        assert (silent[name]["panns"] == 0.5).all()
        assert missing[name]["yamnet"].shape == (0, len(TAGS))
        np.testing.assert_array_equal(tags[name]["yamnet"], own["yamnet"])
        for condition in (missing, tags):
            np.testing.assert_array_equal(condition[name]["panns"], np.zeros((1, 16)))


def test_of_an_odd_number_of_clips_none_keeps_its_own_audio(listening, given):
    replace(listening, features=list(listening.features)[:5]).caption()
    rows = [len(streams["yamnet"]) for streams in given[0].values()]
    assert sorted(rows) == [2, 3, 4, 5, 6]  # clip i has i + 2 rows: every clip is heard once
    assert all(count != own + 2 for own, count in enumerate(rows))


def test_one_clip_alone_has_no_other_audio(listening, given):
    _, why_not = replace(listening, features=list(listening.features)[:1]).caption()
    assert why_not["shuffled"] == "a split of one clip has no other audio"


@pytest.mark.parametrize(
    ("tags", "audio", "why"),
    [
        ("yamnet", "", "the run reads nothing else, so this is the run as it is"),
        ("", "panns", "the run reads no tags"),
    ],
)
def test_a_run_of_tags_or_of_audio_alone_has_the_conditions_that_make_sense(
    listening, given, tags, audio, why
):
    recipe = listening.run.recipe
    recipe = replace(recipe, inputs=replace(recipe.inputs, tags=tags, audio=audio))
    captions, why_not = replace(listening, run=replace(listening.run, recipe=recipe)).caption()
    assert list(captions) == ["shuffled", "missing"]
    assert why_not["tags"] == why
    assert list(given[1]["clip_3"]) == [tags or audio]


@pytest.mark.parametrize("audio", ["panns", ("panns", "vggish")])
def test_where_nothing_is_heard_the_encoder_reads_bos_eos_and_the_layers_biases(
    tiny_run, tiny_clips, tmp_path, given, audio
):
    specs = {spec.name: spec for spec in (*SPECS, stream("vggish", "embedding", 8, 0.96))}
    inputs = replace(tiny_run.recipe.inputs, audio=audio)
    recipe = replace(tiny_run.recipe, inputs=inputs)
    widths = [specs[name].width for name in inputs.audio_streams]
    tokenizer = tiny_run.tokenizer
    model = build_model(recipe, vocab=len(tokenizer), audio_width=widths)
    run = replace(tiny_run, recipe=recipe, model=model, streams=specs)
    heard = [
        replace(clip, streams={**clip.streams, "vggish": np.ones((3, 8), np.float32)})
        for clip in map(tiny_clips.__getitem__, range(2))
    ]
    Listening(run=run, features=heard, options=DecodingOptions(), weights=tmp_path).caption()
    [missing] = [found for found in given if not len(found["clip_0"]["yamnet"])]
    embeds, mask = model.encoder_inputs(run.builder.batch(list(missing.values())))
    ends = torch.tensor([[tokenizer.bos_token_id, tokenizer.eos_token_id]])
    biases = [value for name, value in model.named_parameters() if "dense" in name]
    expected = model.bart.get_input_embeddings()(ends) + sum(v for v in biases if v.ndim == 1)
    torch.testing.assert_close(embeds, expected.expand_as(embeds))
    assert mask.tolist() == [[1, 1], [1, 1]]


def test_without_the_networks_weights_silence_is_not_done_and_the_rest_is(listening, given):
    captions, why_not = listening.caption()
    assert list(captions) == ["shuffled", "missing", "tags"]
    assert str(listening.weights) in why_not["silent"] and "--weights" in why_not["silent"]


def test_differences_are_paired_clip_by_clip(tmp_path):
    own, other = (made_scores("ab", {"cider_d": values}) for values in ((0.8, 0.6), (0.3, 0.1)))
    record = write_check(tmp_path, own, {"shuffled": other}, {"tags": "the run reads no tags"})
    # Both clips lose one half, so every draw of clips does.
    difference = record["conditions"]["shuffled"]["differences"]["cider_d"]
    assert difference == {"mean": pytest.approx(-0.5), "interval": pytest.approx([-0.5, -0.5])}
    text = as_text(record)
    assert "-50.0" in text and "tags alone: not done (the run reads no tags)" in text


def test_the_report_reads_a_check_of_the_captions_that_are_scored_and_of_no_others(tmp_path):
    own = made_scores("ab", {"cider_d": [0.4, 0.6]}, predictions_sha256="1" * 64)
    write_check(tmp_path, own, {"silent": replace(own, corpus={"cider_d": 0.2})}, {})
    assert read_rows(tmp_path, "1" * 64, "cider_d") == [
        {"audio": "as it is", "value": 0.5, "interval": (0.4, 0.6)},
        {"audio": "digital silence", "value": 0.2, "interval": (0.4, 0.6), "mean": 0.0,
         "bounds": (0.0, 0.0)},
    ]  # fmt: skip
    assert read_rows(tmp_path, "2" * 64, "cider_d") == []
    assert read_rows(tmp_path / "none", "1" * 64, "cider_d") == []
    (tmp_path / "listen-check.json").write_text('{"sha256": {"predictions": "%s"}}' % ("1" * 64))
    with pytest.raises(TagbartError, match=r"listen-check\.json: cannot be read"):
        read_rows(tmp_path, "1" * 64, "cider_d")


def test_captions_that_are_chosen_by_their_audio_are_refused():
    check_possible(DecodingOptions())
    with pytest.raises(ConfigError, match="leave one of them out"):
        check_possible(DecodingOptions(choose="clap"))
