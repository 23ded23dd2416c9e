"""The page: what it takes and refuses, where it writes, what it says to programs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluate.cli import app
from evaluate.page import long
from evaluate.page.answer import answer, as_html, as_record, as_text, who_speaks
from evaluate.page.limits import Limits
from evaluate.page.own_folder import own_folder
from evaluate.page.serve import make_examples
from features.common.errors import ClipError, ConfigError
from tests.evaluate.page.listening import free_port, listener_of, served, write_sound

CLIP = {"yamnet": np.zeros((2, 6), np.float32), "panns": np.zeros((1, 16), np.float32)}
LIMITS = Limits(max_mb=1.1, max_seconds=25)
ROOT = Path(__file__).parents[3]
# The command with made-up encoders, which come only when evaluate.captions.caption is imported.
SERVE = """
import sys
from evaluate.cli import app
from features.common.command import run_app

class MadeUp:
    def find_spec(self, name, path, target=None):
        if name == "evaluate.page.serve":
            sys.meta_path.remove(self)
            from evaluate.captions import caption
            from tests.evaluate.page.listening import listener_of
            from train.run_folder.checkpoint import load_run
            caption.load_listener = lambda run, *_: listener_of(load_run(run))

sys.meta_path.insert(0, MadeUp())
run_app(app, "evaluate")
"""


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
    assert parts[0].view.picture.startswith("data:image/png;base64,iVBORw0KGgo")
    assert parts[0].view.sound.startswith("data:audio/ogg;base64,T2dnU")
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
    with pytest.raises(
        ClipError, match=r"cannot be read as sound: it is text, not audio.*Try a wav"
    ):
        answer(listener, text, LIMITS)
    with pytest.raises(ClipError, match="lasts 30 s; this page takes up to 25 s"):
        answer(listener, write_sound(tmp_path / "long.wav", seconds=30), LIMITS)
    # Two hours of silence in a small file are refused by their header, not decoded.
    soundfile.write(tmp_path / "silence.flac", np.zeros(7200 * 8000, np.int16), 8000)
    assert (tmp_path / "silence.flac").stat().st_size < LIMITS.max_mb * 2**20
    with pytest.raises(ClipError, match="lasts 7200 s; this page takes up to 25 s"):
        answer(listener, tmp_path / "silence.flac", LIMITS)
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(1_300_000))  # 1.24 × 2**20
    with pytest.raises(ClipError, match=r"has 1\.2 MB; this page takes up to 1\.1 MB"):
        answer(listener, large, LIMITS)


def test_silence_and_less_than_a_second_get_a_note_beside_the_caption(listener, tmp_path):
    def notes(samples, rate_hz=16_000):
        soundfile.write(tmp_path / "a.wav", samples, rate_hz)
        [part] = answer(listener, tmp_path / "a.wav", LIMITS)
        assert as_record([part])["windows"][0]["notes"] == list(part.notes)
        assert all(note in as_html([part]) for note in part.notes)
        return part.notes

    loud = np.sin(np.arange(32_000) / 10)
    assert notes(loud) == ()
    assert notes(0.002 * loud) == ()  # −54 dB is quiet, no silence
    [silent] = notes(np.zeros(32_000))
    assert "This is silence" in silent and "nothing at all" in silent
    [silent] = notes(0.0005 * loud)
    assert "−66 dB" in silent.replace("-", "−")
    [short] = notes(loud[:1440])
    assert "lasts 0.09 s" in short
    assert len(notes(np.zeros(1440))) == 2


def test_a_port_that_is_taken_is_told_at_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken.*--port {port + 1}") as caught:
            app(["serve", str(tmp_path), "--port", str(port)], standalone_mode=False)
    assert "GRADIO" not in str(caught.value)


def test_the_page_speaks_as_the_task_that_is_asked_for(tiny_run, monkeypatch):
    inputs = replace(tiny_run.recipe.inputs, tasks=("usual", "other"))
    run = replace(tiny_run, recipe=replace(tiny_run.recipe, inputs=inputs))
    served = []

    def load(*given):
        return listener_of(replace(run, task=given[-1]))

    monkeypatch.setattr("evaluate.page.cli.find_spec", lambda name: True)
    monkeypatch.setattr("evaluate.captions.caption.load_listener", load)
    monkeypatch.setattr("evaluate.page.serve.serve", lambda listener, **_: served.append(listener))
    for more in ([], ["--task", "other"]):
        asked = ["serve", str(run.path), "--port", str(free_port()), *more]
        app(asked, standalone_mode=False)
    first, other = served
    assert "seed 0, task usual. " in who_speaks(first)
    assert "seed 0, task other. " in who_speaks(other)
    prompts = [one.run.builder.batch([CLIP]).input_ids[0].tolist() for one in served]
    said = [run.tokenizer.decode(ids) for ids in prompts]
    assert [text.split(".")[0] for text in said] == ["<s>usual", "<s>other"]


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
    monkeypatch.setattr("evaluate.page.cli.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="make setup-page"):
        app(["serve", str(tmp_path)], standalone_mode=False)


def curl_example():
    """The script of docs/page.md."""
    page = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")
    [script] = re.findall(r"^```bash\n(.*?)^```", page, re.S | re.M)
    return script


def events(script, address, folder):
    """Run it beside rain.wav against another address; its answer's events and their data."""
    assert "http://127.0.0.1:7860" in script
    script = script.replace("http://127.0.0.1:7860", address)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"^event: (.*)\ndata: (.*)$", done.stdout, re.M)


