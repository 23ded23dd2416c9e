"""The page of `evaluate serve` as people use it."""

import re
from functools import partial
from threading import Event, Lock

import pytest

from evaluate.page import long
from evaluate.page.answer import answer, as_text
from evaluate.page.limits import Limits
from tests.evaluate.page.browser.conftest import ARTEFACTS, Watched
from tests.evaluate.page.listening import LoudnessEncoder, listener_of, served, write_sound

pytestmark = pytest.mark.browser
LIMITS = Limits(max_mb=2, max_seconds=20)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    (folder / "poem.wav").write_text("a dog barks, said the poem")
    write_sound(folder / "long.wav", seconds=25)
    write_sound(folder / "large.wav", seconds=80)  # 2.4 MB
    write_sound(folder / "windows.wav", seconds=15)
    write_sound(folder / "example.wav", seconds=5, seed=2)
    write_sound(folder / "swell.wav", seconds=10, seed=1)
    return folder


@pytest.fixture(scope="module")
def address(tiny_run, sounds):
    with served(tiny_run, LIMITS, [sounds / "example.wav"]) as address:
        yield address


# WCAG's contrast of an element's text with what lies behind it.
CONTRAST = """element => {
  const paint = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
    .getContext("2d", {willReadFrequently: true});
  const lay = colour => {
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map(value => {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = [];
  for (let node = element; node; node = node.parentElement)
    behind.unshift(getComputedStyle(node).backgroundColor);
  const ground = ["white", ...behind].map(lay).at(-1);
  const ink = lay(getComputedStyle(element).webkitTextFillColor);
  return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
}"""


def send(page, path):
    page.locator("#sound input[type=file]").set_input_files(path)
    page.wait_for_selector("#sound [aria-label='Clear'], #sound .waveform-container")
    page.get_by_role("button", name="Describe it").click()


def caption(page):
    asked(page, page.locator(".answer").first.wait_for)
    return page.locator("#caption textarea").input_value()


def asked(page, wait):
    """Wait for an answer, asking again as people do.

    A click that comes before the sound is there asks about what stood there until then, and that
    answer is shown under no other sound.
    """
    from playwright.sync_api import TimeoutError as TooLong

    for _ in range(20):
        try:
            return wait(timeout=6_000)
        except TooLong:
            page.get_by_role("button", name="Describe it").click()
    raise AssertionError("asked twenty times, and no answer")


def test_a_sound_goes_in_and_a_caption_comes_out(window, address, sounds, tiny_run):
    page = window.page
    page.goto(address)
    # Before it is asked: a run answers one at a time, and the page asks the same one.
    expected = as_text(answer(listener_of(tiny_run), sounds / "swell.wav", LIMITS))
    send(page, sounds / "swell.wav")
    assert caption(page) == expected
    assert page.locator(".answer .picture img").count() == 1
    assert page.locator(".answer .n-best li").count() > 1
    window.picture("page-answer")
    assert window.hosts == {"127.0.0.1"}
    assert not window.errors


def test_an_answer_goes_with_its_sound(window, address, sounds):
    page = window.page
    page.goto(address)
    send(page, sounds / "swell.wav")
    assert caption(page)
    # Another sound: nothing of the old one stands under it.
    page.get_by_role("button", name="example.wav").click()
    page.wait_for_selector(".answer", state="detached")
    assert page.locator("#caption textarea").input_value() == ""
    page.get_by_role("button", name="Describe it").click()
    assert caption(page)
    page.locator("#sound [aria-label='Clear']").click()
    page.wait_for_selector(".answer", state="detached")
    assert page.locator("#caption textarea").input_value() == ""
    assert not window.errors


def test_an_answer_that_comes_late_is_not_put_under_another_sound(
    window, address, sounds, tiny_run
):
    old, new = (
        as_text(answer(listener_of(tiny_run), sounds / name, LIMITS))
        for name in ("windows.wav", "example.wav")
    )
    assert old != new  # a line for each of two windows
    page = window.page
    page.goto(address)
    page.evaluate(
        "() => { window.said = new Set(); const look = () => { const box ="
        " document.querySelector('#caption textarea'); if (box) window.said.add(box.value);"
        " requestAnimationFrame(look); }; look(); }"
    )
    send(page, sounds / "windows.wav")
    page.get_by_role("button", name="example.wav").click()  # while that one is being heard
    page.wait_for_selector("#sound .waveform-container")
    page.get_by_role("button", name="Describe it").click()
    shown = "text => document.querySelector('#caption textarea').value === text"
    asked(page, partial(page.wait_for_function, shown, arg=new))
    # One queue: the first answer has come before the second, and was shown under no other sound.
    assert page.evaluate("[...window.said]")[-1] == new


