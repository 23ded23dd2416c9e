"""The page: what it takes and refuses, where it writes, what it says to programs."""

import json
import os
import tempfile
import urllib.request
import uuid

import numpy as np
import pytest
import soundfile

from evaluate.answer import Limits, answer, as_html, as_record, as_text
from evaluate.cli import app
from evaluate.serve import make_examples, own_folder
from features.errors import ClipError, ConfigError
from tests.evaluate.listening import listener_of, served, write_sound

LIMITS = Limits(max_mb=1.1, max_seconds=25)


@pytest.fixture(scope="module")
def listener(tiny_run):
    return listener_of(tiny_run)


def test_an_answer_has_a_caption_n_best_tags_and_a_picture(listener, tmp_path):
    told = []
    parts = answer(
        listener,
        write_sound(tmp_path / "a.wav"),
        LIMITS,
        tell=lambda share, what: told.append((share, what)),
    )
    assert len(parts) == 1 and as_text(parts) == parts[0].caption.text
    assert 1 < len(parts[0].caption.n_best) <= 4
    assert parts[0].picture.startswith(b"\x89PNG")
    record = as_record(parts)
    assert record["windows"][0]["end_s"] == 3.0
    assert len(record["windows"][0]["tags"]) == 4  # 3 s in rows of 0.96 s, the last one short
    assert "data:image/png;base64," in as_html(parts)
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] < 1


def test_a_recording_of_several_windows_has_a_caption_for_each(listener, tmp_path):
    parts = answer(listener, write_sound(tmp_path / "a.wav", seconds=12), LIMITS)
    assert [(part.start_s, part.end_s) for part in parts] == [(0, 10), (10, 12)]
    assert as_text(parts).count("\n") == 1


def test_what_cannot_be_used_is_refused_in_words_for_people(listener, tmp_path):
    text = tmp_path / "poem.wav"
    text.write_text("a dog barks")
    with pytest.raises(ClipError, match=r"cannot be read as sound: is text, not audio.*Try a wav"):
        answer(listener, text, LIMITS)
    with pytest.raises(ClipError, match="lasts 30 s; this page takes up to 25 s"):
        answer(listener, write_sound(tmp_path / "long.wav", seconds=30), LIMITS)
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(1_200_000))
    with pytest.raises(ClipError, match=r"has 1\.2 MB; this page takes up to 1\.1 MB"):
        answer(listener, large, LIMITS)


def test_limits_are_above_zero():
    with pytest.raises(ConfigError, match="--max-seconds is 0"):
        Limits(max_mb=1, max_seconds=0)


def test_the_folder_of_the_page_is_gone_afterwards_and_settings_are_as_before(monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    before = tempfile.tempdir
    with own_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert tempfile.gettempdir() == str(folder)
        (folder / "left").write_text("over")
    assert not folder.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ and tempfile.tempdir == before


def test_without_a_folder_of_examples_there_are_synthetic_ones(tmp_path):
    made = make_examples(tmp_path / "made")
    assert len(made) == 3
    for path in made:
        sound, rate_hz = soundfile.read(path)
        assert len(sound) == 10 * rate_hz and np.abs(sound).max() > 0.2


def test_without_gradio_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("evaluate.serve_cli.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="make setup-page"):
        app(["serve", str(tmp_path)], standalone_mode=False)


def test_programs_get_the_same_by_three_requests(tiny_run, tmp_path):
    """The requests of `serve --help`."""
    sound = write_sound(tmp_path / "a.wav")
    with served(tiny_run, LIMITS) as address:
        [path] = json.loads(_upload(f"{address}/gradio_api/upload", sound))
        data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
        asked = json.loads(_post(f"{address}/gradio_api/call/describe", json.dumps(data).encode()))
        with urllib.request.urlopen(
            f"{address}/gradio_api/call/describe/{asked['event_id']}", timeout=120
        ) as reply:
            lines = reply.read().decode().splitlines()
            policy = reply.headers["content-security-policy"]
    caption, _, record = json.loads(
        lines[lines.index("event: complete") + 1].removeprefix("data: ")
    )
    assert caption == as_text(answer(listener_of(tiny_run), sound, LIMITS))
    assert record["caption"] == caption and record["windows"][0]["n_best"]
    assert policy.startswith("default-src 'self'")


def _post(url, body, kind="application/json"):
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return reply.read()


def _upload(url, path):
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n'
    body = head.encode() + b"\r\n" + path.read_bytes() + f"\r\n--{mark}--\r\n".encode()
    return _post(url, body, f"multipart/form-data; boundary={mark}")
