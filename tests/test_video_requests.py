"""Clips through every door: WebSocket, form, upload, live session, command line; and what each refuses."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from websockets.sync.client import connect as open_websocket

from lipstream.avatar import Avatar
from lipstream.client import Media, connect
from lipstream.config import Settings
from lipstream.errors import CancelledError
from lipstream.face.finder import FaceFinder
from lipstream.footage import load_footage
from lipstream.media.size import SizeLimit
from lipstream.media.video import VideoLimits
from tests.clips import Pixels, moving, video_bytes
from tests.live_server import LiveServer, running_server, wait_until
from tests.media import noisy_vowels, wav_bytes

SPEECH = wav_bytes(noisy_vowels(0.6), 16_000)
LONGEST = 2.0
"""Seconds of a clip that the server takes."""
LARGEST = 400_000
"""Bytes of a clip that it takes."""


@pytest.fixture(scope="module")
def pictures(astronaut: NDArray[np.uint8]) -> list[Pixels]:
    return moving(np.ascontiguousarray(astronaut[:256, 100:340]), 10).pictures


@pytest.fixture(scope="module")
def clip(pictures: list[Pixels]) -> bytes:
    """A face that sways, 240 × 256, ten frames."""
    return video_bytes(pictures)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    avatars = tmp_path_factory.mktemp("avatars")
    with running_server(Settings(avatar_dir=avatars, max_video_seconds=LONGEST, max_video_bytes=LARGEST)) as live:
        yield live


def ask(server: LiveServer, **fields: object) -> dict[str, Any]:
    files = {name: base64.b64encode(file).decode() for name, file in fields.items() if isinstance(file, bytes)}
    with open_websocket(server.websocket_url(), max_size=None) as websocket:
        websocket.send(json.dumps(fields | files))
        answer: dict[str, Any] = json.loads(websocket.recv(timeout=60))
        return answer


def check_clip(mp4: bytes, frames: int) -> None:
    """A video of the clip's size in which the background moves."""
    with av.open(io.BytesIO(mp4)) as file:
        video = file.streams.video[0]
        assert (video.width, video.height, video.frames) == (240, 256, frames)
        shown = [frame.to_ndarray(format="gray").astype(int)[:40] for frame in file.decode(video)]
    assert np.abs(shown[0] - shown[8]).mean() > 2


def test_over_the_websocket(server: LiveServer, clip: bytes) -> None:
    answer = ask(server, video=clip, audio=SPEECH, fps=30)
    assert answer["status"] == "success", answer
    check_clip(base64.b64decode(answer["video"]), 18)


