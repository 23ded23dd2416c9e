"""A web page on this machine: a sound in, a caption out, with what the model heard.

`page` lays out what answer.py says, with Gradio; `serve` runs it. Whoever calls stands in
own_folder.py, which takes what is written meanwhile and clears it away.
"""

import errno
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile

from evaluate.captions.caption import find_audio
from evaluate.captions.listener import Listener
from evaluate.page import long
from evaluate.page.answer import Part, answer, as_html, as_record, as_text, who_speaks
from evaluate.page.gate import (
    KEPT_S,
    MOST_SOUNDS,
    NOT_FETCHED,
    OnlyFromHere,
    Uploads,
    tell_failure,
)
from evaluate.page.limits import MB, Limits
from evaluate.page.port import HOST, check_port
from evaluate.report.pages import TEMPLATES
from extract.demo.dsp import Desk
from extract.demo.scenes import render
from extract.networks.log_mel import SAMPLE_RATE_HZ
from features.common.console import log
from features.common.errors import ClipError, ConfigError

EXAMPLES = 6
# Made here when no folder of examples is named: file name, seed, layout and kinds, as in the demo.
MADE_EXAMPLES = (
    ("dog-in-the-rain.wav", 5, "over", ["Dog", "Rain"]),
    ("siren-then-speech.wav", 7, "sequence", ["Siren", "Speech"]),
    ("helicopter.wav", 1, "single", ["Helicopter"]),
)
NOTHING = "There is no sound yet: drop a file, record one, or pick an example."
# Gradio holds css_paths to what stands inside its frame; on a phone the frame takes too much room.
FRAME = "@media (max-width: 40rem) { .gradio-container > .main.fillable { padding: .75rem; } }"
WAITING = 32  # people in the queue; the next one is asked to come back


# What the page says of a sound: caption, HTML, record; with its sound, and of a long one all that
# was heard so far.
Laid = tuple[str, str, dict | None]
Answered = tuple[str | None, Laid, long.SoFar | None]


def laid_out(found: list[Part] | long.SoFar) -> Laid:
    """What the page says of a sound."""
    if isinstance(found, long.SoFar):
        return long.as_text(found), long.as_html(found), long.as_record(found)
    return as_text(found), as_html(found), as_record(found)


def place(sound: str | None, answered: Answered | None) -> Laid:
    """What stands under a sound: its own answer, or nothing."""
    if answered is None or answered[0] != sound:
        return "", "", None
    return answered[1]


def stopped(answered: Answered | None) -> Answered | None:
    """The same once somebody has heard enough: what was heard of a long sound, with its files."""
    if answered is None or answered[2] is None or answered[2].ended:
        return answered
    heard = replace(answered[2], ended=True, stopped=True)
    return answered[0], laid_out(heard), heard


def page(listener: Listener, limits: Limits, examples: Sequence[Path]) -> Any:
    """The page as Gradio's Blocks; `describe` is also its endpoint for programs."""
    import gradio as gr

    def answers(sound: str | None, progress: Any) -> Iterator[list[Part] | long.SoFar]:
        """What is said of a sound; of a long one what was said so far, again and again."""
        if not sound:
            raise gr.Error(NOTHING, print_exception=False)
        try:
            if long.is_long(Path(sound)):
                progress(0.0, desc="Listening")
                for heard in long.listen(listener, Path(sound), limits):
                    progress(heard.share, desc="Listening")
                    yield heard
                return
            yield answer(
                listener, Path(sound), limits, tell=lambda share, what: progress(share, desc=what)
            )
        except ClipError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except OSError as error:
            raise gr.Error(unreadable(error), print_exception=False) from error

    def describe(sound: str | None, progress: Any = gr.Progress()) -> Iterator[Laid]:
        # A program that hangs up is noticed from one yield to the next: what it asked for ends.
        for found in answers(sound, progress):
            whole = not isinstance(found, long.SoFar) or found.ended
            yield laid_out(found) if whole else ("", "", None)

    def show(sound: str | None, progress: Any = gr.Progress()) -> Iterator[Answered]:
        # People read the reason in the page, as long as they like; programs get an error.
        try:
            for found in answers(sound, progress):
                yield sound, laid_out(found), found if isinstance(found, long.SoFar) else None
        except gr.Error as error:
            reason = f'<p class="refused" role="alert">{escape(error.message)}</p>'
            yield sound, ("", reason, None), None

    with gr.Blocks(title="What does it sound like?", analytics_enabled=False) as blocks:
        gr.Markdown(
            "# What does it sound like?\n"
            f"Drop or record a sound of up to {limits.longest} and {limits.max_mb:g} MB: "
            "the model says in a sentence what is heard. It runs on this machine: your sound goes "
            f"nowhere else, and is deleted after {KEPT_S / 60:g} minutes."
        )
        gr.HTML(f'<p class="speaks">{escape(who_speaks(listener))}</p>', padding=False)
        sound = gr.Audio(
            sources=["upload", "microphone"],
            type="filepath",
            label="Sound",
            elem_id="sound",
            buttons=["download"],  # by default also one that shares on a public site
        )
        with gr.Row():
            button = gr.Button("Describe it", variant="primary", elem_id="describe", scale=4)
            stop = gr.Button("Stop", elem_id="stop", min_width=80)
        if examples:
            gr.Examples([str(path) for path in examples], sound, label="Examples",
                        cache_examples=False, preload=False)  # fmt: skip
        caption = gr.Textbox(
            label="Caption",
            elem_id="caption",
            interactive=False,
            max_lines=8,
            placeholder="A sentence about the sound will stand here.",
        )
        heard = gr.HTML(elem_id="heard")
        with gr.Accordion("For programs", open=False):
            record = gr.JSON(label="The same as JSON, endpoint /describe", elem_id="record")
        outputs = [caption, heard, record]
        # One queue for both: the model works on one sound at a time.
        queue: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
        answered = gr.State()
        # A click while another sound is still being heard is kept, and asks about the new one.
        told = button.click(show, sound, answered, api_visibility="private",
                            show_progress_on=caption, trigger_mode="always_last",
                            **queue)  # fmt: skip
        # One that waits leaves the line; one that is being heard ends with its batch of windows.
        stop.click(stopped, answered, answered, cancels=[told], queue=False,
                   api_visibility="private", show_progress="hidden")  # fmt: skip
        # An answer stands under its own sound only, whatever was heard or changed meanwhile.
        # It changes while a long one is being heard, too.
        for event in (told.then, answered.change, sound.change):
            event(place, [sound, answered], outputs, api_visibility="private", queue=False,
                  show_progress="hidden")  # fmt: skip
        hidden = gr.Button(visible=False)
        hidden.click(describe, sound, outputs, api_name="describe", **queue)
    return blocks.queue(max_size=WAITING)


