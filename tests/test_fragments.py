"""Live media: fragments with right times, decodable at once, in sync; JPEG packets with exactly their samples."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.media.fragments import FragmentWriter, JpegWriter, MediaPacket
from tests.mp4 import Box, boxes

SIDE = 64
RATES = [(25, 16_000), (Fraction(30_000, 1001), 48_000), (60, 8_000), (1, 44_100), (Fraction(24_000, 1001), 11_025)]


def picture() -> NDArray[np.uint8]:
    """A smooth grey-blue square."""
    return np.full((SIDE, SIDE, 3), (120, 100, 100), np.uint8)


def flash(bright: bool) -> Patch:
    """A patch that is either white or the picture's own colour."""
    return Patch(16, 16, np.full((32, 32, 3), 255 if bright else 100, np.uint8))


def sound(index: int, rate: int, fps: Fraction, loud: bool, channels: int = 1) -> NDArray[np.int16]:
    """The samples of a frame: a tone or silence."""
    first, last = int(index * rate / fps), int((index + 1) * rate / fps)
    tone = np.sin(2 * np.pi * 1000 * np.arange(first, last) / rate) * (12_000 if loud else 0)
    return np.repeat(tone.astype(np.int16)[:, None], channels, axis=1)


def written(fps: Fraction, rate: int, frames: int, *, keys: tuple[int, ...] = ()) -> tuple[bytes, list[MediaPacket]]:
    """A stream that flashes and beeps together, in one frame of ten."""
    writer = FragmentWriter(picture(), fps, sample_rate=rate, channels=1)
    packets = [writer.write(flash(k % 10 == 9), sound(k, rate, fps, k % 10 == 9), key=k in keys) for k in range(frames)]
    return writer.head, packets


@dataclass(frozen=True)
class Run:
    """What a fragment says of one track."""

    time: int
    durations: list[int]
    sizes: list[int]
    flags: list[int]
    offset: int


def runs(fragment: bytes) -> dict[int, Run]:
    """By track; fails where the fragment is not one moof and one mdat, complete in themselves."""
    moof, mdat = boxes(fragment)
    assert (moof.kind, mdat.kind) == ("moof", "mdat")
    found = {}
    end = mdat.offset + 8
    for traf in [box for box in moof.inside() if box.kind == "traf"]:
        tfhd, tfdt, trun = (child_of(traf, kind) for kind in ("tfhd", "tfdt", "trun"))
        assert tfhd.numbers("I", 0) == (0x020000,), "offsets count from this moof"
        assert trun.numbers("I", 0) == (0x000701,)
        count, offset = trun.numbers("II")
        entries = list(struct.iter_unpack(">III", trun.body[12:]))
        assert len(entries) == count > 0
        durations, sizes, flags = (list(column) for column in zip(*entries, strict=True))
        found[tfhd.numbers("I")[0]] = Run(tfdt.numbers("Q")[0], durations, sizes, flags, offset)
        assert offset == end, "runs follow one another"
        end += sum(sizes)
    assert end == len(fragment), "and fill the mdat"
    return found


def child_of(box: Box, kind: str) -> Box:
    """``Box.find`` opens only the containers of a plain file."""
    return next(child for child in boxes(box.body) if child.kind == kind)


def timescales(head: bytes) -> list[int]:
    """Ticks per second of each track."""
    moov = next(box for box in boxes(head) if box.kind == "moov")
    return [box.find("mdia/mdhd").numbers("III")[2] for box in moov.inside() if box.kind == "trak"]


def decode_video(data: bytes) -> list[tuple[Fraction, bool]]:
    """(time, whether it flashes) of each frame."""
    with av.open(io.BytesIO(data)) as file:
        return [
            (Fraction(frame.pts or 0) * frame.time_base, frame.to_ndarray(format="gray")[32, 32] > 180)
            for frame in file.decode(video=0)
            if frame.time_base
        ]


def decode_audio(data: bytes) -> tuple[int, NDArray[np.float32]]:
    """(rate, samples); the first sample is at time 0."""
    with av.open(io.BytesIO(data)) as file:
        frames = list(file.decode(audio=0))
        assert frames[0].pts == 0
        return frames[0].sample_rate, np.concatenate([frame.to_ndarray()[0] for frame in frames])


@pytest.mark.parametrize(("fps", "rate"), RATES)
def test_every_sample_has_its_duration_and_its_place(fps: Fraction, rate: int) -> None:
    fps = Fraction(fps)
    head, packets = written(fps, rate, 50)
    video_scale, audio_scale = timescales(head)
    audio_time = 0
    for k, packet in enumerate(packets):
        tracks = runs(packet.data)
        video = tracks[1]
        assert Fraction(video.time, video_scale) == k / fps
        assert [Fraction(ticks, video_scale) for ticks in video.durations] == [1 / fps]
        if 2 in tracks:
            assert tracks[2].time == audio_time, "no gap and no overlap in the sound"
            assert set(tracks[2].durations) == {1024}
            audio_time += sum(tracks[2].durations)
        behind = (k + 1) / fps - Fraction(audio_time, audio_scale)
        assert behind <= Fraction(3 * 1024 + 100, audio_scale), "the sound comes soon after its picture"