def test_the_answers_own_player_begins_where_it_was_clicked(window, address, sounds):
    page = window.page
    page.goto(address)
    send(page, sounds / "swell.wav")
    assert caption(page)
    page.evaluate("""() => {
        window.at = [];
        document.querySelector('.view audio').addEventListener('seeked', event =>
            window.at.push(event.target.currentTime));
        document.querySelector('.answer .picture').addEventListener('click', event => {
            const box = event.currentTarget.getBoundingClientRect();
            window.clicked = (event.clientX - box.left) / box.width;
        }, true);
    }""")
    extent = float(page.locator(".view").get_attribute("data-extent"))
    box = page.locator(".answer .picture").bounding_box()
    page.locator(".answer .picture").click(position={"x": 6.6 / extent * box["width"], "y": 20})
    page.wait_for_function("window.at.length > 0")
    clicked = page.evaluate("window.clicked") * extent  # a late scroll bar moves it a little
    assert clicked == pytest.approx(6.6, abs=0.2)
    assert page.evaluate("window.at[0]") == pytest.approx(clicked, abs=0.06)
    assert not window.errors


def test_the_page_says_which_model_speaks(window, address, tiny_run):
    window.page.goto(address)
    line = window.page.locator(".speaks").inner_text()
    assert (
        str(tiny_run.path) in line and "recipe tiny, seed 0" in line and "6 kinds of sound" in line
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("poem.wav", "is text, not audio"),
        ("long.wav", "takes up to 20 s"),
    ],
)
def test_a_file_that_cannot_be_used_gets_a_message_that_stays(window, address, sounds, name, words):
    page = window.page
    page.goto(address)
    send(page, sounds / name)
    message = page.get_by_role("alert").filter(has_text=words)
    asked(page, message.wait_for)
    assert page.get_by_text("Error", exact=True).count() == 0
    window.picture(f"page-refuses-{name.removesuffix('.wav')}")
    assert page.locator(".answer").count() == 0
    # The next sound takes the message's place.
    page.get_by_role("button", name="example.wav").click()
    page.wait_for_selector("#sound .waveform-container")
    page.get_by_role("button", name="Describe it").click()
    assert caption(page)
    assert message.count() == 0


