"""Decodes Opus as received from a network: one bare packet (RFC 6716) at a time, without a container."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext
from numpy.typing import NDArray

from lipstream.errors import AudioError

OPUS_RATE = 48_000
"""Sample rate at which every Opus packet is decoded, Hz, whatever the encoder was given."""

_LONGEST = Fraction(120, 1000)
_MOST_BYTES = 48 * (1275 + 2)
"""Forty-eight frames of the largest size, with their lengths."""
# Length of a frame, ms, by the configuration in the first byte of a packet (RFC 6716, 3.1): SILK, hybrid, CELT.
_SILK, _HYBRID, _CELT = (10, 20, 40, 60), (10, 20), (Fraction(5, 2), 5, 10, 20)


def packet_duration(packet: bytes) -> Fraction:
    """How much sound a packet holds, seconds. Raises :class:`AudioError` (``not_opus``) if it is not a valid packet."""
    if not 0 < len(packet) <= _MOST_BYTES:
        raise _not_opus()
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        frame = Fraction(_SILK[configuration & 3])
    else:
        frame = Fraction(_HYBRID[configuration & 1] if configuration < 16 else _CELT[configuration & 3])
    if code == 3 and len(packet) < 2:
        raise _not_opus()
    frames = (1, 2, 2)[code] if code < 3 else packet[1] & 63
    duration = frames * frame / 1000
    if not 0 < duration <= _LONGEST:
        raise _not_opus()
    return duration


class OpusReader:
    """Decodes packets in the order in which they were sent. The decoder keeps its state from one to the next."""

    def __init__(self, channels: int) -> None:
        codec = CodecContext.create("libopus", "r")
        assert isinstance(codec, AudioCodecContext)
        codec.sample_rate, codec.layout = OPUS_RATE, ("mono", "stereo")[channels - 1]
        self._codec = codec
        self._channels = channels

    def read(self, packet: bytes) -> NDArray[np.int16]:
        """(n, channels) at :data:`OPUS_RATE`, mono or stereo as asked for. An empty packet gives no samples.

        Raises :class:`AudioError` (``not_opus``). The packet is then skipped, and decoding may continue.
        """
        if not packet:
            return np.zeros((0, self._channels), np.int16)
        packet_duration(packet)
        try:
            frames = self._codec.decode(av.Packet(packet))
        except (av.FFmpegError, ValueError) as error:
            raise _not_opus() from error
        nothing = np.zeros((0, self._channels), np.int16)
        return np.concatenate([nothing, *(frame.to_ndarray().reshape(-1, self._channels) for frame in frames)])

    def clear(self) -> None:
        """An utterance is over. Keeps the decoder's state, because the sender's encoder keeps its own."""


def _not_opus() -> AudioError:
    return AudioError(
        "not_opus",
        "This message is not an Opus packet and was skipped. Send bare packets, one per message, without Ogg or WebM "
        "around them.",
    )
