"""The file: box order, edit lists, lengths, and that players find sound and picture together."""

from __future__ import annotations

import gc
import io
import itertools
import math
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.media.audio import Recording, open_recording
from lipstream.media.clock import frame_count, frame_rate
from lipstream.media.encode import Encoding, playback_rate
from lipstream.media.mux import TalkingVideo
from tests.mp4 import boxes, tracks
from tests.sounds import chirp, pcm16, wav

QUICK = Encoding(preset="ultrafast")
FRAME_RATES = [1, 12.5, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60]


def recording_of(samples: int, rate: int, channels: int = 1) -> Recording:
    return open_recording(wav(pcm16(chirp(samples, rate, channels)), rate, channels), max_seconds=700)


def grey(level: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def talking(recording: Recording, fps: Fraction, encoding: Encoding = QUICK) -> bytes:
    """A file in which frame k is a patch of its own grey."""
    video = TalkingVideo(grey(128), fps, recording, encoding)
    done = heard = 0
    for block in recording.blocks():
        video.add_audio(block)
        heard += len(block)
        while done + 1 < frame_count(heard, recording.sample_rate, fps):
            video.add_frame(Patch(16, 16, grey(done * 5 % 256, 16, 16)))
            done += 1
    for _ in range(frame_count(heard, recording.sample_rate, fps) - done):
        video.add_frame(Patch(16, 16, grey(done * 5 % 256, 16, 16)))
        done += 1
    return video.finish()


def sound_of(data: bytes) -> NDArray[np.float32]:
    """(n, channels) as a player hears it: decoded, with the edit list applied at both ends."""
    with av.open(io.BytesIO(data)) as file:
        pcm: NDArray[np.float32] = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1).T
        rate = file.streams.audio[0].sample_rate
    return pcm[: round(tracks(data)["soun"].duration * rate)]


def lag(sound: NDArray[np.float32], reference: NDArray[np.float32], rate: int) -> float:
    """By how many seconds ``sound`` comes after ``reference``, to a fraction of a sample."""
    size = 4 * (len(sound) + len(reference))
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(reference, size))
    cross = np.fft.irfft(spectrum, 8 * size)
    best = int(np.argmax(cross))
    return (best if best < 4 * size else best - 8 * size) / 8 / rate


def test_index_is_in_front_and_points_into_the_data() -> None:
    data = talking(recording_of(44_100, 44_100), Fraction(25))
    order = [box.kind for box in boxes(data)]
    assert order[:2] == ["ftyp", "moov"]
    assert set(order[2:]) <= {"free", "mdat"}
    media = next(box for box in boxes(data) if box.kind == "mdat")
    for track in tracks(data).values():
        assert all(media.offset < offset < len(data) for offset in track.chunk_offsets)


@pytest.mark.parametrize("fps", FRAME_RATES)
@pytest.mark.parametrize(("samples", "rate"), [(44_100, 44_100), (61_234, 48_000), (3_333, 8_000), (70_000, 96_000)])
def test_both_tracks_start_at_zero_and_end_together(fps: float, samples: int, rate: int) -> None:
    exact = frame_rate(fps)
    recording = recording_of(samples, rate)
    data = talking(recording, exact)
    video, audio = tracks(data)["vide"], tracks(data)["soun"]
    tick = Fraction(1, playback_rate(rate))

    assert len(video.sample_durations) == frame_count(samples, rate, exact)
    assert set(video.sample_durations) == {1 / exact}
    assert video.start == 0
    assert not video.has_composition_offsets
    assert abs(video.duration - len(video.sample_durations) / exact) <= tick

    assert audio.start == 1_024 * tick  # the encoder's priming, and nothing else, is left out
    assert 0 <= audio.duration - recording.duration < tick
    assert sum(audio.sample_durations) >= audio.start + audio.duration

    assert -tick < video.duration - audio.duration <= 1 / exact + tick


@pytest.mark.parametrize("fps", [23.976, 25, 29.97, 60])
def test_frames_appear_when_the_clock_says(fps: float) -> None:
    exact = frame_rate(fps)
    with av.open(io.BytesIO(talking(recording_of(88_200, 44_100), exact))) as file:
        stream = file.streams.video[0]
        assert stream.average_rate == exact
        times = [frame.pts * stream.time_base for frame in file.decode(stream) if stream.time_base]
    assert times == [index / exact for index in range(len(times))]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_the_recording_and_starts_with_it(rate: int, channels: int) -> None:
    pcm = chirp(rate, rate, channels)
    data = talking(recording_of(rate, rate, channels), Fraction(25))
    sound = sound_of(data)
    out_rate = playback_rate(rate)
    assert sound.shape == (out_rate, channels)
    time = np.arange(out_rate) / out_rate
    for channel in range(channels):
        reference = np.interp(time, np.arange(rate) / rate, pcm[:, channel]).astype(np.float32)
        assert abs(lag(sound[:, channel], reference, out_rate)) < 0.000_1
        assert np.corrcoef(sound[:, channel], reference)[0, 1] > 0.98


