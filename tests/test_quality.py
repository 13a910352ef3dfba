"""The quality benchmark: its sounds, its figures on videos that are known, and one small run with the real engine."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.quality import __main__ as command
from benchmarks.quality.motion import load_corpora
from benchmarks.quality.pictures import (
    Watcher,
    identity_psnr,
    interior_flicker,
    laplacian_variance,
    measure_pictures,
    obeyed,
    undone_changes,
)
from benchmarks.quality.report import Curve, page, svg, tables, text
from benchmarks.quality.sheets import SHAPES, shape_poses, sheet_of
from benchmarks.quality.singing import SHUT_IOD, measure_singing
from benchmarks.quality.sounds import add_noise, music, pink_noise, speech_level
from benchmarks.quality.video import Film, MouthReader, still
from benchmarks.quality.voices import measure_articulation, measure_voice, measure_voices, read
from lipstream.engines.base import Actor
from lipstream.engines.portrait.engine import PortraitActor
from lipstream.engines.portrait.motion import Motion
from lipstream.face.pose import canonical_face
from lipstream.models.store import ModelStore
from tests.sounds import encoded
from tests.test_measures import curves
from training.prepare import FPS, POINTS, RIGID, SAMPLE_RATE, opening_map
from training.speech import Spoken

SPEECH = slice(6_000, 20_400)
"""0.9 s of the sample sentence, in samples."""


# Sounds


@given(snr=st.floats(-10.0, 40.0), seed=st.integers(0, 9))
def test_noise_is_as_loud_as_asked(snr: float, seed: int) -> None:
    speech = np.sin(np.arange(8_000) / 5).astype(np.float32)
    noise = add_noise(speech, snr, seed) - speech
    assert 20 * np.log10(speech_level(speech) / noise.std()) == pytest.approx(snr, abs=0.1)


def test_a_mouth_that_opens_with_the_sound_is_open_as_long_as_vowels_are_held() -> None:
    def loud(sound: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
        return np.array([np.abs(part).max() for part in np.array_split(sound, frames)], np.float64)

    def ajar_at_most(sound: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
        return np.minimum(loud(sound, frames), 0.9 * SHUT_IOD)

    for figures in measure_singing(loud).values():
        assert figures.shut_alone == figures.shut_in_a_row == 0.0
        assert figures.opens_for_aa > 0.05
    for figures in measure_singing(ajar_at_most).values():
        assert figures.shut_alone == figures.shut_in_a_row == 1.0


def test_pauses_do_not_count_for_the_level() -> None:
    tone = np.sin(np.arange(8_000) / 5).astype(np.float32)
    assert speech_level(np.append(tone, np.zeros(8_000, np.float32))) == pytest.approx(speech_level(tone), rel=0.02)


def test_pink_noise_falls_by_three_decibels_per_octave() -> None:
    power = np.abs(np.fft.rfft(pink_noise(1 << 17, 0.1).astype(np.float64))) ** 2
    octaves = [10 * np.log10(power[1 << k : 2 << k].mean()) for k in range(10, 15)]
    assert np.diff(octaves) == pytest.approx([-3.0] * 4, abs=0.5)


def test_music_has_a_beat_and_no_pause() -> None:
    sound = music(4.0, 0.1)
    assert sound.std() == pytest.approx(0.1, rel=1e-3)
    level = np.sqrt((sound.reshape(-1, 800).astype(np.float64) ** 2).mean(axis=1))
    assert level.min() > 0.02
    beats = np.abs(np.fft.rfft(level - level.mean()))
    assert np.argmax(beats) % 8 == 0  # 2 per second or a multiple, in four seconds


# Clips


def write_corpus(folder: Path, audio: NDArray[np.float32]) -> None:
    """One made clip of three seconds: the canonical face, 100 pixels between its eyes, speaking :func:`curves`."""
    frames = len(audio) * FPS // SAMPLE_RATE
    points = [*POINTS, *RIGID]
    moved = np.zeros((frames, len(points), 3))
    moved[:, : len(POINTS)] = curves(np.arange(frames) / FPS).reshape(frames, -1, 3)
    pixels = 200 + 100 * (canonical_face()[points] + moved)
    (folder / "audio").mkdir(parents=True)
    (folder / "audio" / "one_a.flac").write_bytes(encoded(audio[:, None], SAMPLE_RATE, "flac", "flac"))
    np.savez(
        folder / "landmarks.npz",
        names=np.array(["one_a"]),
        start=np.array([0, frames]),
        points=np.array(points),
        xyz=np.round(64 * pixels).astype(np.int16),
        scale=64,
    )


def test_clips_are_read_back(tmp_path: Path) -> None:
    audio = pink_noise(2 * SAMPLE_RATE, 0.05)
    write_corpus(tmp_path / "mine", audio)
    (tmp_path / "not_clips").mkdir()
    ((name, (clip,)),) = load_corpora(tmp_path).items()
    assert name == "mine"
    assert clip.audio == pytest.approx(audio, abs=1e-4)
    opening = clip.raw.reshape(len(clip.raw), -1) @ opening_map()
    expected = curves(np.arange(50) / FPS) @ opening_map()
    assert np.corrcoef(opening, expected)[0, 1] > 0.999
    assert np.ptp(opening) == pytest.approx(np.ptp(expected), rel=0.02)


def test_a_folder_without_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"landmarks\.npz"):
        load_corpora(tmp_path)


# Pictures


@given(gain=st.floats(0.3, 2.0), offset=st.floats(-0.005, 0.005))
def test_what_was_asked_for_and_what_is_seen(gain: float, offset: float) -> None:
    asked = np.maximum(0.0, 0.1 * np.sin(np.arange(60) / 3))
    r, slope, shut = obeyed(asked, gain * asked + offset)
    assert r == pytest.approx(1.0)
    assert slope == pytest.approx(gain)
    assert shut == 1.0
    assert obeyed(asked, gain * asked + 0.05)[2] == 0.0
    assert obeyed(None, asked) == (None, None, None)


def test_blur_lowers_the_sharpness(astronaut: NDArray[np.uint8]) -> None:
    box = (slice(100, 200), slice(150, 250))
    blurred = np.asarray(cv2.GaussianBlur(astronaut, (0, 0), 1.5), np.uint8)
    assert laplacian_variance(blurred, box) < 0.3 * laplacian_variance(astronaut, box)


@pytest.fixture(scope="module")
def watcher(small_actor: Actor, store: ModelStore) -> Watcher:
    return Watcher(small_actor, MouthReader.load(store, small_actor.avatar.face), seconds=0.6)


def test_a_still_film_is_identical_and_touches_nothing(small_actor: Actor) -> None:
    unmoved = still(small_actor, 5)
    assert not unmoved.touched.any()
    assert identity_psnr(unmoved, unmoved) == pytest.approx(100.0)
    assert sum(1 for _ in unmoved.frames()) == 5


def test_damage_outside_the_mouth_is_seen(small_actor: Actor) -> None:
    class Brighter(Film):
        def frames(self):  # type: ignore[no-untyped-def]
            return (np.minimum(frame, 250) + np.uint8(4) for frame in super().frames())

    unmoved = still(small_actor, 3)
    assert identity_psnr(Brighter(unmoved.mp4, unmoved.touched, []), unmoved) == pytest.approx(36.1, abs=0.5)


def test_figures_of_a_speaking_portrait(watcher: Watcher, sample_speech: NDArray[np.float32]) -> None:
    """Loose bounds: that figures are measured, not how good they are, is tested."""
    figures = measure_pictures(watcher, sample_speech[SPEECH])
    assert figures.command_r is not None
    assert figures.command_r > 0.8
    assert figures.command_gain is not None
    assert 0.6 < figures.command_gain < 1.6
    assert abs(figures.rest_gap_iod) < 0.03
    assert figures.silence_jitter_iod < 0.003
    assert 0.2 < figures.sharpness < 5
    assert figures.identity_psnr_db > 40
    json.dumps(vars(figures))


def test_flicker_is_seen_only_while_the_lips_hold(watcher: Watcher, sample_speech: NDArray[np.float32]) -> None:
    spoken = watcher.watch(sample_speech[SPEECH])
    widest = int(spoken.opening.argmax())
    held = type(spoken)(
        spoken.film,
        np.repeat(spoken.landmarks[widest : widest + 1], len(spoken.landmarks), axis=0),
        np.repeat(spoken.moved[widest : widest + 1], len(spoken.moved), axis=0),
    )
    everything, measured = interior_flicker(watcher, held), interior_flicker(watcher, spoken)
    assert len(everything) == len(spoken.moved) - 1
    assert len(measured) < len(everything)
    assert max(everything) > 5


def test_what_the_next_frame_takes_back_is_undone() -> None:
    inside = [np.ones((4, 4), bool)] * 5
    parted = np.full((5, len(POINTS) * 3), 1.0) * opening_map()
    opening, flashing = (
        [np.full((4, 4), level, np.float32) for level in levels] for levels in ((0, 9, 18, 27, 36), (9, 9, 30, 12, 12))
    )
    assert undone_changes(opening, inside, parted) == [0, 0, 0]
    assert undone_changes(flashing, inside, parted) == [0, 18, 0]
    assert undone_changes(flashing, inside, 0 * parted) == []


def test_sheet_shows_every_shape(small_actor: Actor, sample_speech: NDArray[np.float32]) -> None:
    assert isinstance(small_actor, PortraitActor)
    poses = dict(shape_poses(small_actor, sample_speech))
    assert list(poses) == [shape.label for shape in SHAPES]
    assert (poses["rest"] == poses["M"]).mean() > 0.99
    assert np.abs(poses["AA"].astype(int) - poses["OO"]).max() > 40
    assert sheet_of(small_actor, sample_speech[SPEECH]).shape == (4 * 220, 6 * 220, 3)


# The report


RESULTS = {
    "engine": "portrait",
    "video": {},
    "pictures": {"a <b>": {"sharpness": 0.9, "command_r": None}},
    "s1": {"opening_r": 0.91234, "component_r": (0.9, 0.5)},
    "silence_jitter_iod": 0.00012,
}


class Links(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Of any tag."""
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]


