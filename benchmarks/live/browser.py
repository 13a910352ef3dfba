"""What a person in front of Chromium sees of it: ``static/lipstream.js`` in a page of the server, headless."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.live.ground import CHUNK_SECONDS, Server, percentiles

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
FLAGS += ["--autoplay-policy=no-user-gesture-required"]

SCRIPT = Path(__file__).with_name("browser.js")


def browser_latencies(server: Server, rounds: int) -> dict[str, Any]:
    """``browser_first_frame_ms`` and ``browser_barge_in_ms``; :class:`RuntimeError` where there is no browser."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise RuntimeError("needs playwright, from the extra dev") from None
    if chromium is None:
        raise RuntimeError("needs chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.goto(server.url("/"))
        times = page.evaluate(SCRIPT.read_text(encoding="utf-8"), {"rounds": rounds, "chunkSeconds": CHUNK_SECONDS})
        browser.close()
    return {
        "browser_first_frame_ms": percentiles([ms / 1000 for ms in times["first"]]),
        "browser_barge_in_ms": percentiles([ms / 1000 for ms in times["rest"]]),
    }
