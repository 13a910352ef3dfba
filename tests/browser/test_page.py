"""The page, used as people use it, in headless Chromium against the real server."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.steps import PATIENCE_MS, SPEECH_SECONDS, assert_plays, choose, make_it_speak, video
from tests.live_server import LiveServer, wait_until
from tests.media import noisy_vowels, wav_bytes

pytestmark = pytest.mark.browser

DROP = """([selector, files]) => {
  const carried = new DataTransfer();
  for (const {name, type, data} of files) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    carried.items.add(new File([bytes], name, {type}));
  }
  const target = document.querySelector(selector);
  for (const event of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(event, {bubbles: true, cancelable: true, dataTransfer: carried}));
  }
}"""
PASTE = """({name, type, data}) => {
  const carried = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  carried.items.add(new File([bytes], name, {type}));
  document.dispatchEvent(new ClipboardEvent("paste", {bubbles: true, clipboardData: carried}));
}"""
RECORD_ANNOUNCEMENTS = """() => {
  window.announced = [];
  const region = document.querySelector("#announcer");
  new MutationObserver(() => window.announced.push(region.textContent)).observe(region, {childList: true});
}"""
PICTURE_AT = """async (time) => {
  const video = document.querySelector("#video");
  video.pause();
  const seeked = new Promise((resolve) => video.addEventListener("seeked", resolve, {once: true}));
  video.currentTime = time;
  await seeked;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [60, 64];
  const brush = canvas.getContext("2d");
  brush.drawImage(video, 0, 0, 60, 64);
  return [...brush.getImageData(0, 0, 60, 8).data];
}"""
SHOWN_PICTURE = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const video = document.querySelector("#video");
  const brush = canvas.getContext("2d");
  brush.drawImage(video, 0, 0, 8, 8);
  return [...brush.getImageData(0, 0, 8, 8).data];
}"""


def carried(path: Path, kind: str) -> dict[str, str]:
    """A file as :data:`DROP` and :data:`PASTE` take it."""
    return {"name": path.name, "type": kind, "data": base64.b64encode(path.read_bytes()).decode()}


def long_recording(path: Path, seconds: int = 60) -> Path:
    """Enough work to be interrupted."""
    path.write_bytes(wav_bytes(noisy_vowels(seconds), 16_000))
    return path


def test_from_upload_to_a_playing_video(page: Page, portrait: Path, short_speech: Path, tmp_path: Path) -> None:
    choose(page, portrait, short_speech)
    # The picture lies on its side in the file; EXIF says so, the browser and the server both heed it.
    expect(page.locator("#picture-about")).to_contain_text("241 × 257")
    make_it_speak(page)

    assert (video(page, "videoWidth"), video(page, "videoHeight")) == (242, 258)
    assert video(page, "duration") == pytest.approx(SPEECH_SECONDS, abs=0.05)
    assert_plays(page)
    expect(page.locator("#result-about")).to_contain_text("1.0 seconds, 242 × 258")

    shown = np.array(page.evaluate(SHOWN_PICTURE), np.float64).reshape(8, 8, 4)[..., :3]
    with Image.open(portrait) as picture:
        upright = picture.transpose(Image.Transpose.ROTATE_270).resize((8, 8), Image.Resampling.BOX)
    assert np.abs(shown - np.asarray(upright)).mean() < 16

    with page.expect_download() as download:
        page.get_by_role("link", name="Download the video").click()
    assert download.value.suggested_filename == "phone photo-speaking.mp4"
    download.value.save_as(tmp_path / "saved.mp4")
    with av.open(str(tmp_path / "saved.mp4")) as container:
        assert len(list(container.decode(video=0))) == 25
        assert container.streams.audio


def test_sample_is_one_click_away(page: Page) -> None:
    expect(page.locator("#server-words")).to_have_text("Ready")
    assert page.locator("#portrait").evaluate("image => image.naturalWidth") == 512
    make_it_speak(page)
    assert_plays(page)
    # The browser's own controls, which cannot be asked, show whole seconds that have passed: 6 of 6.9.
    assert 6.5 < video(page, "duration") < 7
    expect(page.locator("#player-time")).to_have_text("0:06")


def test_video_and_picture_can_be_switched_and_a_second_video_made(
    page: Page, portrait: Path, short_speech: Path
) -> None:
    choose(page, portrait, short_speech)
    make_it_speak(page)
    page.get_by_role("button", name="Picture", exact=True).click()
    expect(page.locator("#video")).to_be_hidden()
    assert video(page, "paused")
    page.get_by_role("button", name="Video", exact=True).click()
    expect(page.locator("#video")).to_be_visible()

    page.locator("#picture-sample").click()
    expect(page.locator("#video")).to_be_hidden()
    make_it_speak(page)
    assert video(page, "videoWidth") == 512
    expect(page.locator("#download")).to_have_attribute("download", "astronaut-speaking.mp4")


def test_progress_is_shown_in_frames(page: Page, portrait: Path, tmp_path: Path) -> None:
    choose(page, portrait, long_recording(tmp_path / "long.wav", seconds=15))
    page.evaluate(RECORD_ANNOUNCEMENTS)
    page.locator("#go").click()
    expect(page.locator("#working-words")).to_have_text(re.compile(r"Drawing frame \d+ of 375"), timeout=PATIENCE_MS)
    bar = page.get_by_role("progressbar")
    assert bar.get_attribute("max") == "375"
    first = float(bar.evaluate("bar => bar.value"))
    wait_until(lambda: bar.evaluate("bar => bar.value") > first, "the bar moves")
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE_MS)
    announced = page.evaluate("window.announced")
    assert announced[0] == "Started"
    assert announced[-1] == "Your video is ready: 15.0 seconds."
    assert 3 <= len(announced) <= 6, "a screen reader hears quarters, not every frame"


