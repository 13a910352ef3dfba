"""The live view, in headless Chromium against the real server; the microphone plays the sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, FilePayload, Page, WebSocketRoute, expect

from tests.browser.conftest import Watched
from tests.browser.live_steps import expect_state, motion, open_live, start
from tests.browser.steps import PATIENCE_MS
from tests.live_server import LiveServer, wait_until

pytestmark = pytest.mark.browser

ACCESSIBILITY = Path(__file__).with_name("accessibility.js").read_text(encoding="utf-8")
FREED_SECONDS = 10.0
"""Two are expected; a loaded machine may take longer."""
INTERRUPT_SEEN_MS = 400
"""From the press of the button to the first picture at rest on the screen, on a machine that has nothing else to do."""


@pytest.fixture
def live(page: Page) -> Page:
    """The live view with the sample's face chosen."""
    open_live(page)
    return page


def test_mouth_moves_while_speech_plays_and_rests_after(live: Page) -> None:
    start(live)
    assert live.locator("#live-video").evaluate("video => [video.videoWidth, video.videoHeight]") == [512, 512]
    live.get_by_role("button", name="Send the sample speech").click()
    expect_state(live, "Speaking")
    speaking = motion(live)
    wait_until(lambda: live.inner_text("#live-latency").endswith("ms"), "the latency is shown")
    wait_until(lambda: live.inner_text("#live-buffer").endswith("ms"), "the buffer is shown")
    expect_state(live, "Waiting for speech")
    live.wait_for_timeout(300)
    resting = motion(live)
    assert speaking > 2 * resting
    assert speaking > 1


def test_layout_stays_while_the_state_changes(live: Page, portrait: Path) -> None:
    """On a telephone: what is below the buttons is where it was, and the level is red only while it is listened to."""
    live.set_viewport_size({"width": 390, "height": 844})
    live.set_input_files("#live-picture-file", portrait)
    expect(live.locator("#live-face-about")).to_contain_text("phone photo.jpg", timeout=PATIENCE_MS)
    boxes = [live.locator(button).bounding_box() for button in ("#live-picture-file + label", "#face-remove")]
    assert len({box and box["y"] for box in boxes}) == 1, "Remove is beside the other button"
    idle = level_colour(live)
    below = live.evaluate("document.querySelector('#live-talk').offsetTop")
    start(live)
    assert live.evaluate("document.querySelector('#live-talk').offsetTop") == below
    assert level_colour(live) == idle
    live.locator("#talk").hover()
    live.mouse.down()
    assert level_colour(live) != idle
    live.mouse.up()
    assert level_colour(live) == idle


def level_colour(page: Page) -> str:
    return str(page.locator("#live-wave").evaluate("path => getComputedStyle(path).fill"))


def test_interrupt_is_seen_at_once(live: Page) -> None:
    """The least of some attempts: what the view and the stream need, whatever else the machine does."""
    start(live)
    seen = []
    for _ in range(4):
        live.get_by_role("button", name="Send the sample speech").click()
        expect_state(live, "Speaking")
        live.wait_for_timeout(500)
        seen.append(
            live.evaluate(
                """() => new Promise((resolve) => {
                  const state = document.querySelector("#live-state");
                  const pressed = performance.now();
                  new MutationObserver(() => {
                    if (state.dataset.state === "interrupted") resolve(performance.now() - pressed);
                  }).observe(state, {attributes: true});
                  document.querySelector("#interrupt").click();
                })"""
            )
        )
        live.wait_for_timeout(200)
        assert motion(live) < 2
        expect_state(live, "Waiting for speech")
    assert min(seen) < INTERRUPT_SEEN_MS, seen
    assert not live.locator("#live-video").evaluate("video => video.muted"), "the sound is back"


def test_hold_to_talk(live: Page) -> None:
    start(live)
    talk = live.get_by_role("button", name="Hold to talk")
    talk.hover()
    live.mouse.down()
    expect(live.locator("#talk")).to_have_attribute("aria-pressed", "true")
    expect_state(live, "Speaking")
    assert motion(live) > 1
    live.mouse.up()
    expect(live.locator("#talk")).to_have_attribute("aria-pressed", "false")
    expect_state(live, "Waiting for speech")

    live.locator("#talk").focus()
    live.keyboard.down("Space")
    expect_state(live, "Speaking")
    live.keyboard.up("Space")
    expect_state(live, "Waiting for speech")


