"""The phone-state front end: the model files, the classification, and that nothing depends on how audio is cut."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import (
    DELTA_REACH,
    HALF_WINDOW,
    HOP,
    LOG_FLOOR,
    N_HEARD,
    N_STATES,
    PHONES,
    AcousticModel,
    PhoneStream,
    mel_filters,
)
from lipstream.engines.portrait.sphinx import read_gaussians, read_mixture_weights
from lipstream.errors import ModelError
from lipstream.models.assets import PHONE_MDEF, PHONE_MEANS, PHONE_SENDUMP, PHONE_VARIANCES
from lipstream.models.store import ModelStore
from tests.vowels import hiss, silence, vowel


@pytest.fixture(scope="module")
def acoustic(store: ModelStore) -> AcousticModel:
    return AcousticModel.load(store.path(PHONE_MEANS), store.path(PHONE_VARIANCES), store.path(PHONE_SENDUMP))


def listen(acoustic: AcousticModel, speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log posteriors of a whole recording."""
    return PhoneStream(acoustic).push(speech)[:, :N_STATES]


def probability(log_posteriors: NDArray[np.float32], *phones: str) -> NDArray[np.float32]:
    """(n,) how likely the hops are one of the phones."""
    states = np.exp(log_posteriors).reshape(len(log_posteriors), -1, 3).sum(axis=2)
    return np.asarray(states[:, [PHONES.index(phone) for phone in phones]].sum(axis=1))


def test_phone_names_are_those_of_the_model(store: ModelStore) -> None:
    names = b"\0".join(name.encode() for name in PHONES) + b"\0"
    assert names in store.path(PHONE_MDEF).read_bytes()


def test_mixture_weights_sum_to_one(acoustic: AcousticModel) -> None:
    np.testing.assert_allclose(acoustic.weights.sum(axis=3), 1.0, atol=1e-5)


def test_posteriors_are_probabilities(acoustic: AcousticModel) -> None:
    heard = listen(acoustic, np.concatenate([silence(0.2), vowel("AA", 0.5), hiss(0.3, 0.1)]))
    assert heard.dtype == np.float32
    assert heard.min() >= LOG_FLOOR
    assert heard.max() <= 0.0
    np.testing.assert_allclose(np.exp(heard).sum(axis=1), 1.0, atol=126 * np.exp(LOG_FLOOR) + 1e-4)


@pytest.mark.parametrize("spread", [1.0, 8.0, 30.0], ids=["usual", "far", "very far"])
def test_posteriors_are_those_of_the_gaussian_mixtures(acoustic: AcousticModel, spread: float) -> None:
    x = np.random.default_rng(3).normal(0.0, spread, (16, 3, 13)).astype(np.float32)
    wide = x.transpose(1, 0, 2).astype(np.float64)
    basis = np.concatenate([wide**2, wide, np.ones((3, 16, 1))], axis=2)
    density = (basis @ acoustic.quadratic).reshape(3, 16, 42, 1, 128)
    likelihood = np.logaddexp.reduce(density + np.log(acoustic.weights)[:, np.newaxis], axis=-1)
    score = 0.5 * likelihood.sum(axis=0).reshape(16, N_STATES)
    expected = score - np.logaddexp.reduce(score, axis=1, keepdims=True)
    np.testing.assert_allclose(acoustic.log_posteriors(x), np.maximum(expected, LOG_FLOOR), atol=2e-3)


def test_silence_is_heard_as_silence_and_never_changes(acoustic: AcousticModel) -> None:
    heard = listen(acoustic, silence(3.0))
    assert probability(heard, "SIL").min() > 0.9
    assert (heard == heard[0]).all()


ALIKE = {"AA": ("AA", "AO", "AW", "AY"), "IY": ("IY", "IH", "EY", "Y"), "UW": ("UW", "UH", "OW", "W")}


@pytest.mark.parametrize("name", ["AA", "IY"])
def test_vowels_are_told_apart(acoustic: AcousticModel, name: str) -> None:
    heard = listen(acoustic, np.concatenate([silence(0.3), vowel(name, 0.6), silence(0.3)]))
    likely = {group: probability(heard, *phones)[33:60].mean() for group, phones in ALIKE.items()}
    assert likely[name] > 0.4
    assert likely[name] == max(likely.values())


def test_offset_of_the_microphone_does_not_matter(acoustic: AcousticModel) -> None:
    speech = np.concatenate([silence(0.3), vowel("AA", 0.5), silence(0.3)]) + hiss(1.1, 0.001)
    shifted = listen(acoustic, speech + np.float32(0.2))
    # Apart from the step at the very beginning and its deltas.
    np.testing.assert_allclose(shifted[12:], listen(acoustic, speech)[12:], atol=1.0)


def test_a_long_pause_does_not_come_to_look_like_speech(acoustic: AcousticModel) -> None:
    heard = listen(acoustic, np.concatenate([vowel("AA", 0.5), hiss(30.0, 0.0005)]))
    quiet = probability(heard, "SIL", "+NSN+", "+SPN+")
    assert quiet[-500:].mean() == pytest.approx(quiet[100:600].mean(), abs=0.03)


