"""The library ``lipstream.js``, as pages of other people use it, in headless Chromium against the real server."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.live_server import wait_until

pytestmark = pytest.mark.browser

# Collects what the player of a test tells, with the time on the page.
PLAYER = """async ([options, unmuted]) => {
  const {LipstreamPlayer} = await import(new URL("lipstream.js", location));
  const portrait = await (await fetch("sample/portrait")).blob();
  const form = new FormData();
  form.append("image", portrait, "astronaut.png");
  const {id} = await (await fetch("v1/avatars", {method: "POST", body: form})).json();
  const video = document.createElement("video");
  video.muted = !unmuted;
  document.querySelector("#view-clip").replaceChildren(video);
  const player = new LipstreamPlayer(video, "ws/stream", {avatar: id, ...options});
  window.player = player;
  window.told = [];
  const speech = ["speechstarted", "speechended", "speechinterrupted"];
  for (const type of ["ready", "picture", ...speech, "stats", "muted", "reconnecting", "error", "closed"]) {
    player.addEventListener(type, ({detail}) => window.told.push({type, detail, code: detail?.code}));
  }
  await player.connect();
}"""


def told(page: Page, kind: str) -> list[Any]:
    """Facts of the events of one type so far."""
    return [event["detail"] for event in page.evaluate("window.told") if event["type"] == kind]


def wait_for(page: Page, kind: str, number: int = 1) -> Any:
    wait_until(lambda: len(told(page, kind)) >= number, f"the player tells {kind}")
    return told(page, kind)[number - 1]


def speak(page: Page, seconds: float = 2.0, rate: int = 24_000) -> None:
    """Speak the beginning of the sample, again and again if need be, with the player of a test."""
    page.evaluate(
        """async ([seconds, rate]) => {
          const file = await (await fetch("sample/speech")).arrayBuffer();
          const sound = (await new OfflineAudioContext(1, 1, rate).decodeAudioData(file)).getChannelData(0);
          const pcm = Float32Array.from({length: seconds * rate}, (_, i) => sound[i % sound.length]);
          window.player.speak(pcm, rate);
          window.player.end();
        }""",
        [seconds, rate],
    )


def test_player_tells_what_is_seen(page: Page) -> None:
    page.evaluate(PLAYER, [{}, False])
    wait_for(page, "picture")
    speak(page, seconds=2, rate=24_000)
    started = wait_for(page, "speechstarted")
    ended = wait_for(page, "speechended")
    assert started["utterance"] == ended["utterance"] == 1
    assert started["latency_ms"] > 0
    assert ended["duration_ms"] == pytest.approx(2000, abs=40)
    assert ended["at_ms"] - started["at_ms"] == pytest.approx(2000, abs=200)
    speak(page, seconds=20)
    wait_for(page, "speechstarted", 2)
    page.wait_for_timeout(1000)
    page.evaluate("window.player.interrupt()")
    cut = wait_for(page, "speechinterrupted")
    assert cut["utterance"] == 2
    assert 0 < cut["heard_ms"] <= cut["played_ms"] < 15_000
    page.evaluate("window.player.close()")
    wait_for(page, "closed")
    assert told(page, "error") == []
    assert not page.evaluate("window.player.speak(new Float32Array(10))")


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"faceIndex": 0, "seed": 7}, None),
        ({"faceIndex": 5}, "face_index_out_of_range"),
        ({"seed": -1}, "bad_field"),
    ],
)
def test_player_asks_for_a_face_and_a_seed(page: Page, options: dict[str, int], answer: str | None) -> None:
    assert page.evaluate(f"(given) => ({PLAYER})(given).catch((error) => error.code)", [options, False]) == answer


def test_player_returns_to_the_live_edge(page: Page) -> None:
    """A little behind it plays faster; far behind, where that would take half a minute, it skips."""
    page.evaluate(PLAYER, [{}, False])
    wait_for(page, "picture")
    speak(page, seconds=40)
    wait_for(page, "speechstarted")
    page.wait_for_timeout(3_500)
    faster = page.evaluate(
        """async () => {
          const video = window.player.element;
          video.currentTime -= 0.4;
          for (let i = 0; i < 100; i++) {
            await new Promise((resolve) => setTimeout(resolve, 20));
            if (video.playbackRate > 1.02) return true;
          }
          return false;
        }"""
    )
    assert faster
    page.wait_for_timeout(1_600)  # it does not skip twice in a moment
    behind = page.evaluate(
        """async () => {
          const video = window.player.element;
          const edge = () => video.buffered.end(video.buffered.length - 1) - video.currentTime;
          video.currentTime -= 3;
          await new Promise((resolve) => video.addEventListener("seeked", resolve, {once: true}));
          const far = edge();
          const begin = performance.now();
          while (edge() > 1.5 && performance.now() - begin < 6000) await new Promise((r) => setTimeout(r, 20));
          return [far, edge()];
        }"""
    )
    assert behind[0] > 2.5
    assert behind[1] < 1.5
    page.evaluate("window.player.close()")


def test_player_sends_no_more_than_the_server_can_hold(page: Page) -> None:
    page.evaluate(PLAYER, [{"sampleRate": 16_000, "queueSeconds": 100}, False])
    wait_for(page, "picture")
    speak(page, seconds=90, rate=16_000)
    assert (
        page.evaluate(
            "() => { try { window.player.speak(new Int16Array(16000 * 80)) } catch (error) { return error.code } }"
        )
        == "queue_full"
    )
    wait_for(page, "stats", 3)
    stats = told(page, "stats")
    assert max(report["buffered_ms"] for report in stats) <= 62_000
    assert max(report["waiting_ms"] for report in stats) > 80_000
    page.evaluate("window.player.interrupt()")
    wait_for(page, "speechinterrupted")
    count = len(told(page, "stats"))
    assert wait_for(page, "stats", count + 1)["waiting_ms"] == 0


def test_player_without_a_click_plays_silently_and_says_so(page: Page) -> None:
    page.evaluate(
        """() => {
          const play = HTMLMediaElement.prototype.play;
          HTMLMediaElement.prototype.play = function () {
            return this.muted ? play.call(this) : Promise.reject(new DOMException("", "NotAllowedError"));
          };
        }"""
    )
    page.evaluate(PLAYER, [{}, True])
    wait_for(page, "muted")
    wait_for(page, "picture")
    video = page.locator("#view-clip video")
    assert video.evaluate("video => video.muted")
    wait_until(lambda: video.evaluate("video => video.currentTime") > 0.5, "it plays")
    page.evaluate("window.player.unmute()")
    assert not video.evaluate("video => video.muted")


def test_player_hears_why_it_cannot_start(page: Page) -> None:
    code = page.evaluate(
        """async () => {
          const {LipstreamPlayer} = await import(new URL("lipstream.js", location));
          const player = new LipstreamPlayer(document.createElement("video"), "ws/stream", {avatar: "0".repeat(32)});
          return await player.connect().then(() => "connected", (error) => error.code);
        }"""
    )
    assert code == "avatar_unknown"


def test_resampling_in_chunks_keeps_a_tone(page: Page) -> None:
    """Largest difference to the ideal tone, whatever the chunks and the rates."""
    worst = page.evaluate(
        """async () => {
          const {Resampler} = await import(new URL("lipstream-pcm.js", location));
          const tone = (rate, i) => Math.sin((2 * Math.PI * 440 * i) / rate);
          let worst = 0;
          for (const [from, to] of [[24000, 48000], [44100, 48000], [48000, 16000], [8000, 11025]]) {
            const resampler = new Resampler(from, to);
            const made = [];
            for (let at = 0, size = 1; at < from; at += size, size = (size * 7) % 911) {
              made.push(...resampler.push(Float32Array.from({length: size}, (_, i) => tone(from, at + i))));
            }
            for (let i = 100; i < to * 0.9; i++) worst = Math.max(worst, Math.abs(made[i] - tone(to, i)));
          }
          return worst;
        }"""
    )
    assert worst < 0.002


def test_ear_cuts_speech_into_utterances(page: Page) -> None:
    """Two words with a second of room noise around them: two utterances, each with what came just before it."""
    heard = page.evaluate(
        """async () => {
          const {Ear} = await import(new URL("live-microphone.js", location));
          const utterances = [];
          let length = 0;
          const ear = new Ear((samples) => (length += samples.length), () => {
            utterances.push(length / 48000);
            length = 0;
          });
          const play = (seconds, level) => {
            for (let k = 0; k < seconds * 50; k++) {
              ear.push(Float32Array.from({length: 960}, (_, i) => level * Math.sin(i / 7)), 48000);
            }
          };
          for (const word of [0.5, 0.8]) {
            play(1.5, 0.003);
            play(word, 0.2);
          }
          play(1.5, 0.003);
          return utterances;
        }"""
    )
    assert heard == pytest.approx([0.5 + 0.7 + 0.2, 0.8 + 0.7 + 0.2], abs=0.1)