def test_hands_free(live: Page) -> None:
    start(live)
    live.locator("#mode-free").click()
    live.get_by_role("button", name="Listen to me").click()
    expect_state(live, "Speaking")
    wait_until(lambda: float(live.locator("#live-level").get_attribute("aria-valuenow") or 0) > 5, "the level moves")
    live.get_by_role("button", name="Stop listening").click()
    expect_state(live, "Waiting for speech")


def test_picture_is_added_and_spoken_to_while_live(live: Page, portrait: Path) -> None:
    start(live)
    live.set_input_files("#live-picture-file", portrait)
    expect(live.locator("#live-face-about")).to_contain_text("phone photo.jpg", timeout=PATIENCE_MS)
    expect(live.locator("#faces input")).to_have_count(2)
    expect(live.locator("#live-stage")).to_have_attribute("data-shows", "video", timeout=PATIENCE_MS)
    expect_state(live, "Waiting for speech")
    size = live.locator("#live-video").evaluate("video => [video.videoWidth, video.videoHeight]")
    assert size == [242, 258]
    live.get_by_role("button", name="Remove this face").click()
    expect(live.locator("#faces input")).to_have_count(1)
    expect(live.locator("#live-face-about")).to_contain_text("Sample")


def test_a_clip_is_added(live: Page, clip: Path) -> None:
    live.set_input_files("#live-picture-file", clip)
    expect(live.locator("#live-face-about")).to_contain_text("swaying.mp4 · 240 × 256", timeout=PATIENCE_MS)
    wait_until(lambda: live.locator("#live-portrait").evaluate("image => image.naturalWidth") == 240, "its thumbnail")


def test_leaving_the_view_ends_the_conversation(live: Page) -> None:
    start(live)
    live.locator("#mode-free").click()
    live.locator("#talk").click()
    live.get_by_role("tab", name="Video").click()
    expect(live.locator("#go")).to_be_visible()
    live.get_by_role("tab", name="Live").click()
    expect_state(live, "Not started")
    expect(live.locator("#talk")).to_have_attribute("aria-pressed", "false")


