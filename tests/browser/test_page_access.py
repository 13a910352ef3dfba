"""The page for everybody: keyboard, screen readers, contrast, small screens, little motion, no foreign code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import Watched
from tests.browser.steps import PATIENCE_MS, assert_plays, make_it_speak
from tests.live_server import LiveServer

pytestmark = pytest.mark.browser

ACCESSIBILITY = Path(__file__).with_name("accessibility.js").read_text(encoding="utf-8")


def test_keyboard_only(page: Page, portrait: Path, short_speech: Path) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.locator(selector).evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"{selector} cannot be reached with the Tab key")

    # Chromium is told to hand its file dialogs over when somebody listens; a listener from the start leaves no race.
    page.on("filechooser", lambda _: None)
    tab_to(".skip")
    tab_to("#picture-file")
    ring = page.locator("label[for=picture-file]").evaluate("label => getComputedStyle(label).outlineStyle")
    assert ring == "solid", "the focus is visible"
    with page.expect_file_chooser() as picker:
        page.keyboard.press("Enter")
    picker.value.set_files(portrait)
    expect(page.locator("#picture-about")).to_contain_text("phone photo.jpg")
    tab_to("#seek")
    page.keyboard.press("ArrowRight")
    tab_to("#speech-file")
    with page.expect_file_chooser() as picker:
        page.keyboard.press("Enter")
    picker.value.set_files(short_speech)
    expect(page.locator("#speech-about")).to_contain_text("short.wav")
    tab_to("#go")
    page.keyboard.press("Enter")
    expect(page.locator("#video")).to_be_focused(timeout=PATIENCE_MS)
    assert_plays(page)
    tab_to("#download")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(page: Page, short_speech: Path, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(ACCESSIBILITY) == []
    page.set_input_files("#speech-file", FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"no sound"))
    expect(page.locator("#speech-error")).not_to_be_empty()
    assert page.evaluate(ACCESSIBILITY) == []
    page.set_input_files("#speech-file", short_speech)
    make_it_speak(page)
    assert page.evaluate(ACCESSIBILITY) == []


def test_accessibility_check_can_fail(page: Page) -> None:
    page.evaluate("document.querySelector('label[for=speech-file]').remove()")
    page.evaluate("document.querySelector('.lede').style.color = '#bbbbbb'")
    problems = page.evaluate(ACCESSIBILITY)
    assert "<input id=speech-file> has no name" in problems
    assert any("contrast" in problem for problem in problems)


def test_reduced_motion(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.evaluate("document.querySelector('#working').hidden = false")
    assert page.locator("#progress").evaluate("bar => getComputedStyle(bar).animationName") == "none"


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 2560])
def test_nothing_overflows(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for button in ("#picture-file + label", "#speech-file + label", "#record", "#go"):
        box = page.locator(button).bounding_box()
        assert box is not None
        assert box["height"] >= 40, "large enough for a finger"
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_description_for_programs_fits(page: Page, server: LiveServer, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(server.url("/docs"))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size") == page.evaluate(
        "document.querySelectorAll('[id]').length"
    )
    assert page.locator("#\\/v1\\/avatars\\#image").evaluate("input => input.labels.length") == 1


def test_page_forbids_foreign_and_inline_code(page: Page, watched: Watched) -> None:
    """The policy stands in the page itself, so it holds whatever serves it."""
    ran = page.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.head.append(script);
          await fetch("https://example.org/").catch(() => null);
          return window.ran === true;
        }"""
    )
    assert not ran
    assert len(watched.console_errors) >= 2
    assert all("Content Security Policy" in error for error in watched.console_errors)
    watched.console_errors.clear()
    watched.foreign_requests.clear()
