"""The studio: from bytes to an MP4, and every reason why not."""

from __future__ import annotations

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.config import Settings
from lipstream.errors import EngineError, FaceError, ImageError
from lipstream.face.finder import FaceFinder
from lipstream.models.store import ModelStore
from lipstream.session import Session
from lipstream.studio import Job, Studio
from tests.media import png_bytes, wav_bytes
from tests.turned_head import turned_head

QUIET = wav_bytes(np.zeros(4_000, np.float32), 16_000)


def test_a_job_becomes_a_video(studio: Studio, sample_portrait: Path, short_speech: Path) -> None:
    mp4 = studio.render(Job(image=sample_portrait.read_bytes(), audio=short_speech.read_bytes()))
    with av.open(io.BytesIO(mp4)) as file:
        assert file.streams.video[0].frames == 25


def test_silence_works(studio: Studio, sample_portrait: Path) -> None:
    mp4 = studio.render(Job(image=sample_portrait.read_bytes(), audio=QUIET))
    with av.open(io.BytesIO(mp4)) as file:
        assert file.streams.video[0].frames == 7


def test_a_limit_below_the_size_of_our_own_portrait_keeps_nobody_from_working(
    store: ModelStore, portrait: bytes
) -> None:
    """The portrait is what the warm-up draws."""
    strict = Studio.open(Settings(cache_dir=store.cache, max_image_pixels=100_000))
    strict.warm_up()
    assert strict.render(Job(image=portrait, audio=QUIET))


def test_a_gpu_without_a_use_for_it_is_mentioned(
    store: ModelStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Servers of other tests change both.
    monkeypatch.setattr(logging.getLogger("lipstream"), "propagate", True)
    caplog.set_level(logging.WARNING, logger="lipstream")
    nowhere = tmp_path / "wav2lip.pth"
    mention = (
        f"device=cuda has no effect: only the engine wav2lip uses it, and its checkpoint {nowhere} does not exist."
    )
    Studio.open(Settings(cache_dir=store.cache, wav2lip_path=nowhere))
    assert mention not in caplog.messages
    Studio.open(Settings(cache_dir=store.cache, wav2lip_path=nowhere, device="cuda"))
    assert mention in caplog.messages


def test_a_face_turned_too_far_is_refused_with_its_angle(
    studio: Studio, finder: FaceFinder, astronaut: NDArray[np.uint8]
) -> None:
    turned = turned_head(astronaut, finder.largest(astronaut), 60)
    with pytest.raises(FaceError) as refused:
        studio.render(Job(image=png_bytes(turned), audio=QUIET))
    assert refused.value.code == "face_turned"
    assert "°" in refused.value.message


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_that_is_not_upright_is_refused(studio: Studio, astronaut: NDArray[np.uint8], turns: int) -> None:
    with pytest.raises(FaceError) as refused:
        studio.avatar(png_bytes(np.ascontiguousarray(np.rot90(astronaut, turns))))
    assert refused.value.code == "face_turned"
    assert refused.value.message.endswith("Turn the picture upright.")


def test_no_face(studio: Studio) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    with pytest.raises(FaceError) as refused:
        studio.render(Job(image=png_bytes(noise), audio=QUIET))
    assert refused.value.code == "no_face"


def test_the_largest_of_several_faces_speaks(studio: Studio, astronaut: NDArray[np.uint8]) -> None:
    """The two are side by side, one at half size; what changes lies within the large one."""
    head = astronaut[:256, 96:352]
    picture = np.full((256, 512, 3), 200, np.uint8)
    picture[64:192, 64:192] = cv2.resize(head, (128, 128), interpolation=cv2.INTER_AREA)
    picture[:, 256:] = head
    session = Session(studio.actor(png_bytes(picture)), sample_rate=16_000, fps=Fraction(25))
    frames = [*session.push(np.zeros(4_000, np.float32)), *session.flush()]
    assert all(frame.patch.x >= 256 for frame in frames)


def test_an_engine_that_is_not_there(studio: Studio, sample_portrait: Path) -> None:
    with pytest.raises(EngineError) as refused:
        studio.render(Job(image=sample_portrait.read_bytes(), audio=QUIET, engine="wav2lip"))
    assert refused.value.code == "engine_unavailable"
    assert studio.engines == ["portrait"]


def test_the_recording_is_checked_before_the_picture(studio: Studio) -> None:
    with pytest.raises(ImageError):
        studio.render(Job(image=b"nothing", audio=QUIET))


def test_jobs_side_by_side_do_not_mix(studio: Studio, astronaut: NDArray[np.uint8], short_speech: Path) -> None:
    speech = short_speech.read_bytes()
    pictures = [np.ascontiguousarray(astronaut[:256, x : x + 256]) for x in (60, 96, 130)]
    jobs = [Job(image=png_bytes(picture), audio=speech) for picture in pictures]
    alone = [studio.render(job) for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(studio.render, jobs))
    assert [pictures_of(mp4) for mp4 in together] == [pictures_of(mp4) for mp4 in alone]


def pictures_of(mp4: bytes) -> list[bytes]:
    with av.open(io.BytesIO(mp4)) as file:
        return [frame.to_ndarray(format="gray").tobytes() for frame in file.decode(video=0)]
