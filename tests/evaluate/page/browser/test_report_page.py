"""The report as people use it: sort, search, open a clip; by mouse, by keyboard, on a phone."""

from types import SimpleNamespace

import pytest

from evaluate.report.build import build_report
from evaluate.report.material import Sources
from tests.evaluate.conftest import BY_CLIP, CAPTIONS
from tests.evaluate.page.listening import write_evaluation, write_sound

pytestmark = pytest.mark.browser
# Best first: clip_4, clip_3 … ; the worst is clip_0.
SCORES = [0.0, 0.1, 0.2, 0.3, 2.0, 0.15, 0.16, 0.17, 0.18, 0.19, 0.21]


@pytest.fixture(scope="module")
def address(tmp_path_factory, tiny_clips, tiny_features, tiny_run_folder):
    root = tmp_path_factory.mktemp("report")
    folder = write_evaluation(root / "test", BY_CLIP, tiny_clips, SCORES)
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
    folders = [
        write_evaluation(root / name / "test", BY_CLIP, tiny_clips, scores)
        for name, scores in (
            ("a-recipe-with-a-rather-long-name", SCORES),
            ("another-recipe-with-a-long-name", [1.0, *SCORES[1:4], 0.0, *SCORES[5:]]),
        )
    ]
    sources = Sources(features=tiny_features, runs=(tiny_run_folder,) * 2)
    build_report(folders, root / "out", sources)
    return (root / "out" / "index.html").as_uri()


def caption(page, number=0):
    words = page.locator(".caption").nth(number).locator(".word:not(.end) > span")
    return " ".join(words.all_inner_texts())


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


def test_whole_words_and_phrases_are_found_in_captions_references_and_tags(window, address):
    page = window.page
    page.goto(address)
    search = page.get_by_role("searchbox")
    search.fill("howls IN")
    assert clips_shown(page) == ["clip_7"]  # the only caption with both words
    assert page.locator("#found").inner_text() == "1 of 11 clips"
    search.fill("")
    assert len(clips_shown(page)) == 11
    search.fill("rai")
    assert clips_shown(page) == []  # no word, though it begins some
    search.fill("rai*")
    assert clips_shown(page)
    search.fill('"a dog"')
    assert clips_shown(page) == ["clip_0", "clip_1", "clip_7"]  # not "a barking dog"
    search.fill("clip_7")
    assert clips_shown(page) == ["clip_7"]