@pytest.mark.parametrize(("fps", "rate"), RATES)
def test_picture_and_sound_are_in_sync(fps: Fraction, rate: int) -> None:
    """Flash and beep of the same moment are decoded at the same time."""
    fps = Fraction(fps)
    head, packets = written(fps, rate, 30)
    data = head + b"".join(packet.data for packet in packets)
    frames = decode_video(data)
    assert [time for time, _ in frames] == [k / fps for k in range(30)]
    assert [k for k, (_, flashes) in enumerate(frames) if flashes] == [9, 19, 29]
    rate_out, samples = decode_audio(data)
    for k in (9, 19):
        start, end = float(k / fps), float((k + 1) / fps)
        window = samples[int((start - 0.5 / float(fps)) * rate_out) : int((end + 0.5 / float(fps)) * rate_out)]
        energy = np.cumsum(window.astype(np.float64) ** 2)
        centre = np.searchsorted(energy, energy[-1] / 2) / rate_out + start - 0.5 / float(fps)
        assert abs(centre - (start + end) / 2) < 0.002, "the middle of the beep, in seconds"


def test_every_fragment_is_decodable_when_it_comes() -> None:
    """A player that got this far shows this frame: nothing is held back for a later one."""
    head, packets = written(Fraction(25), 16_000, 12)
    for k in range(12):
        data = head + b"".join(packet.data for packet in packets[: k + 1])
        assert len(decode_video(data)) == k + 1


def test_key_frames_come_regularly_and_on_demand() -> None:
    _, packets = written(Fraction(25), 16_000, 120, keys=(7, 73))
    keys = [k for k, packet in enumerate(packets) if packet.key]
    assert {0, 7, 73} <= set(keys)
    assert np.diff([*keys, 120]).max() <= 50
    for packet in packets:
        assert (runs(packet.data)[1].flags == [0x02000000]) == packet.key


def test_a_gap_before_a_key_frame_harms_nothing_after_it() -> None:
    head, packets = written(Fraction(25), 16_000, 30, keys=(20,))
    frames = decode_video(head + b"".join(packet.data for packet in packets[:5] + packets[20:]))
    times = [time * 25 for time, _ in frames]
    assert times == [*range(5), *range(20, 30)]
    assert [time * 25 for time, flashes in frames if flashes] == [29]


def test_stereo_keeps_its_sides() -> None:
    writer = FragmentWriter(picture(), Fraction(25), sample_rate=48_000, channels=2)
    media = writer.head
    for k in range(25):
        pcm = sound(k, 48_000, Fraction(25), True, 2)
        pcm[:, 1] = 0
        media += writer.write(flash(False), pcm).data
    with av.open(io.BytesIO(media)) as file:
        left, right = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)
    assert np.abs(left).max() > 0.3
    assert np.abs(right).max() < 0.01


@pytest.mark.parametrize(("width", "height"), [(64, 64), (1920, 1080), (640, 360)])
def test_the_mime_type_names_what_is_inside(width: int, height: int) -> None:
    writer = FragmentWriter(np.zeros((height, width, 3), np.uint8), Fraction(25), sample_rate=16_000, channels=1)
    at = writer.head.index(b"avcC")
    profile = writer.head[at + 5 : at + 8].hex().upper()
    assert writer.mime == f'video/mp4; codecs="avc1.{profile}, mp4a.40.2"'
    assert b"elst" not in writer.head


def test_jpeg_packets_hold_a_frame_and_exactly_its_samples() -> None:
    fps, rate = Fraction(30_000, 1001), 22_050
    writer = JpegWriter(picture(), sample_rate=rate)
    position = 0
    for k in range(40):
        pcm = sound(k, rate, fps, True)
        bright = k % 2 == 1
        packet = writer.write(flash(bright), pcm)
        frame, sample, jpeg_bytes, pcm_bytes = struct.unpack_from("<QQII", packet.data)
        assert (frame, sample) == (k, position)
        assert len(packet.data) == 24 + jpeg_bytes + pcm_bytes
        assert packet.data[24 + jpeg_bytes :] == pcm.tobytes()
        shown = cv2.imdecode(np.frombuffer(packet.data, np.uint8, jpeg_bytes, 24), cv2.IMREAD_COLOR)
        assert shown is not None
        assert (shown[32, 32].mean() > 180) == bright
        assert abs(float(shown[4, 4].mean()) - 106.7) < 5, "what the patch does not cover stays"
        assert packet.key
        position += len(pcm)
    assert position == int(40 * rate / fps)


def test_jpeg_restores_what_a_patch_leaves() -> None:
    writer = JpegWriter(picture(), sample_rate=8_000)
    silence = np.zeros((0, 1), np.int16)
    writer.write(Patch(0, 0, np.full((16, 16, 3), 255, np.uint8)), silence)
    packet = writer.write(Patch(40, 40, np.full((8, 8, 3), 255, np.uint8)), silence)
    shown = cv2.imdecode(np.frombuffer(packet.data, np.uint8, offset=24), cv2.IMREAD_GRAYSCALE)
    assert shown is not None
    assert shown[4, 4] < 130
    assert shown[44, 44] > 220
