"""What the page says when something is wrong, and where it says it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, FilePayload, Page, Route, WebSocketRoute, expect

from lipstream.errors import AudioError, ImageError
from lipstream.media.audio import open_recording
from lipstream.media.image import decode_picture
from tests.browser.steps import PATIENCE_MS, assert_plays, choose, make_it_speak
from tests.live_server import LiveServer, wait_until

pytestmark = pytest.mark.browser


def test_microphone_refused(page: Page) -> None:
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError')) }"
    )
    page.get_by_role("button", name="Record").click()
    expect(page.locator("#speech-error")).to_contain_text("not allowed to use the microphone")
    expect(page.locator("#record")).to_be_enabled()


def test_picture_without_a_face(page: Page, short_speech: Path, tmp_path: Path) -> None:
    across, down = np.meshgrid(np.linspace(0, 255, 320), np.linspace(0, 255, 240))
    Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype(np.uint8)).save(tmp_path / "sky.png")
    choose(page, tmp_path / "sky.png", short_speech)
    page.locator("#go").click()
    error = page.locator("#picture-error")
    expect(error).to_contain_text("No face found", timeout=PATIENCE_MS)
    assert len(error.inner_text().split()) > 8, "it says what to do"
    expect(page.locator("#picture-file")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#picture-file")).to_be_focused()
    expect(page.locator("#go")).to_be_visible()

    page.locator("#picture-sample").click()
    expect(error).to_be_empty()
    make_it_speak(page)


def of_no_use(name: str = "notes.txt", kind: str = "text/plain", content: bytes = b"Hello, world!\n") -> FilePayload:
    return FilePayload(name=name, mimeType=kind, buffer=content)


@pytest.mark.parametrize(("name", "kind"), [("notes.txt", "text/plain"), ("notes", ""), ("voice.wav", "audio/wav")])
def test_text_as_speech(page: Page, name: str, kind: str) -> None:
    page.set_input_files("#speech-file", of_no_use(name, kind))
    with pytest.raises(AudioError) as refused:
        open_recording(b"Hello, world!\n", max_seconds=60.0)
    expect(page.locator("#speech-error")).to_have_text(f"This is not a recording: {name}{refused.value.message}")
    expect(page.locator("#speech-file")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#speech-about")).to_contain_text("Sample sentence")


@pytest.mark.parametrize(("name", "kind"), [("notes.txt", "text/plain"), ("notes", ""), ("me.jpg", "image/jpeg")])
def test_text_as_picture(page: Page, name: str, kind: str) -> None:
    """It is refused as soon as it is chosen, in the server's words, and the picture before stays."""
    page.set_input_files("#picture-file", of_no_use(name, kind))
    with pytest.raises(ImageError) as refused:
        decode_picture(b"Hello, world!\n", max_pixels=1_000_000)
    expect(page.locator("#picture-error")).to_have_text(f"This is not a picture: {name}{refused.value.message}")
    expect(page.locator("#picture-file")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#picture-about")).to_contain_text("Sample: astronaut")
    expect(page.locator("#portrait")).to_be_visible()
    make_it_speak(page)
    expect(page.locator("#picture-error")).to_be_empty()


@pytest.mark.parametrize(
    ("file", "region", "words"),
    [
        (of_no_use("me.heic", "image/heic", b"\0\0\0\x18ftypheic"), "#picture-error", "HEIC photos cannot be read."),
        (of_no_use("me.jpg", "image/jpeg", b""), "#picture-error", "The file is empty."),
        (of_no_use("me.svg", "image/svg+xml", b"<svg/>"), "#picture-error", "The picture could not be read."),
        (of_no_use("voice.wav", "audio/wav"), "#picture-error", "The picture could not be read."),
        (of_no_use("voice.wav", "audio/wav", b""), "#speech-error", "The recording is empty: voice.wav"),
        (of_no_use("me.png", "image/png"), "#speech-error", "The recording could not be read."),
    ],
)
def test_what_cannot_be_used_is_refused_when_chosen(page: Page, file: FilePayload, region: str, words: str) -> None:
    page.set_input_files(region.replace("error", "file"), file)
    expect(page.locator(region)).to_contain_text(words)


def test_after_two_refused_at_once_the_picture_before_stays(page: Page) -> None:
    expect(page.locator("#picture-about")).to_contain_text("Sample: astronaut")
    page.evaluate("""() => {
        for (const name of ["one.txt", "two.txt"]) {
            const files = new DataTransfer();
            files.items.add(new File(["Hello, world!"], name, { type: "text/plain" }));
            document.querySelector("#picture-file").files = files.files;
            document.querySelector("#picture-file").dispatchEvent(new Event("change"));
        }
    }""")
    expect(page.locator("#picture-error")).to_contain_text("This is not a picture: two.txt")
    expect(page.locator("#picture-about")).to_contain_text("Sample: astronaut")


def test_a_file_that_cannot_be_read_is_not_passed_over_in_silence(page: Page) -> None:
    """As folders that are dropped, and files that vanish meanwhile."""
    page.evaluate("() => { Blob.prototype.arrayBuffer = () => Promise.reject(new DOMException('', 'NotFoundError')) }")
    page.set_input_files("#speech-file", of_no_use("voice", ""))
    expect(page.locator("#speech-about")).to_contain_text("voice · 14 bytes")
    page.locator("#go").click()
    expect(page.locator("#speech-error")).not_to_be_empty(timeout=PATIENCE_MS)


def test_a_damaged_picture_is_the_servers_to_judge(page: Page) -> None:
    page.set_input_files("#picture-file", of_no_use("me.jpg", "image/jpeg", b"\xff\xd8\xff\xe0 and no more"))
    expect(page.locator("#stage-empty")).to_have_text("Your browser cannot show this file")
    page.locator("#go").click()
    expect(page.locator("#picture-error")).to_contain_text("The picture is incomplete", timeout=PATIENCE_MS)


def test_without_samples_the_page_asks(context: BrowserContext, server: LiveServer) -> None:
    page = context.new_page()
    page.route("**/sample/*", lambda route: route.abort())
    page.goto(server.url("/"))
    page.set_input_files("#picture-file", of_no_use())
    expect(page.locator("#picture-error")).to_contain_text("This is not a picture")
    expect(page.locator("#stage-empty")).to_have_text("No picture yet")
    page.locator("#go").click()
    expect(page.locator("#picture-error")).to_contain_text("Choose one first")


@pytest.mark.parametrize(
    ("limit", "region", "words"),
    [
        ({"max_image_bytes": 10_000}, "#picture-error", "this server takes up to 10 KB"),
        ({"max_image_pixels": 100_000}, "#picture-error", "0.3 megapixels; this server takes up to 0.1"),
        ({"max_audio_seconds": 5}, "#speech-error", "It lasts 6.8 seconds; this server takes up to 5.0"),
        ({"max_message_bytes": 1_000_000}, "#make-error", "this server takes up to 749 KB"),
    ],
)
def test_limits_are_checked_before_sending(
    context: BrowserContext, server: LiveServer, limit: dict[str, int], region: str, words: str
) -> None:
    page = narrowed_page(context, server, limit)
    page.locator("#go").click()
    expect(page.locator(region)).to_contain_text(words)


def narrowed_page(context: BrowserContext, server: LiveServer, limit: dict[str, Any]) -> Page:
    """The page with both samples and the real limits, of which one is made smaller on its way; it may send nothing."""

    def narrowed(route: Route) -> None:
        answer = route.fetch()
        assert limit.keys() <= answer.json().keys()
        route.fulfill(response=answer, json=answer.json() | limit)

    page = context.new_page()
    page.route("**/v1/limits", narrowed)
    page.route_web_socket("**/ws/lipsync", lambda _: pytest.fail("nothing should be sent"))
    page.goto(server.url("/"))
    wait_until(lambda: "512" in page.inner_text("#picture-about"), "the sample portrait is shown")
    wait_until(lambda: "seconds" in page.inner_text("#speech-about"), "the sample speech is loaded")
    return page


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"max_video_bytes": 10_000}, "this server takes up to 10 KB"),
        ({"max_video_pixels": 10_000}, "0.1 megapixels; this server takes up to 0.0"),
        ({"max_video_seconds": 0.4}, "It lasts 1.0 seconds; this server takes up to 0.4"),
    ],
)
def test_limits_of_clips_are_checked_before_sending(
    context: BrowserContext, server: LiveServer, clip: Path, short_speech: Path, limit: dict[str, float], words: str
) -> None:
    page = narrowed_page(context, server, limit)
    choose(page, clip, short_speech)
    page.locator("#go").click()
    expect(page.locator("#picture-error")).to_contain_text(words)


