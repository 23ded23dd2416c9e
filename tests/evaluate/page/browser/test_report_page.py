"""The report as people use it: sort, search, open a clip; by mouse, by keyboard, on a phone."""

import pytest

from evaluate.report.build import build_report
from evaluate.report.material import Sources
from tests.evaluate.conftest import CAPTIONS
from tests.evaluate.page.listening import write_evaluation, write_sound

pytestmark = pytest.mark.browser
# Best first: clip_4, clip_3 … ; the worst is clip_0.
SCORES = [0.0, 0.1, 0.2, 0.3, 2.0, 0.15, 0.16, 0.17, 0.18, 0.19, 0.21]


@pytest.fixture(scope="module")
def address(tmp_path_factory, tiny_clips, tiny_features, tiny_run_folder):
    root = tmp_path_factory.mktemp("report")
    captions = {f"clip_{number}": text for number, text in enumerate(CAPTIONS)}
    folder = write_evaluation(root / "test", captions, tiny_clips, SCORES)
    (root / "dump" / "test").mkdir(parents=True)
    for number in range(len(SCORES)):
        write_sound(root / "dump" / "test" / f"clip_{number}.wav", seconds=10, seed=number)
    sources = Sources(features=tiny_features, runs=(tiny_run_folder,), audio=root / "dump")
    build_report([folder], root / "out", sources)
    return (root / "out" / "index.html").as_uri()


@pytest.fixture(scope="module")
def compared(tmp_path_factory, tiny_clips, tiny_features, tiny_run_folder):
    """Two systems; the second is better by 1.0 on clip_0 and worse by 2.0 on clip_4."""
    root = tmp_path_factory.mktemp("compared")
    captions = {f"clip_{number}": text for number, text in enumerate(CAPTIONS)}
    folders = [
        write_evaluation(root / name / "test", captions, tiny_clips, scores)
        for name, scores in (
            ("a-recipe-with-a-rather-long-name", SCORES),
            ("another-recipe-with-a-long-name", [1.0, *SCORES[1:4], 0.0, *SCORES[5:]]),
        )
    ]
    sources = Sources(features=tiny_features, runs=(tiny_run_folder,) * 2)
    build_report(folders, root / "out", sources)
    return (root / "out" / "index.html").as_uri()


def clips_shown(page):
    return page.locator("#table tbody tr:visible th").all_inner_texts()


def test_a_heading_sorts_and_a_second_click_turns_it_round(window, address):
    page = window.page
    page.goto(address)
    heading = page.get_by_role("columnheader", name="CIDEr-D").last
    heading.get_by_role("button").click()
    assert clips_shown(page)[:2] == ["clip_4", "clip_3"]
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert clips_shown(page)[:2] == ["clip_0", "clip_1"]
    window.picture("report-index")
    assert not window.errors and not window.hosts


def test_search_looks_through_captions_and_says_how_many_it_found(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("searchbox").fill("siren DOG")
    assert clips_shown(page) == ["clip_7"]  # the only caption with both words
    assert page.locator("#found").inner_text() == "1 of 11 clips"
    page.get_by_role("searchbox").fill("")
    assert len(clips_shown(page)) == 11


def test_a_clip_opens_and_shows_what_the_model_looked_at(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("link", name="clip_1", exact=True).click()
    page.wait_for_selector(".caption")
    assert page.locator(".caption").inner_text() == CAPTIONS[1]
    page.locator(".token").nth(1).hover()
    colours = page.locator(".prompt span").evaluate_all(
        "spans => spans.map(span => span.style.getPropertyValue('--a'))"
    )
    assert max(map(float, colours)) == 1
    image = page.locator(".picture img")
    assert image.evaluate("image => image.decode().then(() => image.naturalHeight)") == 64
    window.picture("report-clip")
    assert not window.errors and not window.hosts


def test_the_linked_sound_plays(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("link", name="clip_2", exact=True).click()
    seconds = page.locator("#audio").evaluate(
        "audio => new Promise(done => { audio.onloadedmetadata = () => done(audio.duration);"
        " audio.onerror = () => done(-1); audio.load(); audio.preload = 'metadata'; })"
    )
    assert seconds == pytest.approx(10, abs=0.01)
    assert page.locator("#silent").is_hidden()


def test_the_keyboard_alone_searches_sorts_opens_and_switches(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("searchbox").focus()
    page.keyboard.type("engine")
    assert clips_shown(page) == ["clip_4", "clip_6"]
    for _ in range(20):  # the region that scrolls, then the headings
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "CIDEr-D":
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert clips_shown(page) == ["clip_6", "clip_4"]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".caption")
    assert page.locator(".caption").inner_text() == CAPTIONS[6]
    page.get_by_role("radio", name="score").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="chance of being drawn").is_checked()
    assert page.locator(".strip b").first.is_visible()
    page.locator(".token").first.focus()
    assert page.locator(".token.on").count() == 1


def test_two_systems_stand_side_by_side_with_their_difference(window, compared):
    page = window.page
    page.goto(compared)
    first = page.locator("#examples .card").first  # where they differ most
    assert first.locator("a").get_attribute("href") == "clips/00004.html"
    page.get_by_role("columnheader", name="Difference").get_by_role("button").click()
    order = clips_shown(page)
    assert (order[0], order[-1]) == ("clip_0", "clip_4")
    window.picture("report-compared-index")
    page.get_by_role("link", name="clip_4", exact=True).click()
    page.wait_for_selector(".system")
    left, right = (item.bounding_box() for item in page.locator(".system").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] < right["x"]
    window.picture("report-compared-clip")
    assert not window.errors


@pytest.mark.parametrize("report", ["address", "compared"])
@pytest.mark.parametrize("name", ["index", "clip"])
def test_a_phone_needs_no_sideways_scrolling(phone, request, report, name):
    index = request.getfixturevalue(report)
    page = phone.page
    page.goto(index if name == "index" else index.replace("index", "clips/00001"))
    page.wait_for_selector("h1")
    assert phone.fits()
    phone.picture(f"report-{'compared-' * (report == 'compared')}{name}-phone")
    assert not phone.errors