def test_the_list_lives_in_the_address_survives_back_and_is_walked_as_it_is(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("searchbox").fill("dog")
    page.get_by_role("columnheader", name="CIDEr-D").last.get_by_role("button").click()
    listed = clips_shown(page)
    # Captions with a dog: 0, 1, 7 and 9; their scores 0.0, 0.1, 0.17, 0.19. Tags may add others.
    assert [clip for clip in listed if clip in ("clip_0", "clip_1", "clip_7", "clip_9")] == [
        "clip_9", "clip_7", "clip_1", "clip_0"
    ]  # fmt: skip
    assert "q=dog" in page.url and "sort=cider_d.0" in page.url and "dir=desc" in page.url
    page.locator("#table").get_by_role("link", name=listed[0], exact=True).click()
    page.wait_for_selector(".caption")
    assert page.locator("#place").inner_text() == f"1 of {len(listed)} found"
    page.keyboard.press("j")
    page.wait_for_url("**/" + f"{int(listed[1].split('_')[1]):05d}.html*")
    page.keyboard.press("k")
    page.wait_for_url("**/" + f"{int(listed[0].split('_')[1]):05d}.html*")
    for _ in range(3):
        page.go_back()
    page.wait_for_selector("#table")
    assert clips_shown(page) == listed and page.get_by_role("searchbox").input_value() == "dog"
    assert page.locator("#table tr.at th").inner_text() == listed[0]
    # The address alone says the same, in another window.
    page.goto("about:blank")
    page.goto(address + "?q=dog&sort=cider_d.0&dir=asc")
    assert clips_shown(page) == listed[::-1]


def test_a_bar_of_the_histogram_and_a_tag_are_filters_that_can_be_taken_away(window, address):
    page = window.page
    page.goto(address)
    bar = page.locator("a[data-filter][href*='in=cider_d:']").last
    low = float(bar.get_attribute("href").split(":")[1])
    bar.dispatch_event("click")
    assert clips_shown(page) == ["clip_4"] and low <= 200  # its score is 2.0, alone up there
    page.get_by_role("button", name="Take away the filter").click()
    assert len(clips_shown(page)) == 11
    row = page.locator("#tags tbody tr").first
    row.get_by_role("link").click()
    assert len(clips_shown(page)) == int(row.locator("td").first.inner_text())
    page.go_back()
    assert len(clips_shown(page)) == 11


def test_a_click_on_the_time_axis_plays_from_there_and_a_cell_plays_its_stretch(window, address):
    page = window.page
    page.goto(address.replace("index", "clips/00009"))  # 10 s of sound, rows to 10.56 s
    view = page.locator(".view")
    extent = float(view.get_attribute("data-extent"))
    box = page.locator(".picture").bounding_box()
    page.evaluate(
        "() => { window.at = []; document.querySelector('.view audio')"
        ".addEventListener('seeked', event => window.at.push(event.target.currentTime)); }"
    )
    page.locator(".picture").click(position={"x": 6.6 / extent * box["width"], "y": 20})
    page.wait_for_function("window.at.length > 0")
    assert page.evaluate("window.at[0]") == pytest.approx(6.6, abs=extent / box["width"] + 0.01)
    page.wait_for_function("!document.querySelector('.view audio').paused")
    # The tick that says 6 stands at 6 s of the axis.
    tick = page.locator(".clock span", has_text="6").first.bounding_box()
    assert (tick["x"] - box["x"]) / box["width"] * extent == pytest.approx(6, abs=0.05)
    # The third cell of a lane is 1.92 to 2.88 s: heard, and no more than that.
    page.evaluate("window.at = []")
    page.locator(".tags .strip").first.locator("[role=cell]").nth(2).click()
    page.wait_for_function("window.at.length > 1 && document.querySelector('.view audio').paused")
    begin, end = page.evaluate("[window.at[0], window.at.at(-1)]")
    assert begin == pytest.approx(1.92, abs=0.2)  # it has gone on when it is asked where it is
    assert end == pytest.approx(2.88, abs=0.01)
    assert page.locator(".cursor").is_visible()
    assert not window.errors


def test_space_plays_and_plus_zooms(window, address):
    page = window.page
    page.goto(address.replace("index", "clips/00009"))
    page.keyboard.press(" ")
    page.wait_for_function("!document.querySelector('.view audio').paused")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('.view audio').paused")
    before = page.locator(".picture").bounding_box()["width"]
    page.keyboard.press("+")
    assert page.locator(".picture").bounding_box()["width"] > 1.5 * before
    clock, picture = (page.locator(name).bounding_box() for name in (".clock", ".picture"))
    assert clock["width"] == picture["width"]


def test_copied_sounds_play_where_the_report_is_taken(window, tmp_path, tiny_clips, tiny_features):
    captions = {"clip_2": CAPTIONS[2]}
    folder = write_evaluation(tmp_path / "test", captions, tiny_clips, [0.5])
    (tmp_path / "dump" / "test").mkdir(parents=True)
    write_sound(tmp_path / "dump" / "test" / "clip_2.wav", seconds=10)
    sources = Sources(features=tiny_features, audio=tmp_path / "dump", copy_audio=True)
    build_report([folder], tmp_path / "out", sources)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    (tmp_path / "dump").rename(tmp_path / "gone")
    window.page.goto((tmp_path / "elsewhere" / "clips" / "00000.html").as_uri())
    assert seconds_of_sound(window.page) == pytest.approx(10, abs=0.05)
    assert window.page.locator(".silent").is_hidden()


def seconds_of_sound(page):
    """What the player says when it has read the file; -1 where it cannot."""
    return page.locator(".view audio").evaluate(
        "audio => new Promise(done => { audio.onloadedmetadata = () => done(audio.duration);"
        " audio.onerror = () => done(-1); audio.load(); audio.preload = 'metadata'; })"
    )


def test_a_clip_opens_and_shows_what_the_model_looked_at(window, address):
    page = window.page
    page.goto(address)
    page.locator("#table").get_by_role("link", name="clip_1", exact=True).click()
    page.wait_for_selector(".caption")
    assert caption(page) == CAPTIONS[1]
    page.locator(".word").nth(1).hover()
    assert page.locator(".lane.on").count() == 1
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
    page.locator("#table").get_by_role("link", name="clip_2", exact=True).click()
    assert seconds_of_sound(page) == pytest.approx(10, abs=0.01)
    assert page.locator(".silent").is_hidden()


def test_the_keyboard_alone_searches_sorts_opens_and_switches(window, address):
    page = window.page
    page.goto(address)
    page.get_by_role("searchbox").focus()
    page.keyboard.type("speaks")
    assert clips_shown(page) == ["clip_2", "clip_4"]
    for _ in range(20):  # the region that scrolls, then the headings
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "CIDEr-D":
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert clips_shown(page) == ["clip_2", "clip_4"]
    page.keyboard.press("Tab")  # the last heading
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".caption")
    assert caption(page) == CAPTIONS[2].replace(",", " ,")
    page.get_by_role("radio", name="score").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="chance of being drawn").is_checked()
    assert page.locator(".strip b").first.is_visible()
    page.locator(".word").first.focus()
    assert page.locator(".word.on").count() == 1


