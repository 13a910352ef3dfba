"""Raw audio: any cut of the bytes gives the same samples; floats that are no sound do no harm."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.media.pcm import PcmEncoding, PcmReader, SampleQueue, to_float


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=10), channels=st.sampled_from([1, 2]))
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le"])
def test_any_cut_gives_the_same_samples(encoding: PcmEncoding, data: bytes, cuts: list[int], channels: int) -> None:
    whole = PcmReader(encoding, channels).read(data)
    reader = PcmReader(encoding, channels)
    places = [0, *sorted(cuts), len(data)]
    pieces = [reader.read(data[a:b]) for a, b in pairwise(places)]
    assert (np.concatenate(pieces) == whole).all()
    size = (2 if encoding == "pcm_s16le" else 4) * channels
    assert whole.shape == (len(data) // size, channels)


def test_integers_come_through_as_they_are() -> None:
    samples = np.array([[-32_768, 32_767], [0, 1]], "<i2")
    read = PcmReader("pcm_s16le", 2).read(samples.tobytes())
    assert (read == samples).all()
    assert to_float(read).min() == -1
    assert to_float(read).max() < 1


def test_floats_are_clipped_and_nan_is_silence() -> None:
    floats = np.array([0, 0.5, -1, 1, 7, -7, np.nan, np.inf, -np.inf, 1e-9, 3e38], "<f4")
    read = PcmReader("pcm_f32le", 1).read(floats.tobytes())[:, 0]
    assert read.tolist() == [0, 16_384, -32_768, 32_767, 32_767, -32_768, 0, 32_767, -32_768, 0, 32_767]


def test_half_a_sample_can_be_forgotten() -> None:
    reader = PcmReader("pcm_s16le", 1)
    assert len(reader.read(b"\x01")) == 0
    reader.clear()
    assert reader.read(b"\x02\x00").tolist() == [[2]]


@given(sizes=st.lists(st.integers(0, 50), max_size=20), takes=st.lists(st.integers(0, 70), max_size=30))
def test_a_queue_gives_what_was_put_in(sizes: list[int], takes: list[int]) -> None:
    everything = np.arange(sum(sizes), dtype=np.int16)[:, None]
    queue, given_out, start = SampleQueue(1), 0, 0
    for size in sizes:
        queue.append(everything[start : start + size])
        start += size
    for most in takes:
        taken = queue.pop(most)
        assert (taken == everything[given_out : given_out + most]).all()
        given_out += len(taken)
        assert len(queue) == len(everything) - given_out
    assert given_out == min(sum(takes), len(everything))
