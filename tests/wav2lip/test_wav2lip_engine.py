"""The engine on a real, small network: frames, timing, options."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.base import Actor, Engine, Patch
from lipstream.engines.wav2lip.box import Box
from lipstream.engines.wav2lip.engine import CPU_BATCH, Options, Wav2LipActor, Wav2LipEngine, network_face
from lipstream.engines.wav2lip.network import FaceEncoder, Shares
from lipstream.errors import RequestError
from lipstream.media.clock import frame_count, frame_rate
from lipstream.session import Session

FPS = Fraction(25)


@pytest.fixture(scope="module")
def actor(small_engine: Wav2LipEngine, head: Avatar) -> Wav2LipActor:
    return small_engine.prepare(head)


@pytest.fixture(scope="module")
def speech(sample_speech: NDArray[np.float32]) -> NDArray[np.float32]:
    return sample_speech[8_000:24_000]


def frames(
    actor: Wav2LipActor, audio: NDArray[np.float32], fps: Fraction = FPS, batch: int = 1, cuts: list[int] | None = None
) -> list[Patch]:
    performance = actor.perform(fps, batch=batch)
    made = [patch for chunk in np.split(audio, sorted(cuts or [])) for patch in performance.push(chunk)]
    return [*made, *performance.finish(frame_count(len(audio), 16_000, fps))]


def equal(some: list[Patch], others: list[Patch]) -> bool:
    pairs = zip(some, others, strict=True)
    return all((a.x, a.y) == (b.x, b.y) and np.array_equal(a.pixels, b.pixels) for a, b in pairs)


def test_it_is_an_engine(small_engine: Wav2LipEngine, actor: Wav2LipActor) -> None:
    engine: Engine = small_engine
    shared: Actor = actor
    assert (engine.name, small_engine.img_size, small_engine.device) == ("wav2lip", 96, "cpu")
    assert shared.avatar.size == (256, 256)


def test_the_face_of_a_still_is_encoded_once(
    small_engine: Wav2LipEngine, head: Avatar, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is said."""
    encoded = []
    encode = FaceEncoder.__call__

    def counted(encoder: FaceEncoder, face: NDArray[np.float32]) -> Shares:
        encoded.append(face.shape)
        return encode(encoder, face)

    monkeypatch.setattr(FaceEncoder, "__call__", counted)
    actor = small_engine.prepare(head)
    for batch in (1, CPU_BATCH):
        assert len(frames(actor, speech, batch=batch)) == 25
    assert encoded == [(6, 96, 96)]


@pytest.mark.parametrize("fps", [1, 10, 23.976, 25, 29.97, 30, 50, 60])
@pytest.mark.parametrize("samples", [1, 320, 2_999, 16_000])
@pytest.mark.parametrize("batch", [1, CPU_BATCH])
def test_frames_are_the_duration_rounded_up(actor: Wav2LipActor, fps: float, samples: int, batch: int) -> None:
    """Traps: 22 frames for one second, crashes under 0.19 s, dropped partial batches."""
    rate = frame_rate(fps)
    audio = np.full(samples, 0.2, np.float32)
    assert len(frames(actor, audio, rate, batch)) == math.ceil(Fraction(samples, 16_000) * rate)


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 16_000), max_size=20))
def test_any_chunking_gives_identical_frames(actor: Wav2LipActor, speech: NDArray[np.float32], cuts: list[int]) -> None:
    assert equal(frames(actor, speech), frames(actor, speech, cuts=cuts))
    assert equal(frames(actor, speech, batch=CPU_BATCH), frames(actor, speech, batch=CPU_BATCH, cuts=cuts))


