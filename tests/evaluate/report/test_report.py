"""The report: what it shows is what the files say, and it needs no network to show it."""

import math
import re

import numpy as np
import pytest
import soundfile

from evaluate.captions.generate import caption_clips
from evaluate.report.build import build_report
from evaluate.report.compare import by_tag, differences, most_different
from evaluate.report.folders import read_clip_scores, read_study
from evaluate.report.material import Sources, gather
from evaluate.report.pages import share, signed
from evaluate.view.inside import look_inside
from evaluate.view.pictures import spectrogram
from evaluate.view.timeline import timeline
from extract.sound.audio import Audio
from features.common.errors import ConfigError, TagbartError
from features.reader import Features
from tests.evaluate.conftest import BY_CLIP, CAPTIONS, TAGS, stream, write_features
from tests.evaluate.page.listening import write_evaluation, write_sound

HOSTILE = '<script>alert("1")</script> & a dog'
SCORES = [0.1 * number for number in range(11)]
LINK = re.compile(r'(?:href|src)="([^"#?]+)')


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, tiny_clips):
    """Eleven captions: those the run knows by heart, but for a hostile one."""
    captions = BY_CLIP | {"clip_3": HOSTILE}
    return write_evaluation(tmp_path_factory.mktemp("run") / "test", captions, tiny_clips, SCORES)


@pytest.fixture(scope="module")
def report(tmp_path_factory, evaluation, tiny_features, tiny_run_folder):
    """The whole report; the sound of clip_1 alone is there."""
    root = tmp_path_factory.mktemp("report")
    (root / "dump" / "test").mkdir(parents=True)
    write_sound(root / "dump" / "test" / "clip_1.wav")
    sources = Sources(features=tiny_features, runs=(tiny_run_folder,), audio=root / "dump")
    build_report([evaluation], root / "out", sources)
    return root / "out"


def read(report, clip):
    return (report / "clips" / f"{clip:05d}.html").read_text(encoding="utf-8")


def test_the_index_shows_scores_with_intervals_and_folds_the_papers_of_other_clips_away(report):
    text = (report / "index.html").read_text(encoding="utf-8")
    assert "50.0 <small>10.0–90.0</small>" in text  # CIDEr-D: the mean of 0 to 1, and its interval
    own, folded = text.split('<details class="paper">')
    assert "75.3" not in own and "From the paper" not in text
    assert "75.3" in folded and "91.3" in folded  # the paper's best, and people
    assert "SPICE: not available (no jars)" in text


def test_a_clips_page_shows_references_caption_scores_and_tags(report):
    text = read(report, 1)
    assert CAPTIONS[1] in text and "CIDEr-D <b>10.0</b>" in text
    assert TAGS[0] in text and "clip_1.wav" in text
    assert 'class="attention"' in text
    above = text.split('class="view"')[0]
    assert CAPTIONS[1].split()[1] in above and "CIDEr-D" in above and "references" in above


def test_the_tags_are_those_that_the_run_reads_where_the_features_have_others_too(
    tmp_path, evaluation, tiny_run_folder, monkeypatch
):
    monkeypatch.setattr("evaluate.view.timeline.USUAL", "panns_tags")  # of runs that are not known
    other = stream("panns_tags", "tag_logits", len(TAGS), 0.96)
    rows = [np.full((2, len(TAGS)), -9, np.float32) for _ in CAPTIONS]
    write_features(tmp_path / "features", other, rows)
    features = Features(tmp_path / "features", "test")
    assert list(features.streams) == ["panns", "panns_tags", "yamnet"]
    found = [
        gather(read_study([evaluation]), Sources(features=features.root, runs=runs), {})
        for runs in ((tiny_run_folder,), ())
    ]
    assert [material.tags.name for material in found] == ["yamnet", "panns_tags"]


def test_every_link_of_every_page_leads_to_a_file(report):
    pages = [report / "index.html", *(report / "clips").glob("*.html")]
    assert len(pages) == 12
    for page in pages:
        links = [link for link in LINK.findall(page.read_text("utf-8")) if link != "data:,"]
        assert links
        for link in links:
            assert (page.parent / link).resolve().exists(), f"{page.name}: {link}"


def test_nothing_is_loaded_from_anywhere_else(report):
    for file in report.rglob("*.*"):
        if file.suffix in (".html", ".css", ".js"):
            assert not re.search(r"https?://|src=\"//|@import|url\(", file.read_text("utf-8")), file


