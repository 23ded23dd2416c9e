"""A web page on this machine: a sound in, a caption out, with what the model heard.

`answer` does the work and knows no web; `page` lays it out with Gradio; `serve` runs it in a
temporary folder of its own and takes everything away at the end.
"""

import base64
import io
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from evaluate.caption import Listener, find_audio, load_listener
from evaluate.generate import Caption, caption_clips
from evaluate.options import DecodingOptions
from evaluate.report.pages import TEMPLATES, environment
from evaluate.report.pictures import BANDS_HZ, save_spectrogram, spectrogram
from evaluate.report.timeline import Timeline, timeline
from extract.audio import Audio, load_audio
from features.console import log
from features.errors import ClipError, ConfigError
from features.spec import TAG_LOGITS

HOST = "127.0.0.1"
N_BEST = 4
EXAMPLES = 6
WAITING = 32  # people in the queue; the next one is asked to come back
# The browser itself refuses whatever would come from elsewhere.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the page accepts."""

    max_mb: float
    max_seconds: float

    def __post_init__(self) -> None:
        for name in ("max_mb", "max_seconds"):
            if getattr(self, name) <= 0:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is {getattr(self, name)}, expected more than 0")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Ten seconds of a recording, or what there is: caption, tags, spectrogram as PNG."""

    start_s: float
    end_s: float
    caption: Caption
    timeline: Timeline | None
    picture: bytes


def answer(
    listener: Listener,
    file: Path,
    limits: Limits,
    *,
    tell: Callable[[float, str], object] = lambda share, what: None,
) -> list[Part]:
    """Caption a recording and show what was heard in it.

    Args:
        listener: a run and its encoders.
        file: what somebody sent.
        limits: what is accepted.
        tell: hears how far this is, from 0 to 1, and what comes next.

    Raises:
        ClipError: with a reason for people, if the file cannot be used.
    """
    tell(0.05, "Reading the file")
    audio = _accepted(file, limits)
    windows = []
    for window in listener.hear(audio, file.name):
        windows.append(window)
        tell(0.1 + 0.5 * window.end_s / audio.duration_s, "Listening")
    tell(0.6, "Looking for words")
    captions = caption_clips(listener.run, windows, DecodingOptions(n_best=N_BEST))
    tell(0.9, "Drawing")
    tags = next((s for s in listener.run.builder.streams.values() if s.kind == TAG_LOGITS), None)
    rate_hz = audio.sample_rate_hz
    parts = []
    for window, caption in zip(windows, captions, strict=True):
        start, end = (round(seconds * rate_hz) for seconds in (window.start_s, window.end_s))
        picture = io.BytesIO()
        sound = Audio(waveform=audio.waveform[start:end], sample_rate_hz=rate_hz)
        save_spectrogram(spectrogram(sound), picture)
        parts.append(
            Part(
                start_s=window.start_s,
                end_s=window.end_s,
                caption=caption,
                timeline=timeline(window.streams[tags.name], tags.classes, tags.hop_s)
                if tags
                else None,
                picture=picture.getvalue(),
            )
        )
    return parts


def _accepted(file: Path, limits: Limits) -> Audio:
    size_mb = file.stat().st_size / 1e6
    if size_mb > limits.max_mb:
        raise ClipError(
            f"This file has {size_mb:.1f} MB; this page takes up to {limits.max_mb:g} MB."
        )
    try:
        audio = load_audio(file)
    except ClipError as error:
        raise ClipError(
            f"This file cannot be read as sound: {error}. Try a wav, flac, ogg or mp3 file."
        ) from error
    if audio.duration_s > limits.max_seconds:
        raise ClipError(
            f"This recording lasts {audio.duration_s:.0f} s; this page takes up to "
            f"{limits.max_seconds:g} s. Cut out the part that matters."
        )
    return audio


def as_record(parts: Sequence[Part]) -> dict[str, Any]:
    """An answer for programs."""
    return {
        "caption": as_text(parts),
        "windows": [
            {
                "start_s": round(part.start_s, 3),
                "end_s": round(part.end_s, 3),
                "tags": list(part.caption.tags),
                "n_best": [candidate.as_json() for candidate in part.caption.n_best],
            }
            for part in parts
        ],
    }


def as_text(parts: Sequence[Part]) -> str:
    """The captions of all windows, a line each."""
    return "\n".join(part.caption.text for part in parts)


def as_html(parts: Sequence[Part]) -> str:
    """What was heard, as the page shows it."""
    shown = [
        {"part": part, "picture": base64.b64encode(part.picture).decode("ascii")} for part in parts
    ]
    return environment().get_template("answer.html").render(parts=shown, bands_hz=BANDS_HZ)