def test_a_clip_that_cannot_be_read(page: Page) -> None:
    page.set_input_files("#picture-file", FilePayload(name="me.mp4", mimeType="video/mp4", buffer=b"no video" * 99))
    expect(page.locator("#stage-empty")).to_have_text("Your browser cannot show this file")
    page.locator("#go").click()
    expect(page.locator("#picture-error")).to_contain_text("This clip cannot be read", timeout=PATIENCE_MS)


def test_button_pressed_before_the_samples_are_there(context: BrowserContext, server: LiveServer) -> None:
    held: list[Route] = []
    page = context.new_page()
    page.route("**/sample/*", lambda route: held.append(route))
    page.goto(server.url("/"))
    page.locator("#go").click()
    page.wait_for_timeout(300)
    assert len(held) == 2
    for route in held:
        route.continue_()
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE_MS)


def test_server_that_starts_slowly_or_not_at_all(context: BrowserContext, server: LiveServer) -> None:
    """The answers of ``/readyz`` while models load, when that failed, and when the server was mended."""
    answers: list[dict[str, str]] = [
        {"status": "loading"},
        {"status": "failed", "code": "model_missing", "message": "Run: lipstream models pull."},
    ]

    def not_yet(route: Route) -> None:
        if answers:
            route.fulfill(status=503, json=answers.pop(0))
        else:
            route.continue_()

    page = context.new_page()
    page.route("**/readyz", not_yet)
    page.goto(server.url("/"))
    words = page.locator("#server-words")
    expect(words).to_have_text("Starting: loading models")
    expect(words).to_have_text("Server has a problem")
    expect(page.locator("#make-error")).to_contain_text("Run: lipstream models pull.")
    expect(words).to_have_text("Ready")
    expect(page.locator("#make-error")).to_be_empty()


