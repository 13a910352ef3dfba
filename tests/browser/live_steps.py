"""What people do in the live view, for the tests."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.steps import PATIENCE_MS

# How much the mouth of the sample portrait moves: mean difference of its pixels (0 to 255) 120 ms apart, in a second.
MOUTH_MOTION = """async () => {
  const screen = document.querySelector("#live-stage canvas") ?? document.querySelector("#live-video");
  const width = screen.videoWidth ?? screen.width;
  const height = screen.videoHeight ?? screen.height;
  const copy = new OffscreenCanvas(48, 48).getContext("2d", {willReadFrequently: true});
  const mouth = () => {
    copy.drawImage(screen, 0.37 * width, 0.25 * height, 0.11 * width, 0.11 * height, 0, 0, 48, 48);
    return copy.getImageData(0, 0, 48, 48).data;
  };
  let sum = 0;
  let last = mouth();
  for (let i = 0; i < 8; i++) {
    await new Promise((resolve) => setTimeout(resolve, 120));
    const next = mouth();
    sum += next.reduce((total, value, k) => total + Math.abs(value - last[k]), 0) / next.length / 8;
    last = next;
  }
  return sum;
}"""


def open_live(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#live-face-about")).to_contain_text("512 × 512", timeout=PATIENCE_MS)


def start(page: Page) -> None:
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#live-stage")).to_have_attribute("data-shows", "video", timeout=PATIENCE_MS)
    expect_state(page, "Waiting for speech")


def expect_state(page: Page, words: str) -> None:
    expect(page.locator("#live-state")).to_have_text(words, timeout=PATIENCE_MS)


def motion(page: Page) -> float:
    return float(page.evaluate(MOUTH_MOTION))