def serve(listener: Listener, *, limits: Limits, port: int, examples: Path | None) -> None:
    """Serve the page until Ctrl-C, or what `interruptible` makes of it.

    Raises:
        TagbartError: if there are no such examples, or the port is taken.
    """
    shown = find_audio([examples])[:EXAMPLES] if examples else []
    shown = shown or make_examples(Path(tempfile.gettempdir()) / "made")
    log("trying the model out once, so that the first sound does not wait …")
    warm_up(listener)
    blocks = page(listener, limits, shown)
    launch(blocks, limits, port)
    log(f"http://{HOST}:{port} is open; Ctrl-C ends it and deletes what was sent")
    try:
        Event().wait()
    except KeyboardInterrupt:
        log("closed")
    finally:
        blocks.close(verbose=False)


def unreadable(error: OSError) -> str:
    """Why a sound that was sent cannot be used, for people."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full, so this sound cannot be worked on; make room and try again."
    return (
        f"This sound is not here any more: it is kept for {KEPT_S / 60:g} minutes. Drop it again."
    )


def warm_up(listener: Listener) -> None:
    """Answer once: what is loaded or compiled when first used is there for the first sound."""
    file = Path(tempfile.gettempdir()) / "warm-up.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, round(2 * SAMPLE_RATE_HZ))
    soundfile.write(file, noise.clip(-1, 1), SAMPLE_RATE_HZ)
    as_html(answer(listener, file, Limits(max_mb=1, max_seconds=10)))
    file.unlink()


def make_examples(folder: Path) -> list[Path]:
    """Write a few synthetic sounds, so that a page without examples has something to try."""
    folder.mkdir()
    for name, seed, layout, kinds in MADE_EXAMPLES:
        desk = Desk(rng=np.random.default_rng(seed), rate_hz=32_000)
        _, sides = render(desk, layout, list(kinds), 10.0)
        soundfile.write(folder / name, sides, desk.rate_hz)
    return [folder / name for name, *_ in MADE_EXAMPLES]


def launch(blocks: Any, limits: Limits, port: int) -> None:
    """Start serving on loopback, in threads of its own.

    Raises:
        ConfigError: if the port cannot be used.
    """
    import gradio as gr
    from gradio import processing_utils, queueing
    from starlette.middleware import Middleware

    async def not_fetched(*_: Any, **__: Any) -> Any:
        raise gr.Error(NOT_FETCHED, print_exception=False)

    # Who names an address where a file is expected would have Gradio fetch it, of any size.
    processing_utils.async_ssrf_protected_download = not_fetched
    # What a program asked wrongly is told to it; the terminal gets a line.
    vars(queueing)["traceback"] = SimpleNamespace(print_exc=tell_failure)

    script = (TEMPLATES / "view.js").read_text(encoding="utf-8")
    system = ["system-ui", "sans-serif"]
    max_bytes = round(MB * limits.max_mb)
    uploads = Uploads(Path(tempfile.gettempdir()), MOST_SOUNDS * max_bytes)
    uploads.watch()
    gate = Middleware(OnlyFromHere, port=port, max_bytes=max_bytes, uploads=uploads)
    theme = gr.themes.Base(font=system, font_mono=["ui-monospace", "monospace"])
    try:
        blocks.launch(
            server_name=HOST,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,  # programs get the reason of every refusal, not null
            share=False,
            ssr_mode=False,
            pwa=False,
            enable_monitoring=False,
            run_history=False,  # it offers to send every run to a public site
            max_file_size=max_bytes,  # refused before it is sent
            footer_links=[],
            theme=theme,
            css_paths=[TEMPLATES / "view.css", TEMPLATES / "answer.css"],
            head=f"<style>{FRAME}</style><script>{script}</script>",
            app_kwargs={"middleware": [gate]},
        )
    except OSError as error:
        check_port(port)
        raise ConfigError(f"port {port} cannot be used; name another one by --port") from error
