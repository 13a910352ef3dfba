"""A real server on loopback and headless Chromium on its page.

Every test that uses ``page`` also fails on a console error and on a request to anywhere else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from lipstream.config import Settings
from lipstream.models.store import ModelStore
from tests.clips import moving, video_bytes
from tests.live_server import PATIENCE_SECONDS, LiveServer, running_server, wait_until

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@dataclass
class Watched:
    """What a page did that a test may want to allow: by default nothing may be in these lists at the end."""

    console_errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="package")
def server(store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The real application, with the models of the user's cache and faces of its own."""
    cache = tmp_path_factory.mktemp("cache")
    for file in store.cache.iterdir():
        if file.is_file():
            (cache / file.name).symlink_to(file)
    with running_server(Settings(cache_dir=cache)) as live:
        yield live


@pytest.fixture(scope="session")
def portrait(astronaut: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample portrait's face, 241 × 257 pixels (odd, to be evened by one), lying on its side in the file."""
    path = tmp_path_factory.mktemp("portrait") / "phone photo.jpg"
    upright = Image.fromarray(np.ascontiguousarray(astronaut[:257, 100:341, ::-1]))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn 90° clockwise to see it upright
    upright.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
    return path


@pytest.fixture(scope="session")
def clip(astronaut: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample portrait's face, 240 × 256 pixels, swaying for a second."""
    path = tmp_path_factory.mktemp("clip") / "swaying.mp4"
    path.write_bytes(video_bytes(moving(np.ascontiguousarray(astronaut[:256, 100:340]), 25).pictures))
    return path


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium whose microphone plays the bundled sample again and again; without Chromium the tests are skipped."""
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("LIPSTREAM_REQUIRE_BROWSER"):
            pytest.fail("The browser tests are required here and need Debian's chromium package.")
        pytest.skip("needs Debian's chromium package")
    microphone = files("lipstream").joinpath("assets/sample.wav")
    flags = [*CHROMIUM_FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield context
    context.close()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def page(context: BrowserContext, server: LiveServer, watched: Watched) -> Iterator[Page]:
    """The page, loaded, with both samples in place."""
    page = context.new_page()
    page.on("console", lambda m: watched.console_errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watched.console_errors.append(str(error)))
    local = (server.url("/"), "blob:" + server.url("/"), server.websocket_url("/"))
    page.on("request", lambda r: None if r.url.startswith(local) else watched.foreign_requests.append(r.url))
    page.on("websocket", lambda s: None if s.url.startswith(local) else watched.foreign_requests.append(s.url))
    page.goto(server.url("/"))
    wait_until(lambda: "512" in page.inner_text("#picture-about"), "the sample portrait is shown")
    wait_until(lambda: "seconds" in page.inner_text("#speech-about"), "the sample speech is loaded")
    yield page
    assert watched.console_errors == []
    assert watched.foreign_requests == []