def test_closed_tab_frees_its_place(context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    page.goto(server.url("/#live"))
    expect(page.locator("#live-face-about")).to_contain_text("512 × 512", timeout=PATIENCE_MS)
    start(page)
    page.locator("#live-sample").click()
    expect_state(page, "Speaking")
    assert server.metric("lipstream_live_sessions") == 1
    page.close()
    wait_until(lambda: server.metric("lipstream_live_sessions") == 0, "the place is free", FREED_SECONDS)


def test_without_media_source_it_is_drawn(context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    page.add_init_script("delete window.MediaSource; delete window.ManagedMediaSource")
    page.goto(server.url("/#live"))
    expect(page.locator("#live-face-about")).to_contain_text("512 × 512", timeout=PATIENCE_MS)
    start(page)
    expect(page.locator("#live-stage canvas")).to_be_visible()
    expect(page.locator("#live-video")).to_be_hidden()
    page.locator("#live-sample").click()
    expect_state(page, "Speaking")
    speaking = motion(page)
    page.locator("#interrupt").click()
    expect_state(page, "Interrupted")
    expect_state(page, "Waiting for speech")
    assert speaking > 2 * motion(page)
    page.locator("#live-stop").click()
    expect(page.locator("#live-stage canvas")).to_have_count(0)


def test_managed_media_source(context: BrowserContext, server: LiveServer) -> None:
    """Chromium's own under the name that iPhones know; AirPlay has to be off for it."""
    page = context.new_page()
    page.add_init_script("window.ManagedMediaSource = window.MediaSource; delete window.MediaSource")
    page.goto(server.url("/#live"))
    expect(page.locator("#live-face-about")).to_contain_text("512 × 512", timeout=PATIENCE_MS)
    start(page)
    assert page.locator("#live-video").evaluate("video => video.disableRemotePlayback && video.videoWidth") == 512


Between = Callable[[WebSocketRoute, WebSocketRoute], None]


@pytest.fixture
def behind(context: BrowserContext, server: LiveServer) -> Callable[[Between], Page]:
    """Opens the live view with something between it and the server."""

    def open_behind(between: Between) -> Page:
        page = context.new_page()
        page.route_web_socket("**/ws/stream", lambda route: between(route, route.connect_to_server()))
        page.goto(server.url("/"))
        open_live(page)
        return page

    return open_behind


def test_lost_connection_comes_back(behind: Callable[[Between], Page]) -> None:
    routes: list[WebSocketRoute] = []
    page = behind(lambda route, _: routes.append(route))
    start(page)
    page.locator("#live-sample").click()
    expect_state(page, "Speaking")
    routes[0].close(code=1012, reason="restarting")
    expect(page.locator("#live-state")).to_have_text("Connection lost. Trying again", timeout=PATIENCE_MS)
    expect_state(page, "Waiting for speech")
    expect(page.locator("#live-stage")).to_have_attribute("data-shows", "video", timeout=PATIENCE_MS)
    assert len(routes) == 2
    page.locator("#live-sample").click()
    expect_state(page, "Speaking")
    assert motion(page) > 1


def test_gap_in_the_media_is_jumped_over(behind: Callable[[Between], Page]) -> None:
    """As when the server drops fragments for a slow receiver."""
    fragments = [0]

    def drop_some(route: WebSocketRoute, server: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            fragments[0] += isinstance(message, bytes)
            if isinstance(message, str) or not 60 < fragments[0] <= 110:
                route.send(message)

        server.on_message(pass_on)

    page = behind(drop_some)
    start(page)
    time = "video => video.currentTime"
    wait_until(lambda: page.locator("#live-video").evaluate(time) > 4.5, "it plays after the gap")
    first = page.locator("#live-video").evaluate(time)
    wait_until(lambda: page.locator("#live-video").evaluate(time) > first + 0.5, "it goes on playing")
    assert not page.locator("#live-video").evaluate("video => video.paused")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("session_idle", "Nobody spoke for a while"),
        ("server_busy", "The server is busy"),
        ("receiver_too_slow", "The connection is too slow"),
    ],
)
def test_server_errors_are_said_in_words(behind: Callable[[Between], Page], code: str, words: str) -> None:
    """These are hard to provoke from one page, so they are injected into the connection."""

    def answer(route: WebSocketRoute, _: WebSocketRoute) -> None:
        route.send(f'{{"type": "error", "code": "{code}", "message": "Try again later.", "fatal": true}}')
        route.close(code=1008, reason=code)

    page = behind(answer)
    page.locator("#live-start").click()
    expect(page.locator("#live-error")).to_have_text(f"{words}Try again later.", timeout=PATIENCE_MS)
    expect_state(page, "Not started")
    expect(page.locator("#live-start")).to_be_visible()


def test_other_errors_are_said_where_they_belong(live: Page, watched: Watched) -> None:
    notes = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"Hello, world!\n")
    live.set_input_files("#live-picture-file", notes)
    expect(live.locator("#live-face-error")).to_contain_text("This is not a picture", timeout=PATIENCE_MS)
    watched.console_errors.clear()  # the browser notes the server's status 422 there
    start(live)
    expect(live.locator("#live-face-error")).to_be_empty()
    live.set_input_files("#live-speech-file", notes)
    expect(live.locator("#live-talk-error")).to_contain_text("cannot read notes.txt", timeout=PATIENCE_MS)
    live.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError')) }"
    )
    live.locator("#mode-free").click()
    live.locator("#talk").click()
    expect(live.locator("#live-talk-error")).to_contain_text("not allowed to use the microphone")
    expect(live.locator("#talk")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(live: Page, scheme: Any) -> None:
    live.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert live.evaluate(ACCESSIBILITY) == []
    start(live)
    expect(live.locator("#talk")).to_be_focused()
    assert live.evaluate(ACCESSIBILITY) == []
    live.set_input_files("#live-speech-file", FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"no"))
    expect(live.locator("#live-talk-error")).not_to_be_empty(timeout=PATIENCE_MS)
    assert live.evaluate(ACCESSIBILITY) == []
    live.locator("#live-sample").click()
    expect_state(live, "Speaking")
    assert live.locator("#live-state .dot").evaluate("dot => getComputedStyle(dot).animationName") == "none"
    assert live.evaluate(ACCESSIBILITY) == []


def test_tabs_with_the_keyboard(page: Page) -> None:
    page.locator("#tab-clip").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-live")).to_be_focused()
    expect(page.locator("#tab-live")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#view-live")).to_be_visible()
    expect(page.locator("#view-clip")).to_be_hidden()
    assert page.url.endswith("/#live")
    page.keyboard.press("Home")
    expect(page.locator("#view-clip")).to_be_visible()
    assert page.locator("#tab-live").evaluate("tab => tab.tabIndex") == -1


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 2560])
def test_nothing_overflows(live: Page, width: int) -> None:
    live.set_viewport_size({"width": width, "height": 800})
    assert live.evaluate("document.documentElement.scrollWidth") == width
    for button in ("#tab-live", "#live-start", "#talk", "#interrupt", "#live-speech-file + label"):
        box = live.locator(button).bounding_box()
        assert box is not None
        assert box["height"] >= (32 if button == "#tab-live" else 40), "large enough for a finger"
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