def test_a_caption_with_markup_stays_text(report):
    index, clip = (report / "index.html").read_text("utf-8"), read(report, 3)
    assert "<script>alert" not in index + clip
    assert "&lt;script&gt;alert" in index
    assert "<span>&lt;" in clip and "<span>alert</span>" in clip  # word by word


def test_copied_sounds_are_small_the_same_length_and_need_no_dump(
    tmp_path, evaluation, tiny_features
):
    (tmp_path / "dump" / "test").mkdir(parents=True)
    sound = write_sound(tmp_path / "dump" / "test" / "clip_1.wav", seconds=40)
    sources = Sources(features=tiny_features, audio=tmp_path / "dump", copy_audio=True)
    build_report([evaluation], tmp_path / "out", sources)
    copy = tmp_path / "out" / "clips" / "00001.ogg"
    assert soundfile.info(copy).duration == pytest.approx(40, abs=0.01)
    assert copy.stat().st_size < sound.stat().st_size / 3
    assert "dump" not in read(tmp_path / "out", 1) and 'src="00001.ogg"' in read(
        tmp_path / "out", 1
    )


def test_copied_sounds_need_something_to_copy():
    with pytest.raises(ConfigError, match="--audio DUMP"):
        Sources(copy_audio=True)


def test_clips_without_sound_are_counted_and_named(report):
    text = (report / "index.html").read_text("utf-8")
    assert "sound of 10 of 11 clips" in text and "test/clip_0.wav" in text
    assert (report / "clips" / "00001.png").is_file()
    assert not (report / "clips" / "00000.png").exists()


def test_without_features_the_report_says_what_would_bring_them(tmp_path, evaluation):
    build_report([evaluation], tmp_path / "out", Sources())
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "--features FEATURES" in text
    assert CAPTIONS[0] in read(tmp_path / "out", 0)


def test_a_folder_with_something_else_is_left_alone_and_an_earlier_report_replaced(
    tmp_path, evaluation
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(TagbartError, match="no report"):
        build_report([evaluation], tmp_path / "mine", Sources())
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    for _ in range(2):
        build_report([evaluation], tmp_path / "out", Sources())
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "out"}


def test_token_probabilities_are_those_of_the_search(tiny_run, tiny_clips):
    clips = [tiny_clips[number] for number in range(4)]
    captions = caption_clips(tiny_run, clips)
    seen = look_inside(tiny_run, clips, [caption.text for caption in captions], batch_size=3)
    for caption, insight in zip(captions, seen, strict=True):
        assert insight.tokens[:-1] == caption.n_best[0].tokens
        found = np.log(insight.probabilities)
        np.testing.assert_allclose(found[:-1], caption.n_best[0].token_logprobs, atol=1e-4)
        assert found.sum() == pytest.approx(caption.logprob, abs=1e-3)  # the end counts too


def test_attention_adds_up_to_one_over_the_clips_own_prompt(tiny_run, tiny_clips):
    before = tiny_run.model.bart.config._attn_implementation
    clips = [tiny_clips[0], tiny_clips[5]]  # of 2 and 7 rows: the first is padded
    seen = look_inside(tiny_run, clips, ["a dog barks", "bees buzz around"])
    for insight, rows in zip(seen, (2, 7), strict=True):
        np.testing.assert_allclose(insight.attention.sum(axis=1), 1, atol=1e-5)
        assert insight.attention.shape == (len(insight.tokens), len(insight.prompt))
        by_row, elsewhere = insight.by_row()
        assert by_row.shape[1] == rows
        np.testing.assert_allclose(by_row.sum(axis=1) + elsewhere, 1, atol=1e-5)
    assert tiny_run.model.bart.config._attn_implementation == before


def test_a_chance_is_a_scores_share_of_all_scores():
    # Scores 0.8, 0.2, 0 (nearly): chances 0.8 and 0.2; then 0.5 and 0.5 of 1.
    logits = np.array([[math.log(4), -math.log(4), -80.0], [0.0, 0.0, -80.0]])
    line = timeline(logits, ["a", "b", "c"], 0.96)
    assert [lane.name for lane in line.lanes] == ["a", "b", "c"]
    assert line.lanes[0].scores == pytest.approx((0.8, 0.5))
    assert line.lanes[0].chances == pytest.approx((0.8, 0.5))
    assert line.lanes[0].likeliest == (True, True)
    second = line.seconds[1]
    assert second.start_s == 0.96
    assert [(name, round(chance, 6)) for name, _, chance in second.drawn] == [
        ("a", 0.5),
        ("b", 0.5),
    ]
    assert second.others == 1 and second.others_chance == pytest.approx(0, abs=1e-12)