def test_two_systems_stand_side_by_side_with_their_difference(window, compared):
    page = window.page
    page.goto(compared)
    first = page.locator("#examples .card").first  # where they differ most
    assert first.locator("a").get_attribute("href") == "clips/00004.html"
    page.get_by_role("columnheader", name="Difference").get_by_role("button").click()
    order = clips_shown(page)
    assert (order[0], order[-1]) == ("clip_0", "clip_4")
    window.picture("report-compared-index")
    page.locator("#table").get_by_role("link", name="clip_4", exact=True).click()
    page.wait_for_selector(".system")
    left, right = (item.bounding_box() for item in page.locator(".system").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] < right["x"]
    window.picture("report-compared-clip")
    assert not window.errors


@pytest.mark.parametrize(("clip", "same"), [("SGaIvgwwWSE_30", True), ("AAAAAAAAAAA_30", False)])
def test_the_papers_scores_stand_beside_ours_where_the_clip_ids_are_audiocaps(
    window, tmp_path, clip, same
):
    """The first id is of AudioCaps' test split; as many clips of another name are other clips."""
    known = {clip: SimpleNamespace(captions=("rain falls",))}
    folder = write_evaluation(tmp_path / "test", {clip: "rain falls"}, known, [0.5])
    build_report([folder], tmp_path / "out", Sources())
    page = window.page
    page.goto((tmp_path / "out" / "index.html").as_uri())
    theirs = page.get_by_role("row").filter(has_text="human")
    folded = page.get_by_text("The paper's scores, which are about other clips")
    if same:
        assert theirs.first.is_visible() and not folded.count()
        return
    assert not theirs.first.is_visible()
    folded.click()
    assert theirs.first.is_visible()


@pytest.mark.parametrize("report", ["address", "compared"])
@pytest.mark.parametrize("name", ["index", "clip"])
def test_a_phone_needs_no_sideways_scrolling(phone, request, report, name):
    index = request.getfixturevalue(report)
    page = phone.page
    page.goto(index if name == "index" else index.replace("index", "clips/00001"))
    page.wait_for_selector("h1")
    assert phone.fits()
    phone.picture(f"report-{'compared-' * (report == 'compared')}{name}-phone")
    page.evaluate(  # a model that says one word without end
        "for (const node of document.querySelectorAll('.caption, .words > *, main li, .said'))"
        " node.append('o'.repeat(500))"
    )
    assert phone.fits()
    assert not phone.errors