def test_without_a_sound_the_page_says_what_to_do(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("button", name="Describe it").click()
    page.get_by_role("alert").filter(has_text="pick an example").wait_for()
    window.picture("page-nothing")


def test_two_people_at_once_both_get_their_caption(browser, address, sounds):
    contexts = [browser.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page, name in zip(pages, ("swell.wav", "example.wav"), strict=True):
        page.goto(address)
        send(page, sounds / name)
    captions = [caption(page) for page in pages]
    assert all(captions)
    for context in contexts:
        context.close()


def test_the_microphone_records_a_sound_to_describe(window, address):
    page = window.page
    page.context.grant_permissions(["microphone"])
    page.goto(address)
    page.get_by_role("button", name="Record audio").click()
    page.get_by_role("button", name="Record", exact=True).click()
    page.locator("#sound .timer, #sound time").filter(has_text="0:01").first.wait_for()
    page.locator("#sound button:visible").filter(has_text="Stop").first.click()
    page.wait_for_selector("#sound .waveform-container")
    page.get_by_role("button", name="Describe it").click()
    assert caption(page)
    window.picture("page-recorded")
    assert not window.errors


def test_the_keyboard_alone_picks_the_example_and_asks(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("button", name="example.wav").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#sound .waveform-container")
    page.get_by_role("button", name="Describe it").focus()
    page.keyboard.press("Enter")
    assert caption(page)


def test_a_phone_needs_no_sideways_scrolling(phone, address, sounds):
    page = phone.page
    page.goto(address)
    send(page, sounds / "swell.wav")
    assert caption(page)
    assert phone.fits()
    phone.picture("page-phone")
    # Ten seconds and the labels at both sides are seen at once.
    region = page.get_by_role("region", name="Time axis")
    room = region.evaluate("node => [node.scrollWidth, node.clientWidth]")
    assert room[0] <= room[1]


def test_a_file_that_is_too_large_is_refused_at_once_and_the_limit_named(window, address, sounds):
    page = window.page
    page.goto(address)
    page.get_by_text("up to 20 s and 2 MB").wait_for()
    page.locator("#sound input[type=file]").set_input_files(sounds / "large.wav")
    message = page.get_by_text(re.compile(r"exceed the maximum allowed size of 2(\.0)? Mb")).first
    message.wait_for()
    # Playwright waits until what it points at has stopped fading in.
    message.hover()
    page.screenshot(path=ARTEFACTS / "page-refuses-large.png")
    # Nothing lies over the field: the next file can be sent at once.
    page.locator("#sound input[type=file]").set_input_files(sounds / "swell.wav")
    page.wait_for_selector("#sound .waveform-container")
    page.get_by_role("button", name="Describe it").click()
    assert caption(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser, address, sounds, scheme):
    context = browser.new_context(color_scheme=scheme)
    window = Watched(context.new_page())
    page = window.page
    page.goto(address)
    send(page, sounds / "swell.wav")
    assert caption(page)
    window.picture(f"page-{scheme}")
    for place in ("#caption textarea", ".answer .name", ".answer small", ".answer h4", ".hint"):
        assert page.locator(place).first.evaluate(CONTRAST) >= 4.5, place
    page.goto(address)
    send(page, sounds / "poem.wav")
    asked(page, page.locator(".refused").wait_for)
    assert page.locator(".refused").evaluate(CONTRAST) >= 4.5
    context.close()


def test_a_long_sound_is_listed_and_its_files_are_taken_home(window, tiny_run, tmp_path):
    page = window.page
    write_sound(tmp_path / "long.wav", seconds=75)
    with served(tiny_run, Limits(max_mb=4, max_seconds=100)) as own_address:
        page.goto(own_address)
        send(page, tmp_path / "long.wav")
        asked(page, page.locator(".answer .files a").first.wait_for)
        assert page.locator(".stretches tbody tr").first.inner_text().startswith("00:00:00")
        assert page.locator("#caption textarea").input_value()
        with page.expect_download() as taken:
            page.locator(".answer .files a", has_text="long.vtt").click()
        text = taken.value.path().read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert taken.value.suggested_filename == "long.vtt"
    assert not window.errors


def held(monkeypatch, *, after):
    """Networks that have heard so many windows go on when the event is set, and what they heard;
    captions are shown as soon as they are there."""
    go_on, calls, lock = Event(), [], Lock()

    def encode(self, waveforms, now=LoudnessEncoder.encode):
        with lock:  # cores hear some windows each
            enough = sum(calls) >= after
            calls.append(len(waveforms))
        if enough:
            assert go_on.wait(120)
        return now(self, waveforms)

    monkeypatch.setattr(LoudnessEncoder, "encode", encode)
    monkeypatch.setattr(long, "_SHOW_S", 0.0)
    return go_on, calls


def hear(page, address, sound, *, percent):
    """Send a long sound and wait until the page has said so much of it."""
    page.goto(address)
    send(page, sound)
    asked(page, page.locator(".stretches tbody tr").first.wait_for)
    heard = re.compile(rf"{percent}\s% of it so far")
    page.locator(".answer .hint", has_text=heard).first.wait_for()


def test_a_long_sound_is_stopped_and_what_was_heard_is_taken_home(
    window, tiny_run, sounds, tmp_path, monkeypatch
):
    page = window.page
    go_on, calls = held(monkeypatch, after=2 * 32)  # by two networks, of the 60 windows
    write_sound(tmp_path / "long.wav", seconds=600)
    with served(tiny_run, Limits(max_mb=20, max_seconds=600)) as own_address:
        try:
            hear(page, own_address, tmp_path / "long.wav", percent=53)
            with page.expect_request("**/cancel"):
                page.get_by_role("button", name="Stop").click()
        finally:
            go_on.set()
        page.locator(".answer .files a", has_text="long.srt").wait_for(timeout=60_000)
        assert "Stopped after 53 % of it" in page.locator(".answer").inner_text().replace(
            "\N{NO-BREAK SPACE}", " "
        )
        assert page.locator(".stretches tbody tr").last.inner_text().split("\t")[1] == "00:05:20"
        # The line is free for the next sound, and nothing more of the long one was heard.
        page.locator("#sound [aria-label='Clear']").click()
        send(page, sounds / "example.wav")
        assert caption(page)
        assert sum(calls) == 2 * 48 + 2
    assert not window.errors


def test_captions_of_a_long_sound_come_while_it_is_being_heard(
    window, tiny_run, tmp_path, monkeypatch
):
    page = window.page
    go_on, _ = held(monkeypatch, after=2 * 16)  # by two networks, of the 20 windows
    write_sound(tmp_path / "long.wav", seconds=200)
    with served(tiny_run, Limits(max_mb=8, max_seconds=300)) as own_address:
        try:
            hear(page, own_address, tmp_path / "long.wav", percent=80)
            assert page.locator(".answer .files").count() == 0
        finally:
            go_on.set()
        page.locator(".answer .files a").first.wait_for(timeout=60_000)
        assert page.locator(".stretches tbody tr").last.inner_text().split("\t")[1] == "00:03:20"
    assert not window.errors
