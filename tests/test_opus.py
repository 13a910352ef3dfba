"""Bare Opus packets: decoded one by one, in order; whatever else comes is refused and does no harm."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.errors import AudioError
from lipstream.media.opus import OPUS_RATE, OpusReader, packet_duration
from tests.media import opus_packets

RATE = 16_000


def tone(seconds: float, channels: int = 1) -> NDArray[np.float32]:
    """300 Hz, (n, channels)."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave: NDArray[np.float32] = (0.4 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    return np.repeat(wave[:, None], channels, axis=1)


@pytest.mark.parametrize("frame_ms", [2.5, 5, 10, 20, 40, 60, 120])
@pytest.mark.parametrize("channels", [1, 2])
def test_speech_comes_out_as_it_went_in(frame_ms: float, channels: int) -> None:
    packets = opus_packets(tone(0.6, channels), RATE, frame_ms)
    reader = OpusReader(channels)
    pieces = [reader.read(packet) for packet in packets]
    assert [len(piece) / OPUS_RATE for piece in pieces] == [float(packet_duration(packet)) for packet in packets]
    heard = np.concatenate(pieces)[OPUS_RATE // 10 : OPUS_RATE // 2]
    assert heard.shape[1] == channels
    spectrum = np.abs(np.fft.rfft(heard[:, -1]))
    assert abs(np.argmax(spectrum) * OPUS_RATE / len(heard) - 300) < 5
    assert 0.3 < np.abs(heard).max() / 32_768 < 0.6


def test_channels_are_as_asked_for() -> None:
    (stereo, *_), (mono, *_) = opus_packets(tone(0.1, 2), RATE), opus_packets(tone(0.1, 1), RATE)
    assert OpusReader(1).read(stereo).shape == (960, 1)
    assert OpusReader(2).read(mono).shape == (960, 2)


def test_what_is_no_packet_is_left_out_and_the_next_is_heard() -> None:
    packets = opus_packets(tone(0.4), RATE)
    clean, disturbed = OpusReader(1), OpusReader(1)
    for packet in packets:
        for bad in (b"\xff", b"\x03", bytes(100_000), b"\x0b\x00", b"\x03\x3f" + bytes(20)):
            with pytest.raises(AudioError) as caught:
                disturbed.read(bad)
            assert caught.value.code == "not_opus"
        assert disturbed.read(b"").shape == (0, 1)
        assert (disturbed.read(packet) == clean.read(packet)).all()


PACKETS = opus_packets(tone(0.2), RATE)


def decode_or_refuse(data: bytes, channels: int) -> None:
    """The one or the other, and the decoder goes on."""
    reader = OpusReader(channels)
    with suppress(AudioError):
        samples = reader.read(data)
        assert samples.dtype == np.int16
        assert samples.shape[1] == channels
        assert len(samples) <= 0.12 * OPUS_RATE
    assert len(reader.read(PACKETS[0])) == 960


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), channels=st.sampled_from([1, 2]))
@example(data=b"\xff\x3f", channels=1)
@example(data=b"OggS" + bytes(30), channels=2)
def test_any_bytes_are_decoded_or_refused(data: bytes, channels: int) -> None:
    decode_or_refuse(data, channels)


@settings(max_examples=200, deadline=None)
@given(which=st.integers(0, len(PACKETS) - 1), place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_damaged_packets_do_no_harm(which: int, place: int, value: int) -> None:
    packet = bytearray(PACKETS[which])
    packet[place % len(packet)] = value
    decode_or_refuse(bytes(packet), 1)