def test_a_tone_is_brightest_in_its_mel_band():
    time_s = np.arange(16_000) / 16_000
    shades = spectrogram(
        Audio(waveform=np.sin(2 * np.pi * 1000 * time_s).astype(np.float32), sample_rate_hz=16_000)
    )
    low, high, tone = (1127 * math.log1p(hz / 700) for hz in (125, 7500, 1000))
    band = round((tone - low) / ((high - low) / 65)) - 1  # centres lie at steps 1 to 64
    assert shades.shape[0] == 64
    assert abs(63 - int(shades.mean(axis=1).argmax()) - band) <= 1


def test_two_evaluations_are_compared_on_the_clips_they_share(tmp_path, evaluation, tiny_clips):
    captions = {f"clip_{number}": "rain" for number in range(5)}
    other = write_evaluation(tmp_path / "b" / "test", captions, tiny_clips, [0.0, 0, 0, 0, 1.4])
    study = read_study([evaluation, other])
    assert study.clips == tuple(captions)
    assert study.left_out == tuple(f"clip_{number}" for number in range(5, 11))
    assert study.metric == "cider_d"
    # Differences: 0, −0.1, −0.2, −0.3, 1.4 − 0.4.
    assert most_different(study) == ["clip_4", "clip_3", "clip_2", "clip_1"]
    [row] = [row for row in differences(study) if row["metric"] == "CIDEr-D"]
    assert row["mean"] == pytest.approx(0.08)
    assert (row["better"], row["worse"]) == (1, 3)
    assert row["low"] <= row["mean"] <= row["high"]
    build_report([evaluation, other], tmp_path / "out", Sources())
    assert "6 clips that only some of the folders" in (tmp_path / "out/index.html").read_text()


def test_baselines_are_further_predictions_with_their_scores(tmp_path, tiny_clips):
    folder = write_evaluation(tmp_path / "test", BY_CLIP, tiny_clips, SCORES)
    same = dict.fromkeys(BY_CLIP, "a dog barks")
    made = write_evaluation(folder / "commonest-caption", same, tiny_clips, [0.25] * 11)
    (made / "predictions.jsonl").rename(folder / "commonest-caption.jsonl")
    copy = (folder / "predictions.jsonl").read_text("utf-8")
    (folder / "trained-model.jsonl").write_text(copy, "utf-8")
    [baseline] = read_study([folder]).baselines
    assert baseline.label == "commonest caption"
    assert baseline.result is not None and baseline.result.corpus["cider_d"] == 0.25


def test_scores_by_tag_average_the_clips_in_which_it_is_likeliest(evaluation):
    study = read_study([evaluation])
    rows = by_tag(study, {"clip_1": ["Dog", "Dog"], "clip_4": ["Dog", "Rain"]})
    assert [(row["tag"], row["clips"]) for row in rows] == [("Dog", 2), ("Rain", 1)]
    mean, low, high = rows[0]["means"][0]
    assert mean == pytest.approx(0.25)  # (0.1 + 0.4) / 2
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.4))  # of two clips, either twice
    assert all(map(math.isnan, rows[1]["means"][0][1:]))  # one clip says nothing of its spread


def test_an_empty_score_is_not_zero(tmp_path):
    (tmp_path / "scores.csv").write_text("clip,spice\na,\nb,0.5\n")
    scores = read_clip_scores(tmp_path / "scores.csv")
    assert math.isnan(scores["a"]["spice"]) and scores["b"]["spice"] == 0.5


def test_a_run_in_place_of_its_evaluation_is_told_which_folder_to_name(evaluation):
    with pytest.raises(TagbartError, match=f"holds {evaluation}; name one"):
        read_study([evaluation.parent])


def test_one_run_per_folder_or_none(evaluation, tiny_run_folder, tmp_path):
    with pytest.raises(TagbartError, match="2 times for 1"):
        build_report([evaluation], tmp_path / "out", Sources(runs=(tiny_run_folder,) * 2))
    assert not list(tmp_path.iterdir())


def test_shares_read_like_shares():
    assert [share(value) for value in (0.83, 0.0995, 0.012, 0.0001)] == [
        "83 %",
        "10 %",
        "1.2 %",
        "< 0.1 %",
    ]


def test_differences_carry_their_sign():
    values = (0.0412, -0.0412, -0.0001, math.nan)
    assert [signed(value) for value in values] == ["+4.1", "−4.1", "0.0", "–"]