def test_page_stands_alone() -> None:
    curve = Curve("x", np.linspace(0, 0.2, 75), np.linspace(0.1, 0, 75))
    html = page(RESULTS, {"a <b>": np.zeros((8, 8, 3), np.uint8)}, [curve])
    links = Links()
    links.feed(html)
    assert len(links.loads) == 1
    assert links.loads[0].startswith("data:image/webp;base64,")
    assert "a &lt;b&gt;" in html
    assert "0.912" in html


def test_curves_have_every_frame() -> None:
    drawn = svg(Curve("x", np.linspace(0, 0.2, 75), np.linspace(0.1, 0, 50)))
    counts = [line.split('"')[0].count(",") for line in drawn.split('points="')[1:]]
    assert counts == [75, 50]


def test_tables_leave_empty_parts_out() -> None:
    assert list(tables(RESULTS)) == ["Motion, against what was filmed", "Pictures", "All"]
    assert [text(value) for value in (None, 0.01234, 1.23456, 54.321, 7)] == ["–", "0.0123", "1.235", "54.3", "7"]


def test_the_whole_command(
    tmp_path: Path,
    sample_speech: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From a folder of clips to tables, report and JSON, through the real engine; short sounds."""
    write_corpus(tmp_path / "grid_others", sample_speech[6_000:38_000])
    report = tmp_path / "report.html"
    monkeypatch.setattr(command, "QUICK_SECONDS", 0.4)
    monkeypatch.setattr("sys.argv", ["quality", "--data", str(tmp_path), "--quick", "--json", "--html", str(report)])
    command.main()
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert results["others"].keys() >= {"opening_r", "width_r", "jaw_r", "closures", "lag_frames", "amplitude"}
    assert results["others"]["clips"] == results["video"]["others"]["clips"] == 1
    assert results["others"]["bilabials_hit"] is None
    # What is seen in the video is what the model said, but for what the engine adds (its gain, room for the tongue) and
    # for the face's own reach.
    assert results["video"]["others"]["amplitude"] == pytest.approx(results["others"]["amplitude"], rel=1.0)
    assert results["silence_jitter_iod"] < 0.003
    assert 0 < results["render_ms_512"] < results["render_ms_1080p"]
    assert report.read_text().count("<svg") == 1
    assert report.stat().st_size < 1_000_000


def test_missing_clips_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["quality", "--data", str(tmp_path), "--quick"])
    with pytest.raises(SystemExit, match=r"No folder in .* has a landmarks\.npz"):
        command.main()


# Voices


def test_lips_that_touch_where_they_should() -> None:
    """A mouth that knows the phones hits all of b, p and m; one that never closes hits none and shuts no vowel."""
    phones = (
        ("SIL", 0.0, 0.2),
        ("AA", 0.2, 0.6),
        ("M", 0.6, 0.72),
        ("AA", 0.72, 1.2),
        ("B", 1.2, 1.32),
        ("EY", 1.32, 1.8),
    )
    line = Spoken(np.full(32_000, 0.01, np.float32), (*phones, ("SIL", 1.8, 2.0)))
    opens = opening_map() / (opening_map() @ opening_map())

    def knows(_: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
        times = np.arange(frames) / FPS
        closed = [any(p in "M B SIL" and start <= t < end for p, start, end in line.phones) for t in times]
        return np.where(np.array(closed)[:, None], 0.0, 0.2 * opens)

    def gapes(_: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
        return (0.2 + 0.01 * np.sin(np.arange(frames)))[:, None] * opens

    right, wrong = measure_voice(knows, [line]), measure_voice(gapes, [line])
    assert (right.bilabials, right.bilabials_hit, right.vowels, right.vowels_shut) == (2, 1.0, 3, 0.0)
    assert right.bilabials_chance < 0.5
    assert right.noisy_r == pytest.approx(1.0)
    assert (wrong.bilabials_hit, wrong.bilabials_chance, wrong.vowels_shut) == (0.0, 0.0, 0.0)


def test_teeth_that_bite_where_they_should() -> None:
    """Teeth that bite for v alone are right; ones that bite all the time are seen, and wrong everywhere else."""
    phones = (("SIL", 0.0, 0.4), ("V", 0.4, 0.52), ("AA", 0.52, 0.8), ("N", 0.8, 1.2), ("EY", 1.2, 1.6))
    line = Spoken(np.full(25_600, 0.01, np.float32), phones)

    def figures(start: float, end: float) -> tuple[int, float, float]:
        """Of teeth that bite in this time."""

        times = np.arange(40) / FPS
        bite, zero = ((times > start) & (times < end)).astype(np.float32), np.zeros(40, np.float32)
        motion = Motion(np.zeros((40, 10), np.float32), zero, bite, zero, zero)
        found = measure_articulation([motion], [line], "lip_bite")
        return found.phones, found.seen, found.wrong

    assert figures(0.42, 0.5) == (1, 1.0, 0.0)
    assert figures(-1, 2) == (1, 1.0, 1.0)
    assert figures(0, 0) == (1, 0.0, 0.0)


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs Debian's flite package")
def test_flite_tells_the_phones_of_what_it_reads() -> None:
    line = read("slt", "Bob may.")
    assert [phone for phone, _, _ in line.phones] == ["SIL", "B", "AA", "B", "M", "EY", "SIL"]
    assert line.phones[-1][2] == pytest.approx(len(line.audio) / 16_000, abs=0.01)


def test_without_flite_there_are_no_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert measure_voices(lambda _, frames: np.zeros((frames, 183))) == {}
