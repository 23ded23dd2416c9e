"""Which audio row stands behind which tag, and what padding looks like."""

import numpy as np
import pytest

from features.common.errors import ConfigError, FormatError
from tests.train.toy import CLASSES, stream_specs
from train.data.inputs import InputBuilder
from train.data.prompts import NO_ROW
from train.recipes.config import InputsConfig


def rows(count: int, width: int, tag: int = 0) -> np.ndarray:
    values = np.full((count, width), -5.0, np.float16)
    values[:, tag] = 3.0
    return values


@pytest.fixture
def build(toy_tokenizer):
    def make(**inputs) -> InputBuilder:
        streams = {spec.name: spec for spec in stream_specs()}
        return InputBuilder.create(InputsConfig(**inputs), streams, toy_tokenizer)

    return make


def audio_rows_of_tags(batch, sample: int = 0) -> list[int]:
    """The audio row of each tag in a prompt of one-token tags, in order."""
    row = batch.audio_row[sample]
    return row[row != NO_ROW].tolist()


def test_panns_windows_stand_behind_ten_tags_each_and_the_last_behind_the_rest(build):
    builder = build(max_prompt_tokens=1000)
    assert builder.ratio == 10  # round(10 s / 0.96 s)
    one_token = [
        tag
        for tag in range(len(CLASSES))
        if builder.tags.count[tag] == builder.tags.count[tag + len(CLASSES)] == 2
    ]
    clip = {"yamnet": rows(31, 5, one_token[0]), "panns": rows(2, 6)}
    found = audio_rows_of_tags(builder.batch([clip]))
    assert found == [0] * 10 + [1] * 21


def test_at_equal_clocks_the_shorter_stream_wins_from_the_front(build):
    builder = build(audio="vggish", max_prompt_tokens=1000)
    assert builder.ratio == 1
    tags = np.concatenate([rows(9, 5, 0), rows(1, 5, 3)])
    more_tags = {"yamnet": tags, "vggish": rows(9, 4)}
    more_audio = {"yamnet": rows(3, 5), "vggish": rows(5, 4)}
    assert builder.tag_names(more_tags) == ["Dog"] * 9
    assert builder.tag_names(more_audio) == ["Dog"] * 3
    batch = builder.batch([more_tags, more_audio])
    assert sorted(set(audio_rows_of_tags(batch, 0))) == list(range(9))
    assert sorted(set(audio_rows_of_tags(batch, 1))) == list(range(3))


def test_a_fourth_stream_needs_no_change_here(toy_tokenizer):
    from dataclasses import replace

    streams = {spec.name: spec for spec in stream_specs()}
    streams["clap"] = replace(streams["panns"], name="clap", hop_s=2.0, width=3)
    builder = InputBuilder.create(InputsConfig(audio="clap"), streams, toy_tokenizer)
    assert (builder.ratio, builder.audio_widths) == (2, (3,))


def test_streams_that_all_are_slow_alike_stay_a_row_a_window(toy_tokenizer):
    from dataclasses import replace

    streams = {spec.name: spec for spec in stream_specs()}
    streams["clap"] = replace(streams["panns"], name="clap", width=3)
    inputs = InputsConfig(audio=("panns", "clap"), max_prompt_tokens=1000)
    builder = InputBuilder.create(inputs, streams, toy_tokenizer)
    clip = {"yamnet": rows(31, 5), "panns": rows(3, 6, 1), "clap": rows(2, 3, 2)}
    clip["clap"][1] = 7
    batch = builder.batch([clip])
    assert builder.ratio == 10
    # CLAP's last row stands for the third window, which PANNs alone has.
    assert batch.audio[0, :, :6].tolist() == clip["panns"].tolist()
    assert batch.audio[0, :, 6:].tolist() == clip["clap"][[0, 1, 1]].tolist()


def test_audio_alone_goes_by_the_clock_of_the_stream_that_is_named_first(build):
    clip = {"vggish": np.arange(48.0).reshape(12, 4), "panns": np.arange(12.0).reshape(2, 6)}
    quick = build(tags="", audio=("vggish", "panns")).batch([clip])
    assert quick.audio[0, :, :4].tolist() == clip["vggish"].tolist()
    assert quick.audio[0, :, 4:].tolist() == clip["panns"][[0] * 10 + [1] * 2].tolist()
    slow = build(tags="", audio=("panns", "vggish")).batch([clip])
    # The middles of ten rows of 0.96 s lie within the first 10 s, the eleventh's at 10.08 s.
    means = [clip["vggish"][:10].mean(axis=0).tolist(), clip["vggish"][10:].mean(axis=0).tolist()]
    assert slow.audio[0].tolist() == [
        [*clip["panns"][row].tolist(), *means[row]] for row in range(2)
    ]


