"""One-shot rendering end to end: real portrait, real speech, the MP4 opened again."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.engines.base import Actor
from lipstream.errors import CancelledError
from lipstream.media.audio import Recording, open_recording
from lipstream.media.clock import frame_count, frame_rate
from lipstream.render import render
from lipstream.session import Session
from tests.media import wav_bytes
from tests.speakers import BrightActor, BrightPerformance


@pytest.mark.parametrize("fps", [1, 12.5, 23.976, 25, 29.97, 30, 50, 60])
def test_frames_and_length_are_exact(small_actor: Actor, sample_speech: NDArray[np.float32], fps: float) -> None:
    rate = frame_rate(fps)
    speech = sample_speech[: int(1.23 * 16_000)]
    mp4 = render(small_actor, open_recording(wav_bytes(speech, 16_000), max_seconds=10), rate)
    with av.open(io.BytesIO(mp4)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        times = [frame.pts * frame.time_base for frame in file.decode(video) if frame.pts is not None]
        assert len(times) == frame_count(len(speech), 16_000, rate)
        assert times[0] == 0
        assert video.duration is not None
        assert video.time_base is not None
        assert audio.duration is not None
        assert audio.time_base is not None
        video_end, audio_end = video.duration * video.time_base, audio.duration * audio.time_base
        assert abs(video_end - audio_end) <= 1 / rate
        assert video.average_rate == rate or len(times) == 1


def test_one_shot_shows_the_frames_of_the_session(small_actor: Actor, sample_speech: NDArray[np.float32]) -> None:
    """The decoded video is the session's frames, up to what the codec loses."""
    speech = sample_speech[8_000:24_000]
    mp4 = render(small_actor, open_recording(wav_bytes(speech, 16_000), max_seconds=10), Fraction(25))
    session = Session(small_actor, sample_rate=16_000, fps=Fraction(25))
    frames = [*session.push(speech), *session.flush()]
    with av.open(io.BytesIO(mp4)) as file:
        shown = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    assert len(shown) == len(frames)
    for picture, frame in zip(shown, frames, strict=True):
        expected = small_actor.avatar.picture.copy()
        height, width = frame.patch.pixels.shape[:2]
        expected[frame.patch.y : frame.patch.y + height, frame.patch.x : frame.patch.x + width] = frame.patch.pixels
        error = float(np.mean((picture.astype(np.float32) - expected) ** 2))
        assert 10 * np.log10(255**2 / error) > 30


def test_silence_shows_a_still_face(small_actor: Actor) -> None:
    session = Session(small_actor, sample_rate=16_000, fps=Fraction(25))
    frames = [*session.push(np.zeros(32_000, np.float32)), *session.flush()]
    first = frames[0].patch.pixels.astype(int)
    assert max(np.abs(frame.patch.pixels - first).max() for frame in frames) <= 2


@pytest.mark.parametrize(("knows_voices", "times"), [(False, 1), (True, 2)])
def test_a_beginning_that_nobody_listens_to_is_not_decoded(
    sample_speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, knows_voices: bool, times: int
) -> None:
    begun: list[Recording] = []
    blocks = Recording.blocks

    def counted(recording: Recording) -> Iterator[NDArray[np.float32]]:
        begun.append(recording)
        return blocks(recording)

    monkeypatch.setattr(Recording, "blocks", counted)
    monkeypatch.setattr(BrightPerformance, "knows_voices", knows_voices)
    render(BrightActor(), open_recording(wav_bytes(sample_speech[:8_000], 16_000), max_seconds=10), Fraction(25))
    assert len(begun) == times


def test_cancelling_stops_the_work_at_once(small_actor: Actor, sample_speech: NDArray[np.float32]) -> None:
    done: list[int] = []
    with pytest.raises(CancelledError):
        render(
            small_actor,
            open_recording(wav_bytes(sample_speech, 16_000), max_seconds=10),
            Fraction(25),
            on_progress=lambda frames, _: done.append(frames),
            cancelled=lambda: len(done) >= 5,
        )
    assert done == [1, 2, 3, 4, 5]


def test_progress_counts_every_frame(small_actor: Actor, sample_speech: NDArray[np.float32]) -> None:
    seen: list[tuple[int, int]] = []
    recording = open_recording(wav_bytes(sample_speech[:16_000], 16_000), max_seconds=10)
    render(small_actor, recording, Fraction(25), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(frame, 25) for frame in range(1, 26)]


_MEASURE = """
    import resource, sys
    from fractions import Fraction
    import cv2, numpy as np
    from lipstream.config import Settings
    from lipstream.studio import Job, Studio
    from tests.media import mp3_bytes, noisy_vowels

    studio = Studio.open(Settings())
    picture = cv2.imread(sys.argv[1])
    portrait = cv2.imencode(".png", cv2.resize(picture, (192, 192), interpolation=cv2.INTER_AREA))[1].tobytes()
    audio = mp3_bytes(noisy_vowels(10.0), 16_000, repeat=int(sys.argv[2]))
    mp4 = studio.render(Job(image=portrait, audio=audio, fps=Fraction(10)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(sample_portrait: Path) -> None:
    """Ten minutes peak within 150 MB of ten seconds, in a process each."""

    def peak_mb(repeat: int) -> int:
        command = [sys.executable, "-c", textwrap.dedent(_MEASURE), str(sample_portrait), str(repeat)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
        return int(done.stdout)

    assert peak_mb(60) - peak_mb(1) < 150