def test_as_a_form(server: LiveServer, clip: bytes) -> None:
    """As browsers send it: the file field that was left alone is there, empty."""
    parts = {'"image"; filename=""': b"", '"video"; filename="me.mp4"': clip, '"audio"; filename="a.wav"': SPEECH}
    head = "--frontier\r\nContent-Disposition: form-data; name={}\r\nContent-Type: application/octet-stream\r\n\r\n"
    body = b"".join(head.format(name).encode() + content + b"\r\n" for name, content in parts.items())
    answer = httpx.post(
        server.url("/v1/lipsync"),
        content=body + b"--frontier--\r\n",
        headers={"content-type": "multipart/form-data; boundary=frontier"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    check_clip(answer.content, 15)


def test_exactly_one_of_picture_and_clip(server: LiveServer, clip: bytes) -> None:
    assert ask(server, audio=SPEECH)["code"] == "missing_field"
    assert ask(server, audio=SPEECH, image=b"x", video=clip)["code"] == "bad_field"
    for path in ("/v1/lipsync", "/v1/avatars"):
        speech = {"audio": SPEECH} if path == "/v1/lipsync" else {}
        both = httpx.post(server.url(path), files={"image": b"x", "video": clip, **speech})
        assert (both.status_code, both.json()["code"]) == (422, "bad_field")
    neither = httpx.post(server.url("/v1/lipsync"), files={"audio": SPEECH})
    assert (neither.status_code, neither.json()["code"]) == (422, "missing_field")


def test_what_is_refused(server: LiveServer, pictures: list[Pixels]) -> None:
    faceless = [np.full((96, 96, 3), 90, np.uint8)] * 5
    for file, status, code in (
        (b"no video", 415, "not_a_video"),
        (bytes(LARGEST + 1), 413, "video_too_large"),
        (video_bytes(faceless * 15), 413, "video_too_long"),
        (video_bytes(faceless), 422, "no_face"),
        (video_bytes([picture[:16] for picture in pictures]), 422, "video_too_small"),
    ):
        form = httpx.post(server.url("/v1/lipsync"), files={"video": file, "audio": SPEECH}, timeout=60)
        assert (form.status_code, form.json()["code"]) == (status, code)
        assert ask(server, video=file, audio=SPEECH)["code"] == code
        upload = httpx.post(server.url("/v1/avatars"), files={"video": file}, timeout=60)
        assert (upload.status_code, upload.json()["code"]) == (status, code)


def test_limits_are_told(server: LiveServer) -> None:
    limits = server.get_json("/v1/limits")
    assert (limits["max_video_seconds"], limits["max_video_bytes"]) == (LONGEST, LARGEST)


def test_an_uploaded_clip_lives(server: LiveServer, clip: bytes) -> None:
    """It plays while it idles, speaks, and plays on."""
    upload = httpx.post(server.url("/v1/avatars"), files={"video": clip}, timeout=60)
    assert upload.status_code == 201, upload.text
    record = upload.json()
    assert (record["kind"], record["seconds"], record["width"], record["height"]) == ("video", 0.4, 240, 256)
    assert httpx.get(server.url(f"/v1/avatars/{record['id']}")).json() == record
    assert httpx.get(server.url(f"/v1/avatars/{record['id']}/thumbnail")).content[:2] == b"\xff\xd8"
    pcm = (noisy_vowels(0.6) * 20_000).astype(np.int16)

    async def talk() -> bytes:
        media = b""
        async with connect(server.websocket_url("/ws/stream"), avatar=record["id"], sample_rate=16_000) as session:
            assert (session.ready["width"], session.ready["height"]) == (240, 256)
            await session.send(pcm)
            await session.end()
            ended = False
            async for item in session:
                if isinstance(item, Media):
                    media += item.data
                ended |= not isinstance(item, Media) and item.type == "speech.ended"
                if ended and not isinstance(item, Media) and item.type == "stats":
                    return media
        raise AssertionError("it ended early")

    media = asyncio.run(asyncio.wait_for(talk(), 60))
    with av.open(io.BytesIO(media)) as file:
        shown = [frame.to_ndarray(format="gray").astype(int)[:40] for frame in file.decode(video=0)]
    assert len(shown) > 20
    # Forth and back in 18 frames: after nine it is at its other end, all the time.
    assert min(np.abs(a - b).mean() for a, b in zip(shown[:-18:9], shown[9::9], strict=False)) > 2


def test_an_animation_is_a_picture_and_a_clip(server: LiveServer, pictures: list[Pixels], clip: bytes) -> None:
    first, *others = (Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])) for picture in pictures[:4])
    gif = io.BytesIO()
    first.save(gif, "GIF", save_all=True, append_images=others, duration=40)

    def upload(field: str, file: bytes) -> tuple[int, str]:
        answer = httpx.post(server.url("/v1/avatars"), files={field: file}, timeout=60)
        fields = answer.json()
        return answer.status_code, fields.get("kind") or fields["code"]

    assert upload("image", gif.getvalue()) == (201, "image")
    assert upload("video", gif.getvalue()) == (201, "video")
    assert upload("image", gif.getvalue()) == (200, "image")
    assert upload("video", clip)[1] == "video"
    assert upload("image", clip) == (415, "not_an_image")


