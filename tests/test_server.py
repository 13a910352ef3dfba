"""The server as its clients see it: real uvicorn, real sockets, the real engine on a small real portrait."""

from __future__ import annotations

import ast
import base64
import io
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from lipstream.config import Settings
from lipstream.face.finder import FaceFinder
from lipstream.inventory import absent_models
from lipstream.media.clock import frame_count, frame_rate
from lipstream.server.app import create_app
from lipstream.server.messages import LipsyncRequest
from lipstream.server.rest import STATUS
from lipstream.studio import Studio
from tests.live_server import LiveServer, running_server, wait_until
from tests.media import mp3_bytes, noisy_vowels, png_bytes, wav_bytes
from tests.turned_head import turned_head

ROOT = Path(__file__).parent.parent
RATE = 16_000
STOP_SECONDS = 5.0
"""The documentation promises one second; a loaded machine may take longer."""

SMALL_LIMIT = 8 * 2**20
"""Of the small server, in bytes: the long recording just fits."""

Fields = dict[str, Any]


@dataclass(frozen=True)
class Media:
    """Files to send."""

    portrait: bytes
    """A face, 240 × 256 pixels, PNG."""
    turned: bytes
    """The same, turned by 60°."""
    speech: bytes
    """0.4 s, WAV."""
    long_speech: bytes
    """Four minutes, MP3: many seconds of work."""


