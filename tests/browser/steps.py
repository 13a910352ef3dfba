"""What people do on the page, for the tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.live_server import PATIENCE_SECONDS, wait_until

PATIENCE_MS = PATIENCE_SECONDS * 1000
SPEECH_SECONDS = 1.0
"""Length of the fixture ``short_speech``."""


def choose(page: Page, portrait: Path, speech: Path) -> None:
    page.set_input_files("#picture-file", portrait)
    page.set_input_files("#speech-file", speech)
    expect(page.locator("#picture-about")).to_contain_text(portrait.name)
    expect(page.locator("#speech-about")).to_contain_text(re.compile(r"seconds|min"))


def make_it_speak(page: Page) -> None:
    """Press the button and wait for the video."""
    page.get_by_role("button", name="Make it speak").click()
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE_MS)


def video(page: Page, attribute: str) -> Any:
    return page.locator("#video").evaluate(f"video => video.{attribute}")


def assert_plays(page: Page) -> None:
    """The video on the stage advances by itself and shows frames."""
    wait_until(lambda: video(page, "currentTime") > 0.3, "currentTime advances")
    assert video(page, "getVideoPlaybackQuality().totalVideoFrames") > 2