@pytest.mark.parametrize(
    ("rate", "playback"), [(44_100, 44_100), (48_000, 48_000), (22_050, 44_100), (88_200, 44_100), (8_000, 48_000),
                           (16_000, 48_000), (96_000, 48_000), (12_345, 48_000)],
)  # fmt: skip
def test_rates_for_playing(rate: int, playback: int) -> None:
    assert playback_rate(rate) == playback


@given(st.integers(1, 9_000), st.sampled_from([8_000, 22_050, 44_100, 96_000]), st.sampled_from(FRAME_RATES))
@settings(max_examples=40, deadline=None)
def test_any_length(samples: int, rate: int, fps: float) -> None:
    exact = frame_rate(fps)
    data = talking(recording_of(samples, rate), exact)
    video, audio = tracks(data)["vide"], tracks(data)["soun"]
    frames = frame_count(samples, rate, exact)
    with av.open(io.BytesIO(data)) as file:
        assert sum(1 for _ in file.decode(video=0)) == frames == len(video.sample_durations)
    assert len(sound_of(data)) == math.ceil(Fraction(samples * playback_rate(rate), rate))
    assert abs(video.duration - audio.duration) <= 1 / exact + Fraction(1, playback_rate(rate))


def test_key_frames_every_two_seconds() -> None:
    data = talking(recording_of(7 * 16_000, 16_000), frame_rate(29.97))
    syncs = tracks(data)["vide"].sync_samples
    assert syncs[0] == 1
    assert all(later - earlier <= 60 for earlier, later in itertools.pairwise(syncs))


def test_sound_and_picture_lie_close_together_in_the_file() -> None:
    """A player that reads from the front always has both streams: their chunks alternate at least once a second."""
    data = talking(recording_of(10 * 16_000, 16_000), Fraction(25))
    found = tracks(data)
    order = sorted([(at, kind) for kind, track in found.items() for at in track.chunk_offsets])
    changes = sum(first[1] != second[1] for first, second in itertools.pairwise(order))
    assert changes >= 10


def test_silence_and_clipping_survive() -> None:
    loud = np.sign(chirp(16_000, 16_000))
    for pcm in (np.zeros((16_000, 1), np.float32), loud):
        recording = open_recording(wav(pcm16(pcm), 16_000), max_seconds=10)
        sound = sound_of(talking(recording, Fraction(25)))
        assert len(sound) == 48_000
        assert (np.abs(sound).max() < 1e-3) == (pcm.max() == 0)


@pytest.mark.parametrize("frames", [0, 1, 40])
def test_a_video_left_unfinished_leaves_nothing_behind(frames: int) -> None:
    """The caller went away: dropping the object is enough."""
    recording = recording_of(16_000, 16_000)
    video = TalkingVideo(grey(99), Fraction(25), recording, QUICK)
    for block in recording.blocks():
        video.add_audio(block)
    for _ in range(frames):
        video.add_frame(None)
    del video
    gc.collect()
    assert talking(recording, Fraction(25))


def test_a_file_of_many_buffers_is_whole() -> None:
    """Several megabytes are moved to make room for the index. Lossless, so that a single wrong byte shows."""
    recording = recording_of(16_000, 16_000)
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(25)]
    video = TalkingVideo(noise[0], Fraction(25), recording, Encoding(preset="ultrafast", crf=0))
    for pixels in noise:
        video.add_frame(Patch(0, 0, pixels))
    for block in recording.blocks():
        video.add_audio(block)
    data = video.finish()
    assert len(data) > 2_000_000
    with av.open(io.BytesIO(data)) as file:
        shown = [frame.to_ndarray()[:240] for frame in file.decode(video=0)]
    for pixels, luma in zip(noise, shown, strict=True):
        np.testing.assert_array_equal(luma, cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420)[:240])


def test_frames_may_come_long_before_or_after_the_sound() -> None:
    recording = recording_of(16_000, 16_000)
    files = []
    for sound_first in (True, False):
        video = TalkingVideo(grey(99), Fraction(25), recording, QUICK)
        if sound_first:
            for block in recording.blocks():
                video.add_audio(block)
        for index in range(25):
            video.add_frame(Patch(0, 0, grey(index * 10, 16, 16)))
        if not sound_first:
            for block in recording.blocks():
                video.add_audio(block)
        files.append(tracks(video.finish()))
    assert files[0]["vide"].sample_durations == files[1]["vide"].sample_durations
    assert files[0]["soun"].duration == files[1]["soun"].duration == 1


def test_the_same_input_gives_the_same_file() -> None:
    recording = recording_of(20_000, 22_050, 2)
    assert talking(recording, Fraction(25)) == talking(recording, Fraction(25))
