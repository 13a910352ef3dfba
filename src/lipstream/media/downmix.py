"""Mixes any number of channels down to one or two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LESS = 0.5**0.5  # −3 dB

# Gains of each loudspeaker in the left and right channel, after ITU-R BS.775: the centre, which has the speech, at
# −3 dB in both, so that their mean still has it; surrounds at −3 dB on their side; the subwoofer not at all. The names
# are FFmpeg's.
_STEREO: dict[str, tuple[float, float]] = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FC": (_LESS, _LESS),
    "LFE": (0.0, 0.0),
    "LFE2": (0.0, 0.0),
    "BL": (_LESS, 0.0),
    "BR": (0.0, _LESS),
    "BC": (0.5, 0.5),
    "SL": (_LESS, 0.0),
    "SR": (0.0, _LESS),
    "FLC": (_LESS, 0.5),
    "FRC": (0.5, _LESS),
    "DL": (1.0, 0.0),
    "DR": (0.0, 1.0),
}

# For WAV files without a channel mask: the order of the bits of the mask, by the number of channels.
_UNNAMED: dict[int, tuple[str, ...]] = {
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def downmix(pcm: NDArray[np.float32], speakers: Sequence[str], channels: int) -> NDArray[np.float32]:
    """(n, speakers) float32 → (n, ``channels``) float32, 1 or 2 channels, clipped to [-1, 1].

    ``speakers`` are FFmpeg's names of the channels. Channels with other names are averaged into both sides.
    """
    if not any(name in _STEREO for name in speakers):
        speakers = _UNNAMED.get(len(speakers), speakers)
    if len(speakers) > 2 or tuple(speakers) == ("FR", "FL"):
        elsewhere = (1 / len(speakers), 1 / len(speakers))
        pcm = pcm @ np.array([_STEREO.get(name, elsewhere) for name in speakers], np.float32)
    if pcm.shape[1] > channels:
        pcm = pcm.mean(axis=1, keepdims=True, dtype=np.float32)
    elif pcm.shape[1] < channels:
        pcm = np.repeat(pcm, channels, axis=1)
    return np.clip(pcm, -1.0, 1.0)
