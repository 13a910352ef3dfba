"""A picture with several faces: ``face_index`` counts them from left to right, whoever asks."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner
from websockets.sync.client import connect as open_websocket

from lipstream.cli import app
from lipstream.client import Media, connect
from lipstream.config import Settings
from lipstream.errors import FaceError, LipstreamError
from lipstream.face.finder import FaceFinder
from lipstream.media.size import SizeLimit
from lipstream.studio import Studio
from tests.live_server import LiveServer, running_server
from tests.media import noisy_vowels, wav_bytes

WIDTHS = (180, 420, 200)
"""Of the three pictures side by side, pixels."""


@pytest.fixture(scope="module")
def crowd(astronaut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three faces: a small one, mirrored, a large one, and a small one again."""
    head = astronaut[20:260, 100:340]
    picture = np.full((420, sum(WIDTHS), 3), 90, np.uint8)
    left = 0
    for number, width in enumerate(WIDTHS):
        scaled = cv2.resize(head, (width, width), interpolation=cv2.INTER_AREA if width < 240 else cv2.INTER_CUBIC)
        picture[:width, left : left + width] = scaled[:, ::-1] if number == 0 else scaled
        left += width
    return picture


@pytest.fixture(scope="module")
def photo(crowd: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", crowd)[1])


@pytest.fixture(scope="module")
def speech() -> bytes:
    return wav_bytes(noisy_vowels(0.4), 16_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(Settings(avatar_dir=tmp_path_factory.mktemp("avatars"))) as live:
        yield live


def speaker(frame: NDArray[np.uint8], crowd: NDArray[np.uint8]) -> int:
    """Which of the three pictures differs most from the photo."""
    change = np.abs(frame.astype(int) - crowd).mean(axis=2)
    ends = np.cumsum(WIDTHS)
    return int(np.argmax([change[:, end - width : end].max() for end, width in zip(ends, WIDTHS, strict=True)]))


def last_frame(mp4: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(mp4)) as file:
        *_, frame = file.decode(video=0)
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def test_faces_are_counted_from_left_to_right(finder: FaceFinder, crowd: NDArray[np.uint8]) -> None:
    faces = finder.everyone(crowd)
    ends = np.cumsum(WIDTHS)
    assert len(faces) == 3
    for index, (end, width) in enumerate(zip(ends, WIDTHS, strict=True)):
        for face in (faces[index], finder.chosen(crowd, index)):
            assert end - width < face.landmarks[1, 0] < end
    assert finder.largest(crowd).landmarks[1] == pytest.approx(finder.chosen(crowd, 1).landmarks[1], abs=2)


@pytest.mark.parametrize("index", [3, 99, -1])
def test_an_index_that_is_not_there_tells_how_many_are(
    finder: FaceFinder, crowd: NDArray[np.uint8], index: int
) -> None:
    with pytest.raises(FaceError) as caught:
        finder.chosen(crowd, index)
    assert caught.value.code == "face_index_out_of_range"
    assert "are 3 faces" in caught.value.message
    with pytest.raises(FaceError) as alone:
        finder.chosen(np.ascontiguousarray(crowd[:, : WIDTHS[0]]), 1)
    assert "is 1 face " in alone.value.message


def test_no_face_stays_no_face(finder: FaceFinder) -> None:
    with pytest.raises(FaceError) as caught:
        finder.chosen(np.full((300, 300, 3), 127, np.uint8), 0)
    assert caught.value.code == "no_face"


def test_faces_are_counted_before_the_picture_is_made_small(studio: Studio, photo: bytes) -> None:
    small = studio.avatar(photo, SizeLimit(10**9, 200), face_index=2)
    assert small.size[0] == 200
    assert small.face.landmarks[1, 0] > 200 * sum(WIDTHS[:2]) / sum(WIDTHS)
    assert studio.actor(photo, "portrait", face_index=0) is not studio.actor(photo, "portrait")


def test_over_the_websocket(server: LiveServer, photo: bytes, speech: bytes, crowd: NDArray[np.uint8]) -> None:
    request = {"image": base64.b64encode(photo).decode(), "audio": base64.b64encode(speech).decode()}
    with open_websocket(server.websocket_url(), max_size=None) as websocket:
        for fields, who in (({}, 1), ({"face_index": None}, 1), ({"face_index": 0}, 0), ({"face_index": 2}, 2)):
            websocket.send(json.dumps(request | fields))
            answer = json.loads(websocket.recv(timeout=60))
            assert set(answer) == {"status", "video"}
            assert speaker(last_frame(base64.b64decode(answer["video"])), crowd) == who
        websocket.send(json.dumps(request | {"face_index": 3}))
        answer = json.loads(websocket.recv(timeout=60))
        assert answer["code"] == "face_index_out_of_range"


def test_as_an_upload(server: LiveServer, photo: bytes, speech: bytes, crowd: NDArray[np.uint8]) -> None:
    files = {"image": photo, "audio": speech}
    answer = httpx.post(server.url("/v1/lipsync"), files=files, data={"face_index": "0"}, timeout=60)
    assert speaker(last_frame(answer.content), crowd) == 0
    refused = httpx.post(server.url("/v1/lipsync"), files=files, data={"face_index": "7"}, timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (422, "face_index_out_of_range")


def test_as_an_avatar_and_in_a_stream(server: LiveServer, photo: bytes, crowd: NDArray[np.uint8]) -> None:
    with httpx.Client(base_url=server.url("")) as client:
        plain = client.post("/v1/avatars", files={"image": photo}).json()
        first = client.post("/v1/avatars", files={"image": photo}, data={"face_index": "0"}).json()
        again = client.post("/v1/avatars", files={"image": photo}, data={"face_index": "0"})
        assert (again.status_code, again.json()) == (200, first)
        assert "face_index" not in plain
        assert first["face_index"] == 0
        assert first["id"] != plain["id"]
        assert first["face"]["x"] < WIDTHS[0] < plain["face"]["x"]
        assert client.get(f"/v1/avatars/{first['id']}").json() == first

    async def who(**choice: str | bytes | int) -> int:
        options = {"container": "mjpeg", "idle": "still"} | choice
        async with connect(server.websocket_url("/ws/stream"), **options) as session:  # type: ignore[arg-type]
            async for item in session:
                if isinstance(item, Media):
                    jpeg = np.frombuffer(item.data[24:], np.uint8)
                    return speaker(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8), crowd)
        raise AssertionError("no picture came")

    assert asyncio.run(who(image=photo)) == 1
    assert asyncio.run(who(image=photo, face_index=0)) == 0
    assert asyncio.run(who(avatar=first["id"])) == 0
    assert asyncio.run(who(avatar=first["id"], face_index=1)) == 1
    with pytest.raises(LipstreamError) as caught:
        asyncio.run(who(image=photo, face_index=5))
    assert caught.value.code == "face_index_out_of_range"


def test_on_the_command_line(photo: bytes, speech: bytes, crowd: NDArray[np.uint8], tmp_path: Path) -> None:
    portrait, recording, video = tmp_path / "crowd.png", tmp_path / "speech.wav", tmp_path / "out.mp4"
    portrait.write_bytes(photo)
    recording.write_bytes(speech)
    command = ["render", str(portrait), str(recording), "-o", str(video), "--face-index"]
    assert CliRunner().invoke(app, [*command, "2"]).exit_code == 0
    assert speaker(last_frame(video.read_bytes()), crowd) == 2
    refused = CliRunner().invoke(app, [*command, "3"])
    assert refused.exit_code == 3