@pytest.mark.parametrize(
    "garbage",
    [
        np.full(4800, np.nan, np.float32),
        np.full(4800, np.inf, np.float32),
        np.full(4800, -np.inf, np.float32),
        np.full(4800, 1.0, np.float32),
        np.full(4800, 3e38, np.float32),
        np.where(np.arange(4800) % 2, 1.0, -1.0).astype(np.float32),
        hiss(0.3, 10.0),
        np.full(4800, 1e-45, np.float32),
    ],
    ids=["nan", "inf", "-inf", "full scale", "huge", "alternating", "clipped noise", "denormal"],
)
def test_garbage_does_no_harm(acoustic: AcousticModel, garbage: NDArray[np.float32]) -> None:
    heard = listen(acoustic, np.concatenate([silence(0.1), garbage, silence(2.0)]))
    assert np.isfinite(heard).all()
    assert probability(heard, "SIL")[-100:].min() > 0.8, "silence after it is heard as silence again"


@given(cuts=st.lists(st.integers(0, 16_000), max_size=30))
@settings(deadline=None, max_examples=25)
def test_cutting_does_not_matter(acoustic: AcousticModel, cuts: list[int]) -> None:
    speech = np.concatenate([vowel("IY", 0.5), hiss(0.2, 0.05), vowel("AA", 0.3)])
    stream = PhoneStream(acoustic)
    pieces = [stream.push(piece) for piece in np.split(speech, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(pieces), PhoneStream(acoustic).push(speech))


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 8, 16])
def test_larger_blocks_hear_the_same(acoustic: AcousticModel, block: int) -> None:
    speech = np.concatenate([vowel("IY", 0.5), hiss(0.2, 0.05), vowel("AA", 0.3)])
    stream = PhoneStream(acoustic, block=block)
    pieces = [stream.push(piece) for piece in np.array_split(speech, 50)]
    assert {len(piece) % block for piece in pieces} == {0}
    heard, expected = np.concatenate(pieces), PhoneStream(acoustic).push(speech)
    hops = min(len(heard), len(expected))
    assert hops > len(expected) - block
    np.testing.assert_allclose(heard[:hops], expected[:hops], atol=1e-4)


@given(samples=st.integers(0, 8000))
@settings(deadline=None, max_examples=40)
def test_hops_come_as_soon_as_they_are_certain(acoustic: AcousticModel, samples: int) -> None:
    heard = PhoneStream(acoustic).push(np.zeros(samples, np.float32))
    blocks = (samples - HALF_WINDOW - (DELTA_REACH + 1) * HOP) // (2 * HOP) + 1
    assert heard.shape == (2 * max(0, blocks), N_HEARD)


def test_mel_filters_have_unit_area_and_stay_in_the_spectrum() -> None:
    for warp in (0.8, 1.0, 1.2):
        filters = mel_filters(warp)
        assert filters.shape == (257, 25)
        assert (filters >= 0).all()
        np.testing.assert_allclose(filters.sum(axis=0) * 16_000 / 512, 1.0, atol=1e-9)


def s3_file(values: NDArray[np.float32], order: str = "<") -> bytes:
    """A Sphinx-3 parameter file of (codebooks, streams, densities, 13) values."""
    codebooks, streams, densities, width = values.shape
    counts = (0x11223344, codebooks, streams, densities, *([width] * streams), values.size)
    body = struct.pack(f"{order}{len(counts)}i", *counts) + values.astype(f"{order}f4").tobytes()
    return b"s3\nversion 1.0\nchksum0 yes\n      endhdr\n" + body + b"\0\0\0\0"


def sendump_file(levels: NDArray[np.uint8]) -> bytes:
    """A mixture weight file of (streams, densities, states) quantised weights."""
    head = b"".join(struct.pack("<i", len(text)) + text for text in (b"a comment\0", b"feature_count 3\0"))
    return head + struct.pack("<3i", 0, levels.shape[1], levels.shape[2]) + levels.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_gaussians_are_read_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    values = np.arange(2 * 3 * 4 * 13, dtype=np.float32).reshape(2, 3, 4, 13)
    (tmp_path / "means").write_bytes(s3_file(values, order))
    np.testing.assert_array_equal(read_gaussians(tmp_path / "means"), values)


def test_mixture_weights_are_read(tmp_path: Path) -> None:
    levels = np.zeros((3, 4, 200), np.uint8)
    levels[1, 2, 5] = 10
    (tmp_path / "sendump").write_bytes(sendump_file(levels))
    weights = read_mixture_weights(tmp_path / "sendump", 3, 4, N_STATES)
    assert weights.shape == (3, 4, N_STATES)
    assert weights[0, 0, 0] == 1.0
    assert weights[1, 2, 5] == pytest.approx(1.0001 ** (-10 * 1024), rel=1e-4)


@given(kept=st.integers(0, 700), changed=st.integers(0, 60), value=st.integers(0, 255))
@settings(deadline=None, max_examples=150)
def test_damaged_files_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, kept: int, changed: int, value: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    for name, whole, read in (
        ("means", s3_file(np.ones((1, 3, 4, 13), np.float32)), read_gaussians),
        ("sendump", sendump_file(np.ones((3, 4, 130), np.uint8)), lambda path: read_mixture_weights(path, 3, 4, 126)),
    ):
        broken = bytearray(whole[:kept] + bytes(16))
        broken[min(changed, len(broken) - 1)] = value
        path = folder / name
        path.write_bytes(broken)
        with contextlib.suppress(ModelError):
            read(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="means") as caught:
        AcousticModel.load(tmp_path / "means", tmp_path / "variances", tmp_path / "sendump")
    assert caught.value.code == "model_missing"