def test_shorter_samples_are_padded_and_masked(build):
    builder = build()
    short = {"yamnet": rows(1, 5), "panns": rows(1, 6)}
    long = {"yamnet": rows(4, 5), "panns": rows(1, 6)}
    batch = builder.batch([short, long])
    length = int(batch.attention_mask[0].sum())
    assert batch.attention_mask[1].all() and length < batch.attention_mask.shape[1]
    assert (batch.input_ids[0, length:] == 1).all()
    assert batch.input_ids[0, length - 1] == 2
    assert (batch.audio_row[0, length:] == NO_ROW).all()


def test_a_clip_alone_and_among_others_gets_the_same_input(build):
    builder = build()
    rng = np.random.default_rng(0)
    clips = [
        {
            "yamnet": rng.normal(size=(count, 5)).astype(np.float16),
            "panns": rng.normal(size=(1 + count // 11, 6)).astype(np.float16),
        }
        for count in (3, 12, 1, 25)
    ]
    together = builder.batch(clips)
    for index, clip in enumerate(clips):
        alone = builder.batch([clip])
        length = alone.attention_mask.shape[1]
        assert together.input_ids[index, :length].equal(alone.input_ids[0])
        assert together.audio_row[index, :length].equal(alone.audio_row[0])
        windows = alone.audio.shape[1]
        assert together.audio[index, :windows].equal(alone.audio[0])


def test_a_stream_that_is_absent_or_of_another_kind_is_refused(toy_tokenizer):
    streams = {spec.name: spec for spec in stream_specs()}
    with pytest.raises(FormatError, match="'clap'"):
        InputBuilder.create(InputsConfig(audio="clap"), streams, toy_tokenizer)
    with pytest.raises(FormatError, match="'vggish' of kind tag_logits"):
        InputBuilder.create(InputsConfig(tags="vggish"), streams, toy_tokenizer)


def test_a_prompt_begins_with_its_task_behind_which_no_audio_stands(build, toy_tokenizer):
    builder = build(audio="vggish", tasks=["usual", "other"])
    clip = {"yamnet": np.concatenate([rows(1, 5, 0), rows(1, 5, 3)]), "vggish": rows(2, 4)}
    batch = builder.for_task("other").batch([clip])
    assert batch.input_ids[0].tolist() == toy_tokenizer("other. Dog. Speech.")["input_ids"]

    def tokens(text: str) -> int:
        return len(toy_tokenizer(text, add_special_tokens=False)["input_ids"])

    before, dog, speech = [NO_ROW] * (1 + tokens("other.")), tokens(" Dog"), tokens(" Speech")
    expected = [*before, *[0] * dog, NO_ROW, *[1] * speech, NO_ROW, NO_ROW]
    assert batch.audio_row[0].tolist() == expected
    assert (
        builder.batch([clip]).input_ids[0].tolist()
        == (toy_tokenizer("usual. Dog. Speech.")["input_ids"])
    )
    assert builder.tag_names(clip) == ["Dog", "Speech"]


def test_tags_that_find_no_room_are_counted_without_the_task(build, toy_tokenizer):
    task = toy_tokenizer("usual.", add_special_tokens=False)["input_ids"]
    builder = build(audio="", tasks=["usual"], max_prompt_tokens=2 + len(task))
    batch = builder.batch([{"yamnet": rows(3, 5, 0)}])
    assert batch.input_ids[0].tolist() == toy_tokenizer("usual.")["input_ids"]
    assert (builder.count.said, builder.count.dropped) == (3, 3)


def test_a_task_that_the_run_does_not_know_is_refused_with_those_that_it_does(build):
    with pytest.raises(ConfigError, match=r"'x'; .* inputs.tasks: usual, other"):
        build(tasks=["usual", "other"]).for_task("x")
    with pytest.raises(ConfigError, match=r"'x'; .* inputs.tasks: none"):
        build().for_task("x")