def larger(folder):
    """A folder whose rain.wav is larger than LIMITS allow."""
    (folder / "larger").mkdir()
    (folder / "larger" / "rain.wav").write_bytes(bytes(1_300_000))
    return folder / "larger"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_programs_get_the_same_by_the_three_requests_of_the_docs(tiny_run, tmp_path):
    sound = write_sound(tmp_path / "rain.wav")
    with served(tiny_run, LIMITS) as address:
        *_, (event, data) = events(curl_example(), address, tmp_path)
        assert event == "complete"
        caption, _, record = json.loads(data)
        assert caption == as_text(answer(listener_of(tiny_run), sound, LIMITS))
        assert record["caption"] == caption and record["windows"][0]["n_best"]
        # What cannot be used is an error with the reason in it.
        done = subprocess.run(
            ["bash", "-euc", curl_example().replace("http://127.0.0.1:7860", address)],
            cwd=larger(tmp_path), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 1 and "larger than this page takes" in done.stderr
        sound.write_text("rain, said the poem")
        *_, (event, data) = events(curl_example(), address, tmp_path)
        assert event == "error" and "is text, not audio" in data
        # A path of this machine is no upload.
        asked = curl_example().replace('"$FILE"', f'"{sound}"')
        *_, (event, data) = events(asked, address, tmp_path)
        assert event == "error" and "poem" not in data and "rain.wav" in json.loads(data)["error"]
        # Nor is an address, which Gradio would fetch.
        asked = curl_example().replace('"$FILE"', '"https://elsewhere.example/rain.wav"')
        *_, (event, data) = events(asked, address, tmp_path)
        assert event == "error" and "fetches nothing from elsewhere" in data


def test_a_program_that_hangs_up_ends_what_it_asked_for(tiny_run, tmp_path, monkeypatch):
    given_up, ended = threading.Event(), threading.Event()

    def listen(*_):
        try:
            while not given_up.wait(0.01):
                yield long.SoFar(name="x", said=(), lasts_s=1e5, ended=False)
        finally:
            ended.set()

    monkeypatch.setattr(long, "is_long", lambda file: True)
    monkeypatch.setattr(long, "listen", listen)
    write_sound(tmp_path / "rain.wav")
    first_events = curl_example().rstrip() + " | head -n 2"  # curl ends when nobody reads on
    with served(tiny_run, LIMITS) as address:
        assert events(first_events, address, tmp_path)[0] == ("generating", '["", "", null]')
        assert ended.wait(60)
        given_up.set()


def test_wrong_requests_of_programs_are_a_line_each_in_the_terminal(tiny_run, tmp_path, capfd):
    write_sound(tmp_path / "rain.wav")
    with served(tiny_run, LIMITS) as address:
        [(event, data)] = events(curl_example().replace('"$FILE"', '"a.wav"'), address, tmp_path)
        assert event == "error" and "a.wav" in data
        asked = urllib.request.Request(
            f"{address}/gradio_api/queue/join",
            data=b'{"data": [], "fn_index": 99, "session_hash": "x"}',
            headers={"Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(asked, timeout=60)
    told = [line for line in capfd.readouterr().err.splitlines() if "request failed" in line]
    assert [line.split(":")[1].strip() for line in told] == ["InvalidPathError", "KeyError"]


def test_the_browser_is_told_to_load_nothing_from_elsewhere(tiny_run):
    with served(tiny_run, LIMITS) as address, urllib.request.urlopen(address, timeout=60) as reply:
        assert reply.headers["content-security-policy"].startswith("default-src 'self' ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_page_leaves_nothing_behind(tiny_run_folder, tmp_path, number):
    if find_spec("gradio") is None:
        pytest.skip("gradio is not installed (the lock's page part): make setup-page")
    home, temporary, here = (tmp_path / name for name in ("home", "temporary", "here"))
    for folder in (home, temporary, here):
        folder.mkdir()
    settings = {"HOME": home, "TMPDIR": temporary, "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": 1}
    of_this_process = ("TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR", "GRADIO_TEMP_DIR")
    inherited = {key: value for key, value in os.environ.items() if key not in of_this_process}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", tiny_run_folder, "--port", str(free_port())],
        cwd=here,
        env={**inherited, **{name: str(value) for name, value in settings.items()}},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = iter(process.stderr.readline, "")
        address = next(line.split()[0] for line in said if " is open; " in line)
        if shutil.which("curl"):
            write_sound(tmp_path / "rain.wav")
            *_, (event, _) = events(curl_example(), address, tmp_path)
            assert event == "complete"
        kept = [path.relative_to(temporary).parts[0] for path in temporary.rglob("*.wav")]
        assert kept and all(name.startswith("tagbart-page-") for name in kept)
        process.send_signal(number)
        assert process.wait(timeout=120) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert not [*home.rglob("*"), *temporary.rglob("*"), *here.rglob("*")]