def test_uploads_are_read_as_strictly_as_jobs(server: LiveServer, clip: bytes) -> None:
    def upload(*parts: tuple[str, tuple[str | None, bytes]]) -> tuple[int, str]:
        answer = httpx.post(server.url("/v1/avatars"), files=list(parts), timeout=60)
        return answer.status_code, answer.json().get("code", "")

    video, text = ("video", ("clip.mp4", clip)), ("video", (None, b"clip"))
    assert upload(video, video) == (422, "bad_field")
    assert upload(text) == (422, "bad_field")
    assert upload(video, ("fps", (None, b"25"))) == (422, "unknown_field")
    assert upload(video, ("face_index", (None, b"1.5"))) == (422, "bad_field")
    assert upload(video, ("face_index", (None, b"null")))[1] == ""


def test_an_uploader_that_leaves_stops_the_preparation(pictures: list[Pixels], tmp_path: Path) -> None:
    long = video_bytes((pictures + pictures[::-1]) * 24, options={"crf": "30", "preset": "ultrafast"})
    with running_server(Settings(avatar_dir=tmp_path)) as server:
        request = httpx.Request("POST", server.url("/v1/avatars"), files={"video": long})
        body = request.read()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            connection.sendall(f"POST /v1/avatars HTTP/1.1\r\n{headers}\r\n".encode() + body)
            wait_until(lambda: server.metric("lipstream_jobs_running") == 1, "the clip is being prepared")
        wait_until(lambda: server.metric("lipstream_jobs_running") == 0, "its worker is free again")
        assert server.get_json("/v1/avatars") == {"avatars": []}


def test_who_leaves_before_a_session_is_ready_stops_its_preparation(
    pictures: list[Pixels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ends = threading.Event(), []

    def watched(*arguments: Any) -> Avatar:
        begun.set()
        try:
            avatar = load_footage(*arguments)
        except CancelledError:
            ends.append("stopped")
            raise
        ends.append("done")
        return avatar

    with running_server(Settings(avatar_dir=tmp_path)) as server:
        long = video_bytes((pictures + pictures[::-1]) * 24, options={"crf": "30", "preset": "ultrafast"})
        avatar = httpx.post(server.url("/v1/avatars"), files={"video": long}, timeout=60).json()["id"]
    with running_server(Settings(avatar_dir=tmp_path)) as server:  # to which the clip is new
        monkeypatch.setattr("lipstream.studio.load_footage", watched)
        with open_websocket(server.websocket_url("/ws/stream")) as websocket:
            websocket.send(json.dumps({"type": "session.start", "avatar": avatar}))
            assert begun.wait(30)
        wait_until(lambda: ends, "the preparation ends")
        assert ends == ["stopped"]
        wait_until(lambda: server.metric("lipstream_live_sessions") == 0, "its place is free")


def test_a_clip_is_prepared_once_for_upload_and_session(
    clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[SizeLimit | None] = []

    def counted(data: bytes, finder: FaceFinder, of_file: VideoLimits, limit: SizeLimit | None, *rest: Any) -> Avatar:
        limits.append(limit)
        return load_footage(data, finder, of_file, limit, *rest)

    monkeypatch.setattr("lipstream.studio.load_footage", counted)
    with running_server(Settings(avatar_dir=tmp_path)) as server:
        upload = httpx.post(server.url("/v1/avatars"), files={"video": clip}, timeout=60).json()

        def ready(**video: int) -> tuple[int, int]:
            with open_websocket(server.websocket_url("/ws/stream")) as websocket:
                websocket.send(json.dumps({"type": "session.start", "avatar": upload["id"], "video": video}))
                answer = json.loads(websocket.recv(60))
            return answer["width"], answer["height"]

        assert ready() == (240, 256)
        assert limits == [None]
        assert ready(width=120) == (120, 128)
        assert [limit.width if limit else None for limit in limits] == [None, 120], "smaller pictures are others"


def test_the_command_line_tells_by_the_content(clip: bytes, tmp_path: Path) -> None:
    source, speech, target = tmp_path / "me.jpg", tmp_path / "hello.wav", tmp_path / "talking.mp4"
    source.write_bytes(clip)
    speech.write_bytes(SPEECH)
    command = [sys.executable, "-m", "lipstream", "render", str(source), str(speech), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    check_clip(target.read_bytes(), 15)
