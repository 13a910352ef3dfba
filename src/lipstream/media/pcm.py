"""Raw audio as received from a network: any number of bytes at a time in, whole samples out."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PcmEncoding = Literal["pcm_s16le", "pcm_f32le"]

_DTYPES: dict[PcmEncoding, np.dtype[np.generic]] = {"pcm_s16le": np.dtype("<i2"), "pcm_f32le": np.dtype("<f4")}
_FULL_SCALE = 32_768.0


class PcmReader:
    """Splits a stream of bytes into samples. A sample, or a pair of channels, may be spread over two chunks."""

    def __init__(self, encoding: PcmEncoding, channels: int) -> None:
        self._dtype = _DTYPES[encoding]
        self._channels = channels
        self._rest = b""

    def read(self, data: bytes) -> NDArray[np.int16]:
        """(n, channels): all samples that are complete by now. Floats are clipped to [-1, 1], NaN becomes silence."""
        data = self._rest + data
        frame = self._dtype.itemsize * self._channels
        whole = len(data) - len(data) % frame
        self._rest = data[whole:]
        samples = np.frombuffer(data, self._dtype, whole // self._dtype.itemsize).reshape(-1, self._channels)
        return samples.astype(np.int16) if self._dtype.kind == "i" else _to_int16(samples)

    def clear(self) -> None:
        """Discard an incomplete sample, so that the next chunk begins with a new one."""
        self._rest = b""


def _to_int16(samples: NDArray[np.generic]) -> NDArray[np.int16]:
    known = np.clip(np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    return np.asarray(np.clip(np.rint(known * _FULL_SCALE), -32_768, 32_767), np.int16)


def to_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16-bit samples → float32 in [-1, 1), exactly."""
    return np.asarray(samples.astype(np.float32) / np.float32(_FULL_SCALE), np.float32)


class SampleQueue:
    """A queue of audio, (n, channels) int16, first in, first out. Does not copy it while it waits."""

    def __init__(self, channels: int) -> None:
        self._pieces: deque[NDArray[np.int16]] = deque()
        self._nothing = np.zeros((0, channels), np.int16)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, samples: NDArray[np.int16]) -> None:
        """Add (n, channels) to the end; they must not be changed afterwards."""
        if len(samples):
            self._pieces.append(samples)
            self._length += len(samples)

    def pop(self, most: int) -> NDArray[np.int16]:
        """Take the oldest ``most`` samples, or all if there are fewer."""
        taken: list[NDArray[np.int16]] = []
        wanted = min(most, self._length)
        self._length -= wanted
        while wanted > 0:
            piece = self._pieces.popleft()
            if len(piece) > wanted:
                self._pieces.appendleft(piece[wanted:])
                piece = piece[:wanted]
            taken.append(piece)
            wanted -= len(piece)
        return np.concatenate(taken) if taken else self._nothing