def test_batches_make_the_same_pictures(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    one, eight = frames(actor, speech), frames(actor, speech, batch=CPU_BATCH)
    worst = max(np.abs(a.pixels.astype(int) - b.pixels).max() for a, b in zip(one, eight, strict=True))
    assert worst <= 1


def test_a_batch_larger_than_useful_is_cut(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    assert equal(frames(actor, speech, batch=128), frames(actor, speech, batch=CPU_BATCH))
    assert equal(frames(actor, speech, batch=CPU_BATCH - 1), frames(actor, speech))


def test_frames_come_once_their_audio_is_there(
    small_engine: Wav2LipEngine, actor: Wav2LipActor, speech: NDArray[np.float32]
) -> None:
    performance, shown = actor.perform(FPS), 0
    for end in range(160, len(speech) + 1, 160):
        shown += sum(1 for _ in performance.push(speech[end - 160 : end]))
        due = math.floor((Fraction(end, 16_000) - small_engine.lookahead) * FPS) + 1
        assert shown >= due


def test_the_session_runs_it(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    session = Session(actor, sample_rate=16_000, fps=FPS)
    made = [*session.push(speech), *session.flush()]
    assert [frame.index for frame in made] == list(range(25))


def test_the_mouth_moves_in_speech_only(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    still = frames(actor, np.zeros(16_000, np.float32))
    assert all(np.array_equal(patch.pixels, still[0].pixels) for patch in still)
    x, y, pixels = still[0].x, still[0].y, still[0].pixels
    assert np.array_equal(pixels, actor.avatar.picture[y : y + pixels.shape[0], x : x + pixels.shape[1]])
    moving = frames(actor, speech)
    assert not np.array_equal(moving[10].pixels, moving[14].pixels)


def test_full_never_holds_the_photo(full_engine: Wav2LipEngine, head: Avatar) -> None:
    """As the original: the parity mode babbles on silence too."""
    still = frames(full_engine.prepare(head), np.zeros(8_000, np.float32))
    x, y, pixels = still[0].x, still[0].y, still[0].pixels
    assert not np.array_equal(pixels, head.picture[y : y + pixels.shape[0], x : x + pixels.shape[1]])


def test_both_blends_show_the_same_mouth(small_engine: Wav2LipEngine, full_engine: Wav2LipEngine, head: Avatar) -> None:
    """The mouth-side network computes fewer rows; those it computes are the whole network's."""
    face = network_face(head.picture, Box(60, 40, 200, 220), 96)
    windows = np.random.default_rng(0).uniform(-4, 4, (5, 80, 16)).astype(np.float32)
    pictures = {}
    for engine in (small_engine, full_engine):
        network = engine._network
        pictures[engine] = network.generate(windows, network.encode(face), batch=2)
    first = small_engine._network.first_row
    assert first > 0
    assert full_engine._network.first_row == 0
    assert np.abs(pictures[small_engine] - pictures[full_engine][:, first:]).max() < 1e-3


def test_pads_move_what_the_network_sees(
    small_engine: Wav2LipEngine, head: Avatar, speech: NDArray[np.float32]
) -> None:
    plain, padded = small_engine.prepare(head), small_engine.prepare(head, Options(pads=(0, 30, 20, 20)))
    assert not equal(frames(plain, speech)[10:11], frames(padded, speech)[10:11])


def weights_of(patches: list[Patch], rest: Patch) -> list[bool]:
    """Whether each frame differs from the photo."""
    return [not np.array_equal(patch.pixels, rest.pixels) for patch in patches]


def test_idle_eases_to_the_photo_and_stays(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    performance = actor.perform(FPS)
    rest = performance.idle()
    assert np.array_equal(rest.pixels, performance.idle().pixels)
    spoken = list(performance.push(speech))
    idle = [performance.idle() for _ in range(6)]
    steps = [np.abs(a.pixels.astype(int) - b.pixels).max() for a, b in pairwise([spoken[-1], *idle])]
    whole = np.abs(spoken[-1].pixels.astype(int) - rest.pixels).max()
    assert max(steps) <= whole / 2
    assert weights_of(idle, rest) == [True, True, False, False, False, False]


def test_audio_is_not_lost_while_idle(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    """A late sender: idle frames in between, then the utterance goes on where it was."""
    performance, smooth = actor.perform(FPS), frames(actor, speech)
    made = list(performance.push(speech[:8_000]))
    for _ in range(5):
        performance.idle()
    late = list(performance.push(speech[8_000:]))
    assert equal(made, smooth[: len(made)])
    assert equal(late[5:10], smooth[len(made) + 5 : len(made) + 10])


def test_utterances_follow_each_other(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    performance, expected = actor.perform(FPS), frames(actor, speech)
    for _ in range(2):
        assert equal([*performance.push(speech), *performance.finish(25)], expected)


def test_an_abandoned_end_is_no_harm(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    performance, expected = actor.perform(FPS), frames(actor, speech)
    list(performance.push(speech))
    next(performance.finish(25))
    made = [*performance.push(speech), *performance.finish(25)]
    assert equal(made[5:], expected[5:])


def test_clear_forgets_and_eases(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    performance, expected = actor.perform(FPS), frames(actor, speech)
    list(performance.push(speech[:9_000]))
    performance.clear()
    for _ in range(5):
        performance.idle()
    assert equal([*performance.push(speech), *performance.finish(25)], expected)


def test_img_size_must_be_the_checkpoints(small_engine: Wav2LipEngine, head: Avatar) -> None:
    """Trap: another size is not an error in the original, only garbage."""
    assert small_engine.prepare(head, Options(img_size=96))
    with pytest.raises(RequestError) as caught:
        small_engine.prepare(head, Options(img_size=288))
    assert caught.value.code == "bad_field"
    assert "288" in caught.value.message
    assert "96" in caught.value.message


def test_network_face_is_masked_below() -> None:
    picture = np.random.default_rng(0).integers(1, 255, (96, 96, 3), np.uint8)
    face = network_face(picture, Box(0, 0, 96, 96), 96)
    assert face.shape == (6, 96, 96)
    assert np.array_equal(face[3:], np.moveaxis(picture, 2, 0).astype(np.float32) / np.float32(255.0))
    assert np.array_equal(face[:3, :48], face[3:, :48])
    assert not face[:3, 48:].any()


def test_threads_share_an_actor(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    expected, made = frames(actor, speech[:8_000]), {}

    def work(name: int) -> None:
        made[name] = frames(actor, speech[:8_000], batch=1 if name % 2 else CPU_BATCH)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal(made[1], expected)
    assert equal(made[3], expected)
    assert equal(made[0], made[2])
