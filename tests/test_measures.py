"""The measures of motion, on motions whose figures are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.engines.portrait.motion import MotionModel
from lipstream.engines.portrait.phones import N_STATES, AcousticModel
from lipstream.models.store import ModelStore
from training.evaluate import PER_FRAME, acoustic_model, displacements, flat_basis
from training.measures import Comparison, Figures, bilabials_of, measure, pauses
from training.openings import chance, closures, correlation, is_closed, is_closed_near, peak, speech_span
from training.phonetics import align_sentence, grid_sentence
from training.prepare import FPS, POINTS, SAMPLE_RATE, Array, Clip, index_of, jaw_map, opening_map, width_map

FRAMES = 100
LOWER, CHIN, CORNER = (14, 87, 317), 152, 291


def mouth(opening: Array, width: Array, jaw: Array) -> Array:
    """(n, 183) displacements with these curves, IOD."""
    points = np.zeros((len(opening), len(POINTS), 3))
    for point in LOWER:
        points[:, index_of(point), 1] = opening
    points[:, index_of(CORNER), 0] = width
    points[:, index_of(CHIN), 1] = jaw
    return points.reshape(len(opening), -1)


def speaking(time: Array) -> Array:
    """Opening at times in seconds: syllables of unequal height, shut between them."""
    return np.asarray(0.05 * (1 - np.cos(2 * np.pi * 2.5 * time)) * (1 + 0.3 * np.sin(1.7 * time)))


def curves(time: Array) -> Array:
    """(n, 183): a mouth that speaks, widens and drops its jaw, each in its own rhythm."""
    return mouth(speaking(time), 0.05 * np.sin(5 * time), 0.04 * np.sin(3 * time + 1))


def clip(words: tuple[tuple[float, float, str], ...] = ()) -> Clip:
    """What was filmed: four seconds of :func:`curves`, in silence."""
    raw = curves(np.arange(FRAMES) / FPS).reshape(FRAMES, -1, 3)
    return Clip("a", np.zeros(4 * SAMPLE_RATE, np.float32), raw, raw, np.zeros((len(POINTS), 3)), words)


def compared(shown: Array, per_frame: int = 1, bilabials: tuple[int, ...] = ()) -> Figures:
    comparison = Comparison(np.stack([opening_map(), width_map(), jaw_map()]))
    comparison.add(clip(), shown, list(bilabials), per_frame)
    return comparison.figures()


def test_the_film_itself_is_perfect() -> None:
    figures = compared(curves(np.arange(FRAMES) / FPS))
    assert [figures.opening_r, figures.width_r, figures.jaw_r, *figures.component_r] == pytest.approx([1.0] * 6)
    assert figures.opening_rmse == figures.width_rmse == figures.jaw_rmse == figures.lip_rmse == 0.0
    assert figures.amplitude == figures.amplitude_width == pytest.approx(1.0)
    assert figures.lag_frames == pytest.approx(0.0, abs=0.02)
    assert figures.filmed_closures == 9
    assert figures.closures == figures.filmed_hit == figures.closures_right == 1.0
    assert figures.bilabials == 0
    assert figures.bilabials_hit is figures.bilabials_chance is None


@pytest.mark.parametrize("per_frame", [1, 4])
@given(late=st.floats(-1.5, 1.5), gain=st.floats(0.2, 3.0))
def test_lag_and_amplitude_are_found(per_frame: int, late: float, gain: float) -> None:
    """To a tenth of a frame, also where only whole frames are seen."""
    time = np.arange(FRAMES * per_frame) / (FPS * per_frame)
    figures = compared(gain * curves(time - late / FPS), per_frame)
    assert figures.lag_frames == pytest.approx(late, abs=0.1)
    assert figures.amplitude == pytest.approx(gain, rel=0.1)  # the ends differ, which lie outside the clip
    assert figures.amplitude_width == pytest.approx(gain, rel=0.1)


@given(offset=st.floats(-0.05, 0.05))
def test_a_constant_error_is_in_the_rmse_only(offset: float) -> None:
    time = np.arange(FRAMES) / FPS
    figures = compared(mouth(speaking(time), 0.05 * np.sin(5 * time) + offset, 0.04 * np.sin(3 * time + 1)))
    assert figures.width_rmse == pytest.approx(abs(offset))
    assert figures.width_r == pytest.approx(1.0)
    assert figures.opening_rmse == pytest.approx(0.0)


def test_a_mouth_that_misses_closures() -> None:
    """Two of nine closures are talked over; one is shown where the film has none."""
    time = np.arange(FRAMES) / FPS
    filmed = speaking(time)
    true = closures(filmed)
    shown = filmed.copy()
    for frame in true[2:4]:
        shown[frame - 3 : frame + 4] = np.maximum(shown[frame - 3 : frame + 4], 0.08)
    shown[true[2] + 5] = 0.0
    figures = compared(mouth(shown, time, time), bilabials=tuple(true))
    assert figures.filmed_hit == figures.bilabials_hit == figures.closures == pytest.approx(7 / 9)
    assert figures.bilabials_filmed == 1.0
    assert figures.closures_right == pytest.approx(7 / 8)
    assert figures.filmed_chance is not None
    assert figures.filmed_chance < 0.6


def test_chance_is_what_blind_picking_hits() -> None:
    opening = speaking(np.arange(FRAMES) / FPS)
    span = speech_span(opening)
    picks = np.random.default_rng(0).integers(*span, size=4000)
    assert chance(opening, span) == pytest.approx(np.mean([is_closed_near(opening, int(p)) for p in picks]), abs=0.03)
    assert 0.1 < chance(opening, span) < 0.9


@given(scale=st.floats(0.01, 100.0))
def test_closures_do_not_depend_on_size(scale: float) -> None:
    opening = speaking(np.arange(FRAMES) / FPS)
    assert closures(scale * opening) == closures(opening)
    assert (is_closed(scale * opening) == is_closed(opening)).all()


def test_a_mouth_that_does_not_move_correlates_with_nothing() -> None:
    assert correlation(np.full(9, 0.3), np.arange(9.0)) == 0.0


@given(place=st.floats(-2.0, 2.0))
def test_peak_of_a_parabola(place: float) -> None:
    assert peak(-((np.arange(-3.0, 4.0) - place) ** 2).astype(np.float64)) == pytest.approx(place)


def test_pauses_keep_away_from_words() -> None:
    words = ((0.0, 1.0, "sil"), (1.0, 2.0, "bin"), (2.0, 2.5, "sil"), (2.5, 3.0, "blue"), (3.0, 4.0, "sil"))
    assert pauses(clip(words), FRAMES) == [(0, 17), (83, 100)]  # half a second leaves nothing


def test_stillness_in_pauses() -> None:
    words = ((0.0, 1.0, "sil"), (1.0, 4.0, "bin"))
    time = np.arange(FRAMES) / FPS
    comparison = Comparison()
    trembling = speaking(time) * (time >= 0.8) + np.where(np.arange(FRAMES) % 2, 0.01, 0.0) * (time < 0.8)
    comparison.add(clip(words), mouth(trembling, time, time), [])
    figures = comparison.figures()
    assert figures.rest_jitter == pytest.approx(0.01, rel=0.01)
    assert figures.rest_opening == pytest.approx(0.005, rel=0.1)
    assert figures.pauses_closed == 1.0


@pytest.fixture(scope="module")
def acoustic(store: ModelStore) -> AcousticModel:
    return acoustic_model(store)


def test_no_bilabials_without_known_words(acoustic: AcousticModel) -> None:
    assert bilabials_of(acoustic, clip()) == []
    assert bilabials_of(acoustic, clip(((0.0, 4.0, "supercalifragilistic"),))) == []


def test_bilabials_lie_in_their_words(acoustic: AcousticModel) -> None:
    words = ((0.0, 1.0, "sil"), (1.0, 1.4, "bin"), (1.4, 2.0, "set"), (2.0, 2.5, "place"), (2.5, 4.0, "sil"))
    first, second = bilabials_of(acoustic, clip(words))
    assert 24 <= first <= 35
    assert 49 <= second <= 63


def test_clip_names_tell_sentences() -> None:
    assert grid_sentence("s26_bgbsza") == ["bin", "green", "by", "s", "zero", "again"]
    assert grid_sentence("pwij3p") == ["place", "white", "in", "j", "three", "please"]
    for name in ("one_a", "bgbwza", "bgbsz", "xgbsza", ""):
        assert grid_sentence(name) == []


def test_sentences_are_aligned_in_order(acoustic: AcousticModel) -> None:
    """Whatever is heard, here nothing: two b in the sentence are two moments, and phones follow each other as said."""
    named = replace(clip(), name="s26_bgbsza")
    assert len(bilabials_of(acoustic, named)) == 2
    rows = np.random.default_rng(0).uniform(-9, 0, (300, N_STATES)).astype(np.float32)
    phones = align_sentence(rows, ["bin", "set"])
    assert len(phones) == 300
    assert [phone for phone, _ in groupby(phones)] == ["SIL", "B", "IH", "N", "S", "EH", "T", "SIL"]


def test_a_model_is_measured_against_its_own_motion(acoustic: AcousticModel, sample_speech: np.ndarray) -> None:
    """Through the real network: what it says now, taken for the film, is hit exactly; half of it is half as large."""
    model = MotionModel.load(acoustic)
    frames = 75
    raw = displacements(model, sample_speech, frames)[::PER_FRAME].reshape(frames, -1, 3)
    filmed = replace(clip(), audio=sample_speech, raw=raw, motion=raw)

    def half(audio: np.ndarray, frames: int) -> Array:
        return displacements(model, audio, frames) / 2

    figures = measure(half, [filmed, filmed], per_frame=PER_FRAME, basis=flat_basis(model), acoustic=acoustic)
    assert figures.clips == 2
    assert figures.opening_r == pytest.approx(1.0)
    assert figures.amplitude == pytest.approx(0.5)
    assert figures.lag_frames == pytest.approx(0.0, abs=0.05)