@pytest.fixture(scope="module")
def media(astronaut: NDArray[np.uint8], finder: FaceFinder) -> Media:
    return Media(
        turned=png_bytes(turned_head(astronaut, finder.largest(astronaut), 60.0)),
        portrait=png_bytes(astronaut[:256, 100:340]),
        speech=wav_bytes(noisy_vowels(0.4), RATE),
        long_speech=mp3_bytes(noisy_vowels(10.0), RATE, repeat=24),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with running_server(Settings(workers=2, queue_size=4, max_audio_seconds=20)) as live:
        yield live


@pytest.fixture(scope="module")
def small_server() -> Iterator[LiveServer]:
    """One worker, nothing waits, small limits."""
    settings = Settings(workers=1, queue_size=0, connection_queue=2, max_message_bytes=SMALL_LIMIT)
    with running_server(settings) as live:
        yield live


@pytest.fixture
def websocket(server: LiveServer) -> Iterator[ClientConnection]:
    with connect(server.websocket_url(), max_size=None) as connection:
        yield connection


def message(image: bytes, audio: bytes, **fields: object) -> str:
    files = {"image": base64.b64encode(image).decode(), "audio": base64.b64encode(audio).decode()}
    return json.dumps(files | fields)


def receive(websocket: ClientConnection) -> Fields:
    fields: Fields = json.loads(websocket.recv(timeout=60))
    return fields


def answer(websocket: ClientConnection, text: str | bytes | list[str]) -> Fields:
    websocket.send(text)
    return receive(websocket)


def receive_to_the_end(websocket: ClientConnection) -> NoReturn:
    while True:
        receive(websocket)


def check_video(mp4: bytes, *, size: tuple[int, int], frames: int) -> None:
    with av.open(io.BytesIO(mp4)) as file:
        video = file.streams.video[0]
        assert (video.width, video.height) == size
        assert sum(1 for _ in file.decode(video)) == frames


def check_success(fields: Fields, *, size: tuple[int, int] = (240, 256), frames: int = 10) -> None:
    assert fields["status"] == "success", fields
    check_video(base64.b64decode(fields["video"], validate=True), size=size, frames=frames)


# --- WebSocket ---


@pytest.mark.parametrize("path", ["/ws/lipsync", "/ws/lip-sync"])
def test_both_documented_paths(server: LiveServer, media: Media, path: str) -> None:
    with connect(server.websocket_url(path), max_size=None) as websocket:
        fields = answer(websocket, message(media.portrait, media.speech))
        check_success(fields)
        assert set(fields) == {"status", "video"}


def test_many_requests_on_one_connection(websocket: ClientConnection, media: Media) -> None:
    for fps in (25.0, 23.976, 10, 60):
        frames = frame_count(int(0.4 * RATE), RATE, frame_rate(fps))
        check_success(answer(websocket, message(media.portrait, media.speech, fps=fps)), frames=frames)


def test_all_documented_fields_together(websocket: ClientConnection, media: Media) -> None:
    options = {
        "fps": 25.0,
        "pads": [0, 10, 0, 0],
        "img_size": 96,
        "batch_size": 128,
        "no_segmentation": False,
        "no_sr": False,
        "engine": "portrait",
    }
    check_success(answer(websocket, message(media.portrait, media.speech, **options)))


def test_progress_when_asked_for(websocket: ClientConnection, media: Media) -> None:
    speech = wav_bytes(noisy_vowels(8.0), RATE)
    started = time.monotonic()
    websocket.send(message(media.portrait, speech, progress=True, id="a"))
    steps = []
    while (fields := receive(websocket))["status"] == "progress":
        assert fields["id"] == "a"
        assert fields["total"] == 200
        steps.append(fields["done"])
    check_success(fields, frames=200)
    assert steps == sorted(set(steps))
    assert steps[-1] == 200
    assert len(steps) <= 10 * (time.monotonic() - started) + 2


def test_id_is_echoed_in_success_and_error(websocket: ClientConnection, media: Media) -> None:
    good = answer(websocket, message(media.portrait, media.speech, id=41))
    bad = answer(websocket, message(media.portrait, media.speech, id="b", fps=0))
    assert (good["status"], good["id"]) == ("success", 41)
    assert (bad["status"], bad["id"]) == ("error", "b")


def bad_media(media: Media) -> dict[str, tuple[bytes, bytes]]:
    """(picture, recording) for each code that is about their content."""
    grey = png_bytes(np.full((200, 200, 3), 128, np.uint8))
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    silent_video = io.BytesIO()
    with av.open(silent_video, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    return {
        "not_an_image": (media.speech, media.speech),
        "image_truncated": (media.portrait[: len(media.portrait) // 2], media.speech),
        "image_too_large": (bomb.getvalue(), media.speech),
        "image_too_small": (png_bytes(np.zeros((8, 8, 3), np.uint8)), media.speech),
        "no_face": (grey, media.speech),
        "face_turned": (media.turned, media.speech),
        "not_audio": (media.portrait, b"This is a sentence, but not a spoken one. " * 50),
        "no_audio_stream": (media.portrait, silent_video.getvalue()),
        "audio_empty": (media.portrait, wav_bytes(np.zeros(0, np.float32), RATE)),
        "audio_too_long": (media.portrait, mp3_bytes(noisy_vowels(7.0), RATE, repeat=3)),
    }


def test_bad_media_have_their_own_codes_and_the_connection_stays_open(
    websocket: ClientConnection, media: Media
) -> None:
    cases = bad_media(media)
    sentences = set()
    for code, (image, audio) in cases.items():
        fields = answer(websocket, message(image, audio))
        assert (fields["status"], fields.get("code")) == ("error", code), fields
        assert fields["message"].endswith("."), fields
        sentences.add(fields["message"])
    assert len(sentences) == len(cases)
    check_success(answer(websocket, message(media.portrait, media.speech)))


def test_silence_works(websocket: ClientConnection, media: Media) -> None:
    silence = wav_bytes(np.zeros(RATE // 2, np.float32), RATE)
    check_success(answer(websocket, message(media.portrait, silence)), frames=13)


def test_a_millisecond_works(websocket: ClientConnection, media: Media) -> None:
    blink = wav_bytes(noisy_vowels(0.001), RATE)
    check_success(answer(websocket, message(media.portrait, blink)), frames=1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hello", "bad_json"),
        (b"\x00\x01", "bad_json"),
        ("{}", "missing_field"),
        ('{"audio": "AAAA", "image": "AAAA", "quality": 1}', "unknown_field"),
        ('{"audio": "AAAA", "image": "AAAA", "fps": NaN}', "fps_out_of_range"),
        ('{"audio": "AAAA", "image": "AAAA", "pads": [0, -1, 0, 0]}', "negative_pads"),
        ('{"audio": "AAAA", "image": "AAAA", "img_size": "96"}', "bad_field"),
        ('{"audio": "%%%%", "image": "AAAA"}', "bad_base64"),
    ],
)
def test_bad_requests(websocket: ClientConnection, media: Media, text: str | bytes, code: str) -> None:
    assert answer(websocket, text)["code"] == code
    check_success(answer(websocket, message(media.portrait, media.speech)))


def test_an_engine_that_is_not_there(websocket: ClientConnection, media: Media) -> None:
    fields = answer(websocket, message(media.portrait, media.speech, engine="wav2lip"))
    assert fields["code"] == "engine_unavailable"


def test_messages_sent_at_once_are_answered_in_turn(websocket: ClientConnection, media: Media) -> None:
    for number in range(5):
        websocket.send(message(media.portrait, media.speech, id=number, fps=10 + number))
    for number in range(5):
        fields = receive(websocket)
        assert fields["id"] == number
        check_success(fields, frames=frame_count(int(0.4 * RATE), RATE, Fraction(10 + number)))


def test_clients_at_the_same_time_get_their_own_video(server: LiveServer, astronaut: NDArray[np.uint8]) -> None:
    def client(number: int) -> None:
        size = (220 + 2 * number, 240 + 4 * number)
        picture = png_bytes(astronaut[: size[1], 100 : 100 + size[0]])
        frames = 5 + number
        speech = wav_bytes(noisy_vowels(frames / 25), RATE)
        with connect(server.websocket_url(), max_size=None) as websocket:
            for _ in range(2):
                fields = answer(websocket, message(picture, speech, id=number))
                assert fields["id"] == number
                check_success(fields, size=size, frames=frames)

    with ThreadPoolExecutor(6) as clients:
        list(clients.map(client, range(6)))


def test_a_client_that_leaves_stops_its_work(small_server: LiveServer, media: Media) -> None:
    with connect(small_server.websocket_url(), max_size=None) as websocket:
        start_long_job(websocket, media)
        assert small_server.metric("lipstream_jobs_running") == 1
    wait_until(lambda: small_server.metric("lipstream_jobs_running") == 0, "the job stopped", STOP_SECONDS)
    wait_until(lambda: small_server.metric("lipstream_websocket_connections") == 0, "it is closed", STOP_SECONDS)


def test_a_client_that_vanishes_with_messages_waiting(small_server: LiveServer, media: Media) -> None:
    with connect(small_server.websocket_url(), max_size=None) as websocket:
        start_long_job(websocket, media)
        websocket.send(message(media.portrait, media.speech))
        websocket.socket.close()  # no closing handshake
    wait_until(lambda: small_server.metric("lipstream_jobs_running") == 0, "the job stopped", STOP_SECONDS)


def test_a_connection_that_is_of_no_use_is_closed_with_a_reason(media: Media) -> None:
    """It stays open while a job runs, however long that takes, and while requests keep arriving."""
    settings = Settings(workers=1, connection_idle_seconds=0.5)
    with (
        running_server(settings) as live,
        connect(live.websocket_url(), max_size=None) as websocket,
        connect(live.websocket_url()) as silent,
    ):
        for _ in range(4):
            time.sleep(0.2)
            assert answer(websocket, "no JSON")["code"] == "bad_json"
        begin = time.monotonic()
        check_success(answer(websocket, message(media.portrait, wav_bytes(noisy_vowels(15), RATE))), frames=375)
        assert time.monotonic() - begin > 0.5, "the job is long enough to show anything"
        for connection in (websocket, silent):
            with pytest.raises(ConnectionClosedError) as caught:
                receive(connection)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1008
            assert caught.value.rcvd.reason.startswith("connection_idle: ")
        wait_until(lambda: live.metric("lipstream_websocket_connections") == 0, "both are gone", STOP_SECONDS)


def start_long_job(websocket: ClientConnection, media: Media) -> None:
    """Start a job of many seconds; returns once it is running."""
    websocket.send(message(media.portrait, media.long_speech, progress=True))
    assert receive(websocket)["status"] == "progress"


def test_busy_says_so_at_once_and_room_comes_back(small_server: LiveServer, media: Media) -> None:
    with (
        connect(small_server.websocket_url(), max_size=None) as second,
        connect(small_server.websocket_url(), max_size=None) as first,
    ):
        start_long_job(first, media)
        fields = answer(second, message(media.portrait, media.speech, id="b"))
        assert (fields["code"], fields["id"]) == ("server_busy", "b")
        assert "Try again" in fields["message"]
        upload = post(small_server, media)
        assert (upload.status_code, upload.json()["code"]) == (503, "server_busy")
        assert int(upload.headers["retry-after"]) > 0
        first.close()
        wait_until(lambda: small_server.metric("lipstream_jobs_running") == 0, "the job stopped", STOP_SECONDS)
        check_success(answer(second, message(media.portrait, media.speech)))


def test_too_many_messages_waiting_on_one_connection(small_server: LiveServer, media: Media) -> None:
    with connect(small_server.websocket_url(), max_size=None) as websocket:
        start_long_job(websocket, media)
        for number in range(3):
            websocket.send(message(media.portrait, media.speech, id=number))
        while (fields := receive(websocket))["status"] == "progress":
            pass
        assert (fields["code"], fields["id"]) == ("server_busy", 2)
    wait_until(lambda: small_server.metric("lipstream_jobs_running") == 0, "the job stopped", STOP_SECONDS)


def test_message_too_large(small_server: LiveServer) -> None:
    with connect(small_server.websocket_url(), max_size=None) as websocket:
        fields = answer(websocket, "A" * (SMALL_LIMIT + 1))
        assert fields["code"] == "message_too_large"
        assert "8.0 MiB" in fields["message"]
        assert answer(websocket, "{}")["code"] == "missing_field", "the connection is still open"


def test_message_far_too_large_closes_the_connection_with_the_reason(small_server: LiveServer) -> None:
    # The last fragment is the one too many: with nothing left to read, the close frame cannot be lost to a reset.
    fragments = ["A" * (SMALL_LIMIT + 2**20), "A"]
    with (
        connect(small_server.websocket_url(), max_size=None) as websocket,
        pytest.raises(ConnectionClosedError) as closed,
    ):
        answer(websocket, fragments)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.slow
def test_a_message_may_be_long_on_its_way(server: LiveServer) -> None:
    """Pings cannot be answered within a message, and by default uvicorn closes the connection after 40 seconds."""
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        line.sendall(
            f"GET /ws/lipsync HTTP/1.1\r\nHost: x\r\n{upgrade}\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode()
        )
        assert b" 101 " in line.recv(4096)
        line.sendall(b"\x81\x87" + bytes(4) + b"no ")  # text of 7 bytes, masked with nothing
        time.sleep(45)
        line.sendall(b"JSON")
        received = b""
        while b"bad_json" not in received:
            piece = line.recv(4096)
            assert piece, "the connection was closed in the middle of the message"
            received += piece


# --- HTTP ---


def post(server: LiveServer, media: Media, fields: Fields | None = None, **files: bytes) -> httpx.Response:
    uploads = {"image": media.portrait, "audio": media.speech} | files
    return httpx.post(server.url("/v1/lipsync"), data=fields, files=uploads, timeout=60)


def test_upload(server: LiveServer, media: Media) -> None:
    fields = {"fps": "50", "pads": "0, 10, 0, 0", "no_sr": "true", "engine": "portrait", "batch_size": ""}
    response = post(server, media, fields)
    assert response.status_code == 200
    assert response.headers["content-type"] == "video/mp4"
    check_video(response.content, size=(240, 256), frames=20)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"fps": "NaN"}, 422, "fps_out_of_range"),
        ({"fps": "fast"}, 422, "bad_field"),
        ({"pads": "[0, -1, 0, 0]"}, 422, "negative_pads"),
        ({"pads": ["1", "2"]}, 422, "bad_field"),
        ({"no_sr": "maybe"}, 422, "bad_field"),
        ({"engine": "musetalk"}, 422, "engine_unknown"),
        ({"engine": "wav2lip"}, 501, "engine_unavailable"),
        ({"quality": "1"}, 422, "unknown_field"),
        ({"fps": "9" * 5000}, 400, "bad_form"),
    ],
)
def test_upload_with_bad_fields(server: LiveServer, media: Media, fields: Fields, status: int, code: str) -> None:
    response = post(server, media, fields)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert set(response.json()) == {"status", "message", "code"}


def test_upload_of_bad_media(server: LiveServer, media: Media) -> None:
    statuses = {"image_too_large": 413, "audio_too_long": 413}
    statuses |= dict.fromkeys(("not_an_image", "not_audio", "no_audio_stream"), 415)
    for code, (image, audio) in bad_media(media).items():
        response = post(server, media, image=image, audio=audio)
        assert (response.status_code, response.json()["code"]) == (statuses.get(code, 422), code)


def test_upload_without_a_file(server: LiveServer, media: Media) -> None:
    missing = httpx.post(server.url("/v1/lipsync"), files={"audio": media.speech})
    assert (missing.status_code, missing.json()["code"]) == (422, "missing_field")
    assert '"image"' in missing.json()["message"]
    text = httpx.post(server.url("/v1/lipsync"), files={"audio": media.speech}, data={"image": "me.png"})
    assert (text.status_code, text.json()["code"]) == (422, "bad_field")


def test_upload_that_is_no_form(server: LiveServer) -> None:
    response = httpx.post(server.url("/v1/lipsync"), json={"audio": "AAAA", "image": "AAAA"})
    assert (response.status_code, response.json()["code"]) == (415, "not_a_form")
    broken = httpx.post(
        server.url("/v1/lipsync"), content=b"nonsense", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert (broken.status_code, broken.json()["code"]) == (400, "bad_form")


def test_upload_too_large(small_server: LiveServer, media: Media) -> None:
    announced = post(small_server, media, audio=bytes(SMALL_LIMIT))
    assert (announced.status_code, announced.json()["code"]) == (413, "message_too_large")

    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
        for _ in range(1 + SMALL_LIMIT // 2**16):
            yield bytes(2**16)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    unannounced = httpx.post(small_server.url("/v1/lipsync"), content=chunks(), headers=headers)
    assert (unannounced.status_code, unannounced.json()["code"]) == (413, "message_too_large")


def test_an_uploader_that_leaves_stops_its_work(small_server: LiveServer, media: Media) -> None:
    files = {"image": media.portrait, "audio": media.long_speech}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(small_server.url("/v1/lipsync"), files=files, timeout=httpx.Timeout(30, read=0.5))
    wait_until(lambda: small_server.metric("lipstream_jobs_running") == 0, "the job stopped", STOP_SECONDS)


@pytest.mark.parametrize("path", ["/v1/lipsync", "/v1/avatars"])
def test_an_uploader_that_leaves_before_the_end_is_no_mistake_of_ours(
    small_server: LiveServer, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 9999"
    part = '--x\r\nContent-Disposition: form-data; name="image"; filename="a"'
    log, tasks = logging.getLogger("uvicorn.error"), small_server.uvicorn.server_state.tasks
    log.addHandler(caplog.handler)
    try:
        with socket.create_connection(("127.0.0.1", small_server.port)) as client:
            client.sendall(f"{head}\r\n\r\n{part}\r\n\r\n".encode())
            wait_until(lambda: tasks, "the upload has begun")
        wait_until(lambda: not tasks, "the upload is over")
    finally:
        log.removeHandler(caplog.handler)
    assert not caplog.records


def test_limits_are_told(small_server: LiveServer) -> None:
    limits = small_server.get_json("/v1/limits")
    assert limits["max_message_bytes"] == SMALL_LIMIT
    assert limits["max_audio_seconds"] == 600


# --- probes, metrics, pages ---


def test_healthy_and_ready(server: LiveServer) -> None:
    assert server.get("/healthz")[0] == 200
    ready = server.get_json("/readyz")
    assert (ready["status"], ready["engines"], ready["problems"]) == ("ready", ["portrait"], {})


def test_absent_models_are_named(server: LiveServer) -> None:
    """What it is called, where it is looked for, what it would bring."""
    absent = server.get_json("/readyz")["absent"]
    assert isinstance(absent, list)
    models = {model["name"]: model for model in absent}
    assert set(models) == {"wav2lip", "segmentation", "super-resolution", "face-alignment"}
    assert models["wav2lip"] == {
        "name": "wav2lip",
        "path": str(Path("checkpoints") / "wav2lip_gan.pth"),
        "brings": "the engine wav2lip",
    }
    assert "super-resolution" in models["super-resolution"]["brings"]


def test_what_is_there_is_not_absent(tmp_path: Path) -> None:
    (tmp_path / "wav2lip.pth").touch()  # the second of the published names
    (tmp_path / "parser.pth").touch()
    settings = Settings(
        wav2lip_path=tmp_path / "wav2lip_gan.pth",
        segmentation_path=tmp_path / "parser.pth",
        sr_path=tmp_path / "sr.pth",
        checkpoints_dir=tmp_path,
    )
    assert [(one.name, Path(one.path).name) for one in absent_models(settings)] == [
        ("super-resolution", "sr.pth"),
        ("face-alignment", "s3fd-619a316812.pth"),
    ]


@pytest.mark.anyio
async def test_alive_but_not_ready_while_loading() -> None:
    transport = httpx.ASGITransport(create_app(Settings()))  # which does not run the start-up
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "loading")


def test_not_ready_before_the_warm_up_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    warm_up = Studio.warm_up

    def held_up(studio: Studio) -> None:
        over.wait(60)
        warm_up(studio)

    monkeypatch.setattr(Studio, "warm_up", held_up)
    with running_server(Settings(workers=1), wait_for_models=False) as live:
        try:
            wait_until(lambda: live.get_json("/readyz")["status"] == "warming up", "the models are loaded")
            assert live.get("/readyz")[0] == 503
        finally:
            over.set()
        wait_until(lambda: live.get("/readyz")[0] == 200, "it is ready")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_server_without_models_says_what_to_do(tmp_path: Path, media: Media) -> None:
    settings = Settings(cache_dir=tmp_path, checkpoints_dir=tmp_path)
    with running_server(settings, wait_for_models=False) as live:
        wait_until(lambda: live.get_json("/readyz")["status"] == "failed", "loading fails")
        status, body = live.get("/readyz")
        assert (status, json.loads(body)["code"]) == (503, "model_missing")
        assert "lipstream models pull" in body
        assert live.get("/healthz")[0] == 200
        with connect(live.websocket_url()) as websocket:
            assert answer(websocket, message(media.portrait, media.speech))["code"] == "model_missing"
        assert post(live, media).status_code == 503
        assert httpx.get(live.url("/sample/portrait")).json()["code"] == "model_missing"


def test_a_mistake_of_ours_is_said_without_its_details(media: Media) -> None:
    impossible = Settings().model_copy(update={"preset": "no such preset"})  # past validation, refused by x264
    with running_server(impossible, wait_for_models=False) as live, connect(live.websocket_url()) as websocket:
        fields = answer(websocket, message(media.portrait, media.speech, id=1))
        assert (fields["code"], fields["id"]) == ("internal_error", 1)
        assert "preset" not in fields["message"]
        assert answer(websocket, "{}")["code"] == "missing_field", "the connection is still open"


def test_metrics_count(server: LiveServer, websocket: ClientConnection, media: Media) -> None:
    def counted() -> tuple[float, float, float, float]:
        return (
            server.metric("lipstream_requests_total", transport="websocket", status="success"),
            server.metric("lipstream_errors_total", code="no_face"),
            server.metric("lipstream_frames_total"),
            server.metric("lipstream_job_seconds_count"),
        )

    before = counted()
    check_success(answer(websocket, message(media.portrait, media.speech)))
    answer(websocket, message(png_bytes(np.full((200, 200, 3), 9, np.uint8)), media.speech))
    assert [after - was for after, was in zip(counted(), before, strict=True)] == [1, 1, 10, 2]


def test_documentation_works_offline(server: LiveServer) -> None:
    status, page = server.get("/docs")
    assert status == 200
    assert "/ws/lipsync" in page
    assert "/v1/lipsync" in page
    assert not re.search(r"https?://|<script", page), "nothing from elsewhere, nothing to run"


def test_openapi_describes_the_upload(server: LiveServer) -> None:
    operation = server.get_json("/openapi.json")["paths"]["/v1/lipsync"]["post"]  # type: ignore[index]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["audio"]
    assert {"image", "video"} < set(form["properties"])
    assert form["properties"]["fps"]["default"] == 25.0
    assert form["properties"]["pads"]["default"] == [0, 10, 0, 0]
    assert {"200", "413", "422", "503"} <= set(operation["responses"])


def test_openapi_describes_only_errors_that_come(server: LiveServer) -> None:
    api = server.get_json("/openapi.json")
    assert "HTTPValidationError" not in json.dumps(api)
    paths: dict[str, Any] = api["paths"]  # type: ignore[assignment]
    assert "404" not in paths["/v1/lipsync"]["post"]["responses"]
    for method in ("get", "delete"):
        assert "avatar_unknown" in paths["/v1/avatars/{avatar}"][method]["responses"]["404"]["description"]


def test_page_and_sample(server: LiveServer) -> None:
    assert "<!doctype html>" in server.get("/")[1].lower()
    portrait = httpx.get(server.url("/sample/portrait"))
    assert portrait.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(portrait.content)).size == (512, 512)
    speech = httpx.get(server.url("/sample/speech"))
    assert speech.headers["content-type"] == "audio/wav"
    assert speech.content[:4] == b"RIFF"


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing/here"), ("POST", "/nothing"), ("GET", "/v1/lipsync/x")])
def test_what_is_not_there_is_said_in_words(server: LiveServer, method: str, path: str) -> None:
    answer = httpx.request(method, server.url(path))
    assert answer.status_code == 404
    assert answer.json() == {
        "status": "error",
        "code": "not_found",
        "message": f"There is no {method} {path}. /docs lists the endpoints; the page is at /.",
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/lipsync", "POST"),
        ("DELETE", "/v1/avatars", "GET, POST"),
        ("PUT", "/v1/avatars/x", "GET, DELETE"),
        ("POST", "/readyz", "GET"),
        ("OPTIONS", "/v1/limits", "GET"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/lipstream.js", "GET, HEAD"),
    ],
)
def test_another_method_is_named_where_there_is_one(server: LiveServer, method: str, path: str, allowed: str) -> None:
    answer = httpx.request(method, server.url(path))
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json() == {
        "status": "error",
        "code": "method_not_allowed",
        "message": f"{path} supports {allowed}, not {method}. /docs has the details.",
    }


def test_a_websocket_asked_as_a_page_says_what_it_is(server: LiveServer) -> None:
    answer = httpx.get(server.url("/ws/stream"))
    assert answer.status_code == 404
    address = server.url("/ws/stream").replace("http", "ws")
    assert answer.json()["message"] == f"There is no GET /ws/stream. It is a WebSocket: connect to {address}."


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("options", [[], ["--reload"]])
def test_the_documented_uvicorn_command(media: Media, options: list[str]) -> None:
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--host", "127.0.0.1", "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            port = next(found[1] for line in process.stderr if (found := re.search(r"http://127.0.0.1:(\d+)", line)))
            wait_until(lambda: listens(int(port)), "the server listens: with --reload another process does")
            with connect(f"ws://127.0.0.1:{port}/ws/lipsync", max_size=None) as websocket:
                check_success(answer(websocket, message(media.portrait, media.speech)))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


def test_stopping_the_server_closes_its_websockets(media: Media) -> None:
    with (
        running_server(Settings(workers=1)) as live,
        connect(live.websocket_url(), max_size=None) as websocket,
    ):
        start_long_job(websocket, media)
        live.stop()
        with pytest.raises(ConnectionClosed):
            receive_to_the_end(websocket)


def test_stopping_the_server_answers_its_uploads(media: Media) -> None:
    with running_server(Settings(workers=1)) as live, ThreadPoolExecutor(2) as clients:
        uploads = [clients.submit(lambda: post(live, media, audio=media.long_speech)) for _ in range(2)]
        wait_until(lambda: live.metric("lipstream_jobs_waiting") == 1, "one job runs and one waits")
        live.stop()
        answers = [upload.result(timeout=30) for upload in uploads]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert [answer.json()["code"] for answer in answers] == ["cancelled", "cancelled"]


# --- documentation that must agree with the code ---


def codes_in_the_source() -> set[str]:
    """The first argument of everything that ends in ``Error(...)``, wherever it is a literal."""
    codes = {"cancelled"}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", str(first.value)):
                    codes.add(str(first.value))
    return codes | {"fps_out_of_range", "negative_pads"}


def test_every_field_is_documented() -> None:
    documented = re.findall(
        r"^\| `(\w+)` \| (\S.*?) \| (.+) \|$", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE
    )
    fields = {name: (default, meaning) for name, default, meaning in documented if not default.isdecimal()}
    assert fields == {
        name: ("required" if field.is_required() else f"`{json.dumps(field.default)}`", field.description)
        for name, field in LipsyncRequest.model_fields.items()
    }


def test_every_status_is_documented() -> None:
    table = re.findall(r"^\| `([a-z0-9_]+)` \| (\d{3}) \|", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE)
    over_http = {code: int(status) for code, status in table}
    assert over_http == {code: STATUS.get(code, HTTPStatus.UNPROCESSABLE_ENTITY) for code in over_http}


def test_every_code_is_documented() -> None:
    table = re.findall(r"^\| `([a-z0-9_]+)` \| \d{3} \|", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE)
    streaming = re.findall(r"`([a-z]+_[a-z_]+)`", (ROOT / "docs" / "streaming.md").read_text())
    assert len(table) == len(set(table))
    assert set(table) <= codes_in_the_source()
    assert codes_in_the_source() <= {*table, *streaming}
