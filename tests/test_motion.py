"""Speech → mouth: cutting does not matter, silence is still, vowels open the mouth, frames are counted right."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.portrait.gates import LOGITS, TOUCHING, articulated
from lipstream.engines.portrait.motion import DEFAULT_WEIGHTS, LOOKAHEAD, Motion, MotionModel, blend
from lipstream.engines.portrait.network import Network, normalised
from lipstream.engines.portrait.phones import BLOCK, PHONES, SAMPLE_RATE, AcousticModel, PhoneStream, acquaint
from lipstream.engines.portrait.visemes import AHEAD_HOPS, EASED, USUAL, held, visemes
from lipstream.errors import ModelError
from lipstream.models.assets import PHONE_MEANS, PHONE_SENDUMP, PHONE_VARIANCES
from lipstream.models.store import ModelStore
from tests.vowels import hiss, silence, vowel

FRAME_RATES = [Fraction(1), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60)]
STILL = 0.003
"""How far the lips may move in silence, inter-ocular distances."""


@pytest.fixture(scope="module")
def acoustic(store: ModelStore) -> AcousticModel:
    return AcousticModel.load(store.path(PHONE_MEANS), store.path(PHONE_VARIANCES), store.path(PHONE_SENDUMP))


@pytest.fixture(scope="module")
def model(acoustic: AcousticModel) -> MotionModel:
    return MotionModel.load(acoustic)


def joined(parts: list[Motion]) -> Motion:
    """Consecutive pieces of motion as one."""
    return Motion(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Motion)))


def perform(
    model: MotionModel,
    speech: NDArray[np.float32],
    fps: Fraction = Fraction(25),
    cuts: list[int] | None = None,
    batch: int = 1,
) -> Motion:
    """All frames of a recording, pushed in pieces."""
    stream = model.listen(fps, batch)
    parts = [stream.push(piece) for piece in np.split(speech, sorted(cuts or []))]
    return joined([*parts, stream.finish(math.ceil(len(speech) * fps / SAMPLE_RATE))])


def gap(model: MotionModel, motion: Motion) -> NDArray[np.float32]:
    """(m,) distance between the inner lips, more than at rest, in inter-ocular distances."""
    points = model.basis.points.tolist()
    displacement = np.tensordot(motion.coefficients, model.basis.vectors, 1)
    return np.asarray(displacement[:, points.index(14), 1] - displacement[:, points.index(13), 1])


PHONES_AS_USUAL = {
    **dict.fromkeys(("B", "M", "P"), USUAL[0] / 3),
    **{"N": 0.06, "NG": 0.04, "F": USUAL[2] / 2, "V": USUAL[2] / 2, "TH": USUAL[3] / 2, "DH": USUAL[3] / 2},
    **dict.fromkeys(("D", "L", "T"), (USUAL[4] - 0.06 - USUAL[3]) / 3),
    **dict.fromkeys(("OW", "OY", "UH", "UW", "W"), USUAL[5] / 5),
    **dict.fromkeys(("AA", "AE", "AW", "AY", "EH", "EY"), USUAL[6] / 6),
    "SIL": 1 - sum(USUAL) + 0.06 + USUAL[3],
}


def perform_with(
    acoustic: AcousticModel,
    folder: Path,
    speech: NDArray[np.float32],
    fps: Fraction,
    told: dict[str, float],
    wider: float = 0.0,
    phones: dict[str, float] | None = None,
) -> tuple[Motion, MotionModel]:
    """The motion of a network that always gives the same logits and probabilities of phones, by default those that
    tell nothing, and adds ``wider`` to its first coefficient."""
    with np.load(DEFAULT_WEIGHTS) as stored:
        arrays = dict(stored)
    k = len(arrays["basis.vectors"])
    for name, logit in told.items():
        arrays["output.weight"][:, k + LOGITS.index(name)] = 0.0
        arrays["output.bias"][k + LOGITS.index(name)] = logit
    arrays["output.weight"][:, -len(PHONES) :] = 0.0
    arrays["output.bias"][-len(PHONES) :] = np.log([(phones or PHONES_AS_USUAL).get(phone, 1e-6) for phone in PHONES])
    arrays["output.bias"][0] += wider
    np.savez(folder / "told.npz", **arrays)
    model = MotionModel.load(acoustic, folder / "told.npz")
    return perform(model, speech, fps), model


def same(a: Motion, b: Motion) -> bool:
    """Whether two motions have the same bits."""
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Motion))


SPEECH = np.concatenate(
    [silence(0.2), vowel("AA", 0.3), silence(0.1), hiss(0.15, 0.05), vowel("IY", 0.25), silence(0.2)]
)


@given(
    cuts=st.lists(st.integers(0, len(SPEECH)), max_size=40),
    fps=st.sampled_from(FRAME_RATES),
    batch=st.sampled_from([1, 2, 128]),
)
@settings(deadline=None, max_examples=60)
def test_cutting_does_not_matter(model: MotionModel, cuts: list[int], fps: Fraction, batch: int) -> None:
    assert same(perform(model, SPEECH, fps, cuts, batch), perform(model, SPEECH, fps, batch=batch))


@pytest.mark.parametrize("fps", FRAME_RATES)
def test_frames_that_may_be_held_back_are_the_same(model: MotionModel, fps: Fraction) -> None:
    at_once = perform(model, SPEECH, fps)
    for batch in (2, 128):
        held = perform(model, SPEECH, fps, batch=batch)
        for field in fields(Motion):
            np.testing.assert_allclose(getattr(held, field.name), getattr(at_once, field.name), atol=2e-5)


@pytest.mark.parametrize("fps", [Fraction(50), Fraction(25)])
def test_lips_touch_where_the_ear_is_sure(
    acoustic: AcousticModel, sample_speech: NDArray[np.float32], fps: Fraction, tmp_path: Path
) -> None:
    """A network that cannot tell whether lips touch, and no phones, is overruled in the step in which b, m or p is
    heard alone."""
    motion, model = perform_with(acoustic, tmp_path, sample_speech, fps, {"closed": 0.0})
    heard = visemes(PhoneStream(acoustic).push(np.concatenate([sample_speech, silence(1.0)])))[:, :2]
    lips, nasal = ((heard[AHEAD_HOPS:-1] + heard[AHEAD_HOPS + 1 :]) / 2)[:: int(100 / fps)][: len(motion)].T
    assert (motion.closed[(lips > TOUCHING[1] + 0.05) & (nasal < 0.5)] == 1).all()
    assert (motion.closed[lips < TOUCHING[0] - 0.005] == 0).all()
    touching = motion.closed == 1
    assert 1 <= touching.sum() < len(motion) / 5
    assert np.abs(gap(model, motion)[touching]).max() < 0.05, "the rest is closed by whoever draws"


def test_lips_touch_more_readily_where_the_network_agrees(
    acoustic: AcousticModel, sample_speech: NDArray[np.float32], tmp_path: Path
) -> None:
    nods, doubts, refuses = (
        perform_with(acoustic, tmp_path, sample_speech, Fraction(50), {"closed": logit})[0].closed
        for logit in (2.0, 0.0, -50.0)
    )
    assert (nods >= doubts).all()
    assert (doubts >= refuses).all()
    assert nods.sum() > doubts.sum() > refuses.sum()


@pytest.mark.parametrize(
    ("phone", "shown"), [("M", "closed"), ("V", "lip_bite"), ("TH", "dental"), ("L", "tongue"), ("TH", "tongue")]
)
def test_the_phones_that_the_network_tells_count_too(
    acoustic: AcousticModel, sample_speech: NDArray[np.float32], tmp_path: Path, phone: str, shown: str
) -> None:
    told = {"closed": 0.0, "speech": 50.0}
    usual, _ = perform_with(acoustic, tmp_path, sample_speech, Fraction(50), told)
    sure, _ = perform_with(acoustic, tmp_path, sample_speech, Fraction(50), told, phones={phone: 0.9, "SIL": 0.1})
    assert (getattr(sure, shown) >= getattr(usual, shown)).all()
    assert getattr(sure, shown).sum() > 1.5 * getattr(usual, shown).sum()


def test_teeth_and_tongue_move_where_the_ear_hears_their_phones(
    acoustic: AcousticModel, sample_speech: NDArray[np.float32], tmp_path: Path
) -> None:
    motion, _ = perform_with(acoustic, tmp_path, sample_speech, Fraction(50), {"speech": 50.0})
    heard = visemes(PhoneStream(acoustic).push(np.concatenate([sample_speech, silence(1.0)])))[:, 2:5]
    evidence = held(np.concatenate([np.zeros((5, 3), np.float32), heard]))  # the first step hears 5 hops before
    steps = [evidence[2 * step : 2 * step + EASED] for step in range(len(motion))]
    expected = np.array([articulated(step) for step in steps])
    shown = np.stack([motion.lip_bite, motion.dental, motion.tongue], axis=1)
    np.testing.assert_allclose(shown, expected, atol=2e-3)
    assert (shown.max(axis=0) > 0.2).all()


@pytest.mark.parametrize("phase", [0, 1])
def test_an_articulation_is_neither_a_flash_nor_does_it_flicker(phase: int) -> None:
    """A short phone is seen in two film frames at least, and one that is unheard for a moment does not let go."""
    probable = np.zeros((100, 3), np.float32)
    probable[20:26], probable[50:56], probable[60:66] = 0.7, 0.7, 0.7
    evidence = held(probable)
    shown = np.array([articulated(evidence[hop : hop + EASED]) for hop in range(0, len(evidence) - EASED, 2)])
    once, twice = shown[phase:20:2], shown[20 + phase :: 2]
    assert (np.count_nonzero(once > 0.4, axis=0) >= 2).all()
    assert np.abs(np.diff(once, axis=0)).max() < 0.9
    assert np.count_nonzero(twice.max(axis=1) > 0.4) >= 4
    for contact in twice.T:
        assert np.diff(np.flatnonzero(contact > 0.4)).max() == 1


def test_a_click_is_no_articulation() -> None:
    probable = np.zeros((30, 3), np.float32)
    probable[15] = 0.9
    assert not articulated(held(probable)).any()


def test_in_silence_the_mouth_rests_whatever_the_network_says(acoustic: AcousticModel, tmp_path: Path) -> None:
    speech = np.concatenate([silence(0.5), vowel("AA", 0.4), silence(0.1), vowel("AA", 0.4), silence(0.6)])
    motion, model = perform_with(acoustic, tmp_path, speech, Fraction(50), {"speech": 50.0, "closed": -50.0}, wider=0.2)
    opening = gap(model, motion)
    assert np.abs(opening[:5]).max() < STILL
    assert opening[48:68].min() > 0.05, "not between two syllables"
    assert np.abs(opening[-12:]).max() < STILL


def test_single_samples_are_enough(model: MotionModel) -> None:
    speech = SPEECH[:2400]
    assert same(perform(model, speech, cuts=list(range(len(speech)))), perform(model, speech))


@given(samples=st.integers(0, 9000), numerator=st.integers(1, 60_000), denominator=st.sampled_from([1000, 1001]))
@settings(deadline=None, max_examples=40)
def test_frames_are_counted_exactly(model: MotionModel, samples: int, numerator: int, denominator: int) -> None:
    fps = max(Fraction(1), Fraction(numerator, denominator))
    motion = perform(model, SPEECH[:samples], fps)
    assert len(motion) == math.ceil(samples * fps / SAMPLE_RATE)
    for field in fields(Motion):
        values = getattr(motion, field.name)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def test_one_millisecond_gives_one_frame(model: MotionModel) -> None:
    assert len(perform(model, hiss(0.001, 0.1))) == 1


def test_more_frames_than_audio(model: MotionModel) -> None:
    stream = model.listen(Fraction(30))
    early = stream.push(vowel("AA", 0.4))
    late = stream.finish(90)
    assert len(early) + len(late) == 90
    assert abs(gap(model, late)[-30:]).max() < STILL


@given(phase=st.floats(0, 1, exclude_max=True))
def test_a_frame_is_a_mean_of_the_steps_around_it(phase: float) -> None:
    weights = blend(phase)
    assert min(weights) >= 0
    assert abs(sum(weights) - 1) < 1e-6
    assert weights[0] < weights[1], "no step counts more than the one in which it lies, except the next one"
    assert weights[2] <= blend(min(1.0, phase + 0.1))[2], "the later the frame, the more of the next step"


@pytest.mark.parametrize("fps", FRAME_RATES)
def test_frames_come_within_the_lookahead(model: MotionModel, fps: Fraction) -> None:
    assert model.lookahead == LOOKAHEAD <= Fraction(160, 1000)
    stream = model.listen(fps)
    given_out = 0
    for heard in range(0, len(SPEECH), 80):
        certain = math.floor((Fraction(heard, SAMPLE_RATE) - LOOKAHEAD) * fps) + 1
        given_out += len(stream.push(SPEECH[max(0, heard - 80) : heard]))
        assert given_out >= certain


def test_frames_hear_no_further_than_the_lookahead(model: MotionModel) -> None:
    known = round(0.6 * SAMPLE_RATE)
    loud = np.concatenate([SPEECH[:known], hiss(0.5, 0.3)])
    certain = math.floor((Fraction(known, SAMPLE_RATE) - LOOKAHEAD) * 25) + 1
    quiet = np.concatenate([SPEECH[:known], silence(0.5)])
    np.testing.assert_array_equal(
        perform(model, loud).coefficients[:certain], perform(model, quiet).coefficients[:certain]
    )


def test_digital_silence_is_the_mouth_at_rest(model: MotionModel) -> None:
    motion = perform(model, silence(4.0))
    displacement = np.tensordot(motion.coefficients, model.basis.vectors, 1)
    assert np.abs(displacement).max() < STILL
    assert np.ptp(motion.coefficients[10:], axis=0).max() < 1e-4, "and does not tremble"
    assert not np.any([motion.lip_bite, motion.dental, motion.tongue])


@pytest.mark.parametrize("level", [1e-5, 1e-4, 1e-3, 3e-3])
def test_quiet_noise_leaves_the_mouth_still(model: MotionModel, level: float) -> None:
    motion = perform(model, hiss(8.0, level))
    opening = gap(model, motion)
    assert np.diff(opening).std() < STILL
    assert np.abs(opening).max() < 0.02


def test_mouth_opens_for_a_vowel_and_closes_after_it(model: MotionModel) -> None:
    speech = np.concatenate([silence(0.5), vowel("AA", 0.4), silence(0.6)])
    opening = gap(model, perform(model, speech, Fraction(50)))
    assert np.abs(opening[:10]).max() < 0.01
    assert opening[30:44].max() > 0.06
    assert np.abs(opening[-10:]).max() < 0.01


def test_vowels_have_their_shapes(model: MotionModel) -> None:
    points = model.basis.points.tolist()
    corners = model.basis.vectors[:, points.index(291), 0] - model.basis.vectors[:, points.index(61), 0]

    def shape(name: str) -> tuple[float, float]:
        motion = perform(model, np.concatenate([silence(0.5), vowel(name, 0.4), silence(0.3)]))
        return float(gap(model, motion)[14:20].mean()), float((motion.coefficients @ corners)[14:20].mean())

    shapes = {name: shape(name) for name in ("AA", "IY", "UW")}
    assert shapes["AA"][0] > 1.3 * shapes["UW"][0], "open further than rounded"
    assert shapes["IY"][1] > shapes["UW"][1] + 0.01, "spread wider than rounded"


def test_speech_from_the_first_sample_does_not_jump(model: MotionModel) -> None:
    speech = vowel("AA", 0.8)[1600:]
    for fps in (25, 60):
        opening = gap(model, perform(model, speech, Fraction(fps)))
        assert opening[0] < 0.005
        assert opening.max() > 0.05
        assert np.abs(np.diff(opening[: fps // 4])).max() < 0.1 * 25 / fps + 0.01


def test_frame_rates_agree(model: MotionModel) -> None:
    slow, fast = perform(model, SPEECH, Fraction(25)), perform(model, SPEECH, Fraction(50))
    # Other shapes of the same products: not the same last bits.
    for field in fields(Motion):
        np.testing.assert_allclose(getattr(slow, field.name), getattr(fast, field.name)[::2], atol=2e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1.0])
def test_garbage_does_no_harm(model: MotionModel, bad: float) -> None:
    speech = np.concatenate([vowel("AA", 0.3), np.full(3200, bad, np.float32), silence(1.5)])
    motion = perform(model, speech)
    assert np.isfinite(motion.coefficients).all()
    assert np.abs(gap(model, motion)).max() < 0.5
    assert np.abs(gap(model, motion)[-15:]).max() < 0.01


def test_long_noise_stays_within_a_mouth(model: MotionModel) -> None:
    for level in (0.05, 1.0):
        assert np.abs(gap(model, perform(model, hiss(10.0, level)))).max() < 0.4


def test_streams_do_not_disturb_each_other(model: MotionModel) -> None:
    first, second = model.listen(Fraction(25)), model.listen(Fraction(25))
    parts = []
    for piece in np.split(SPEECH, 8):
        parts.append(first.push(piece))
        second.push(hiss(0.1, 0.2))
    frames = math.ceil(len(SPEECH) * 25 / SAMPLE_RATE)
    assert same(joined([*parts, first.finish(frames)]), perform(model, SPEECH))


def test_basis_is_what_renderers_expect(model: MotionModel) -> None:
    basis = model.basis
    count = len(basis.vectors)
    assert basis.points.shape == (61,)
    assert basis.vectors.shape == (count, 61, 3)
    assert not basis.mean.any()
    assert basis.canonical.shape == (478, 3)
    flat = basis.vectors.reshape(count, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(count), atol=1e-5)
    eyes = [(basis.canonical[a] + basis.canonical[b]) / 2 for a, b in ((33, 133), (362, 263))]
    assert np.linalg.norm(eyes[0] - eyes[1]) == pytest.approx(1.0, abs=0.01)


def test_weights_are_small_enough_to_commit() -> None:
    assert DEFAULT_WEIGHTS.stat().st_size <= 3_000_000


def test_missing_and_damaged_weights_are_refused(acoustic: AcousticModel, tmp_path: Path) -> None:
    def code(content: bytes | None) -> str:
        path = tmp_path / "motion.npz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            MotionModel.load(acoustic, path)
        return caught.value.code

    whole = DEFAULT_WEIGHTS.read_bytes()
    assert code(None) == "model_missing"
    assert code(b"") == "model_damaged"
    assert code(b"not a zip") == "model_damaged"
    assert code(whole[: len(whole) // 2]) == "model_damaged"
    with np.load(DEFAULT_WEIGHTS) as stored:
        arrays = dict(stored)
    del arrays["gru.hidden.bias"]
    np.savez(tmp_path / "other.npz", **arrays)
    assert code((tmp_path / "other.npz").read_bytes()) == "model_damaged"


def test_the_network_computes_what_pytorch_computed() -> None:
    with np.load(DEFAULT_WEIGHTS) as stored:
        arrays = dict(stored)
    network = Network(arrays, len(arrays["basis.vectors"]), len(PHONES))
    state = network.state()
    heard = arrays["check.heard"]
    # PyTorch's first step sees the first two blocks at once; here the first one only becomes the past.
    state.block = normalised(heard[:BLOCK])
    pieces = np.split(heard[BLOCK:], np.cumsum([BLOCK * steps for steps in (1, 1, 2, 1, 7, 2, 2, 10)]))
    answers = np.concatenate([network.answers(piece, state) for piece in pieces])
    np.testing.assert_allclose(answers, arrays["check.outputs"], atol=2e-5)


def test_the_network_gives_coefficients_and_probabilities() -> None:
    with np.load(DEFAULT_WEIGHTS) as stored:
        arrays = dict(stored)
    k, n = len(arrays["basis.vectors"]), len(PHONES)
    network = Network(arrays, k, n)
    heard = arrays["check.heard"].astype(np.float32)
    steps, answers = network.steps(heard, network.state()), network.answers(heard, network.state())
    np.testing.assert_array_equal(steps[:, :k], answers[:, :k])
    events, phones = answers[:, k:-n].astype(np.float64), answers[:, -n:].astype(np.float64)
    np.testing.assert_allclose(steps[:, k:-n], 1.0 / (1.0 + np.exp(-events)), atol=1e-6)
    np.testing.assert_allclose(steps[:, -n:], np.exp(phones) / np.exp(phones).sum(axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("name", ["blocks.2.bias", "gru.hidden.weight", "output.weight", "input.weight"])
def test_weights_that_do_not_fit_are_refused(name: str) -> None:
    with np.load(DEFAULT_WEIGHTS) as stored:
        arrays = dict(stored)
    arrays[name] = arrays[name][:-1]
    with pytest.raises(ValueError, match="reshape"):
        Network(arrays, len(arrays["basis.vectors"]), len(PHONES))


def test_frame_rate_must_be_positive(model: MotionModel) -> None:
    with pytest.raises(ValueError, match="fps"):
        model.listen(Fraction(0))


@pytest.mark.parametrize("loudness", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("level", [0.0, 1e-4, 3e-3])
def test_a_known_voice_leaves_the_mouth_still_in_silence(
    model: MotionModel, sample_speech: NDArray[np.float32], loudness: float, level: float
) -> None:
    stream = model.listen(Fraction(25), voice=acquaint(np.float32(loudness) * sample_speech))
    motion = joined([stream.push(hiss(4.0, level) if level else silence(4.0)), stream.finish(100)])
    assert np.abs(gap(model, motion)).max() < 0.02