def page(listener: Listener, limits: Limits, examples: Sequence[Path]) -> Any:
    """The page as Gradio's Blocks; `describe` is also its endpoint for programs."""
    import gradio as gr

    def describe(sound: str | None, progress: Any = gr.Progress()) -> tuple[str, str, dict]:
        if not sound:
            raise gr.Error("Drop a sound file, record one, or pick an example first.",
                           title="Nothing to listen to", print_exception=False)  # fmt: skip
        try:
            parts = answer(
                listener, Path(sound), limits, tell=lambda share, what: progress(share, desc=what)
            )
        except ClipError as error:
            raise gr.Error(
                str(error),
                title="This file cannot be used",
                print_exception=False,
                duration=None,  # stays until it is closed: people read at their own pace
            ) from error
        return as_text(parts), as_html(parts), as_record(parts)

    with gr.Blocks(title="What does it sound like?", analytics_enabled=False) as blocks:
        gr.Markdown(
            "# What does it sound like?\n"
            f"Drop or record a sound of up to {limits.max_seconds:g} s and {limits.max_mb:g} MB: "
            "the model says in a sentence what is heard. It runs on this machine; your sound goes "
            "nowhere else and is deleted when the page is stopped."
        )
        sound = gr.Audio(
            sources=["upload", "microphone"],
            type="filepath",
            label="Sound",
            elem_id="sound",
            buttons=["download"],  # by default also one that shares on a public site
        )
        button = gr.Button("Describe it", variant="primary", elem_id="describe")
        if examples:
            gr.Examples([str(path) for path in examples], sound, label="Examples",
                        cache_examples=False, preload=False)  # fmt: skip
        caption = gr.Textbox(label="Caption", elem_id="caption", interactive=False, max_lines=8)
        heard = gr.HTML(elem_id="heard")
        with gr.Accordion("For programs", open=False):
            record = gr.JSON(label="The same as JSON, endpoint /describe", elem_id="record")
        button.click(
            describe, sound, [caption, heard, record], api_name="describe", concurrency_limit=1
        )
    return blocks.queue(max_size=WAITING)


def serve(
    run: Path, weights: Path, *, limits: Limits, port: int, examples: Path | None, device: str
) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        TagbartError: if the run or its networks cannot be loaded, or the port is taken.
    """
    shown = find_audio([examples])[:EXAMPLES] if examples else []
    listener = load_listener(run, weights, device)
    with own_folder():
        blocks = page(listener, limits, shown)
        launch(blocks, limits, port)
        log(f"http://{HOST}:{port} is open; Ctrl-C ends it and deletes what was sent")
        try:
            _wait()
        finally:
            blocks.close(verbose=False)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A temporary folder that takes all uploads and is deleted at the end; sets Gradio's switches.

    Must be entered before gradio is first imported.
    """
    folder = Path(tempfile.mkdtemp(prefix="tagbart-page-"))
    settings = {
        "GRADIO_TEMP_DIR": str(folder),
        "GRADIO_EXAMPLES_CACHE": str(folder / "examples"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "MPLCONFIGDIR": str(folder / "matplotlib"),  # gradio imports it, and it keeps a cache
    }
    before = {name: os.environ.get(name) for name in settings}
    before_tempdir = tempfile.tempdir
    os.environ.update(settings)
    tempfile.tempdir = str(folder)  # what the web server spools goes there too
    try:
        yield folder
    finally:
        tempfile.tempdir = before_tempdir
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def launch(blocks: Any, limits: Limits, port: int) -> None:
    """Start serving on loopback, in threads of its own.

    Raises:
        ConfigError: if the port cannot be used.
    """
    import gradio as gr
    from starlette.middleware import Middleware

    system = ["system-ui", "sans-serif"]
    theme = gr.themes.Base(font=system, font_mono=["ui-monospace", "monospace"])
    try:
        blocks.launch(
            server_name=HOST,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            pwa=False,
            enable_monitoring=False,
            max_file_size=f"{limits.max_mb:g}mb",
            footer_links=[],
            theme=theme,
            css_paths=[TEMPLATES / "timeline.css", TEMPLATES / "answer.css"],
            app_kwargs={"middleware": [Middleware(OnlyFromHere)]},
        )
    except OSError as error:
        raise ConfigError(f"port {port} cannot be used ({error}); name another --port") from error


class OnlyFromHere:
    """Tells the browser, with every answer, to load nothing from anywhere else."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode("ascii"))
                message["headers"] = [*message.get("headers", []), policy]
            await send(message)

        await self._app(scope, receive, with_policy)


def _wait() -> None:
    """Return at Ctrl-C or when somebody ends the process politely."""
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(1.0):
        pass