def test_lost_connection_is_tried_once_more(
    context: BrowserContext, server: LiveServer, portrait: Path, short_speech: Path
) -> None:
    """The first connection breaks in the middle of the job; the second goes to the real server."""
    connections = itertools.count(1)

    def break_the_first(route: WebSocketRoute) -> None:
        if next(connections) == 1:
            route.on_message(lambda _: route.close(code=1012, reason="restarting"))
        else:
            route.connect_to_server()

    page = context.new_page()
    page.route_web_socket("**/ws/lipsync", break_the_first)
    page.goto(server.url("/"))
    choose(page, portrait, short_speech)
    make_it_speak(page)
    assert next(connections) == 3
    assert_plays(page)


@pytest.mark.parametrize(
    ("code", "words"),
    [(1012, "The connection was lost"), (1009, "too large together"), (1008, "closed the connection")],
)
def test_lost_connections_are_said_in_words(context: BrowserContext, server: LiveServer, code: int, words: str) -> None:
    page = context.new_page()
    page.route_web_socket("**/ws/lipsync", lambda route: route.on_message(lambda _: route.close(code=code, reason="")))
    page.goto(server.url("/"))
    wait_until(lambda: "seconds" in page.inner_text("#speech-about"), "the samples are there")
    page.locator("#go").click()
    expect(page.locator("#make-error")).to_contain_text(words)
    expect(page.locator("#go")).to_be_focused()


def test_errors_about_the_request_stand_at_the_button(context: BrowserContext, server: LiveServer) -> None:
    """It is hard to make the server busy from one page, so its answer is injected into the connection."""

    def busy(route: WebSocketRoute) -> None:
        answer = {"status": "error", "code": "server_busy", "message": "All workers are taken. Try again in 5 seconds."}
        route.on_message(lambda message: route.send(json.dumps(answer | {"id": json.loads(message)["id"]})))

    page = context.new_page()
    page.route_web_socket("**/ws/lipsync", busy)
    page.goto(server.url("/"))
    wait_until(lambda: "seconds" in page.inner_text("#speech-about"), "the samples are there")
    page.locator("#go").click()
    expect(page.locator("#make-error")).to_have_text("The server is busyAll workers are taken. Try again in 5 seconds.")
