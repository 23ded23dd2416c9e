"""Captions of a model that memorised its clips."""

from evaluate.generate import caption_clips
from tests.evaluate.conftest import CAPTIONS


def test_captions_come_back_word_for_word(tiny_run, tiny_clips):
    captions = caption_clips(tiny_run, tiny_clips)
    assert [caption.text for caption in captions] == list(CAPTIONS)
    assert [caption.clip for caption in captions] == tiny_clips.ids