def test_files_are_dropped(page: Page, portrait: Path, short_speech: Path) -> None:
    picture, recording = carried(portrait, "image/jpeg"), carried(short_speech, "audio/wav")
    page.evaluate(DROP, ["h1", [picture, recording]])
    expect(page.locator("#picture-about")).to_contain_text("phone photo.jpg · 241 × 257")
    expect(page.locator("#speech-about")).to_contain_text("short.wav · 1.0 seconds")
    make_it_speak(page)
    assert_plays(page)


def test_files_of_no_known_kind_go_where_they_are_dropped(page: Page, short_speech: Path) -> None:
    unknown = carried(short_speech, "") | {"name": "voice.amr"}
    page.evaluate(DROP, ["#stage", [unknown]])
    expect(page.locator("#picture-about")).to_contain_text("voice.amr")
    expect(page.locator("#stage-empty")).to_be_visible()
    page.evaluate(DROP, ["#speech-title", [unknown]])
    expect(page.locator("#speech-about")).to_contain_text("voice.amr")
    page.evaluate(DROP, ["h1", [unknown]])
    expect(page.locator("#make-error")).to_contain_text("voice.amr could be either")
    page.evaluate(DROP, ["h1", [unknown | {"name": "notes.txt", "type": "text/plain"}]])
    expect(page.locator("#make-error")).to_contain_text("notes.txt is a document")


def test_a_clip_speaks(page: Page, clip: Path, short_speech: Path) -> None:
    choose(page, clip, short_speech)
    expect(page.locator("#picture-about")).to_have_text(re.compile(r"^swaying\.mp4 · 240 × 256, 1\.0 seconds, \d+ KB$"))
    expect(page.locator("#portrait")).to_be_visible()
    assert page.locator("#portrait").evaluate("image => image.naturalWidth") == 240
    make_it_speak(page)
    expect(page.locator("#result-about")).to_contain_text("240 × 256")
    assert_plays(page)
    # Its background moves, which that of a picture does not.
    corners = [page.evaluate(PICTURE_AT, time) for time in (0.1, 0.8)]
    assert np.abs(np.subtract(*corners)).max() > 8


def test_videos_are_clips_on_the_picture_and_recordings_elsewhere(page: Page, clip: Path) -> None:
    video = carried(clip, "video/mp4")
    page.evaluate(DROP, ["#stage", [video]])
    expect(page.locator("#picture-about")).to_contain_text("swaying.mp4")
    expect(page.locator("#speech-about")).not_to_contain_text("swaying.mp4")
    page.evaluate(DROP, ["h1", [video | {"name": "interview.mp4"}]])
    expect(page.locator("#speech-about")).to_contain_text("interview.mp4")
    expect(page.locator("#picture-about")).to_contain_text("swaying.mp4")


def test_picture_is_pasted(page: Page, portrait: Path) -> None:
    page.evaluate(PASTE, carried(portrait, "image/jpeg"))
    expect(page.locator("#picture-about")).to_contain_text("phone photo.jpg · 241 × 257")


def test_microphone(page: Page, portrait: Path) -> None:
    page.set_input_files("#picture-file", portrait)
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("button", name="Stop recording")).to_be_focused()
    meter = page.get_by_role("meter", name="Microphone level")
    wait_until(lambda: int(meter.get_attribute("aria-valuenow") or 0) > 5, "the level meter hears the voice")
    wait_until(lambda: page.inner_text("#recording-time") == "0:02", "two seconds pass")
    page.get_by_role("button", name="Stop recording").click()

    about = page.locator("#speech-about")
    expect(about).to_contain_text(re.compile(r"Your recording 1 · \d\.\d seconds"))
    seconds = float(re.findall(r"(\d\.\d) seconds", about.inner_text())[0])
    assert 1.8 < seconds < 4
    expect(page.get_by_role("button", name="Record again")).to_be_visible()

    page.get_by_role("button", name="Listen").click()
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    wait_until(lambda: float(page.locator("#seek").input_value()) > 0.1, "the recording plays")

    make_it_speak(page)
    expect(page.locator("#play")).to_have_attribute("aria-label", "Listen")
    assert video(page, "duration") == pytest.approx(seconds, abs=0.1)
    assert_plays(page)


def test_button_during_a_recording_stops_it_and_sends_it(page: Page, portrait: Path) -> None:
    page.set_input_files("#picture-file", portrait)
    page.get_by_role("button", name="Record").click()
    wait_until(lambda: page.inner_text("#recording-time") == "0:01", "a second passes")
    make_it_speak(page)
    expect(page.locator("#speech-about")).to_contain_text("Your recording 1")
    assert 0.8 < video(page, "duration") < 4


def test_cancel_stops_the_work(
    page: Page, server: LiveServer, portrait: Path, short_speech: Path, tmp_path: Path
) -> None:
    choose(page, portrait, long_recording(tmp_path / "long.wav"))
    page.locator("#go").click()
    expect(page.locator("#cancel")).to_be_focused()
    expect(page.locator("#working-words")).to_contain_text("Drawing frame", timeout=PATIENCE_MS)
    assert server.metric("lipstream_jobs_running") == 1
    page.keyboard.press("Enter")
    expect(page.locator("#working")).to_be_hidden()
    wait_until(lambda: server.metric("lipstream_jobs_running") == 0, "the server stops working", seconds=5)
    expect(page.locator("#go")).to_be_focused()
    expect(page.locator("#make-error")).to_be_empty()

    page.set_input_files("#speech-file", short_speech)
    make_it_speak(page)
    assert video(page, "duration") == pytest.approx(SPEECH_SECONDS, abs=0.05)
