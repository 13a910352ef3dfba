"""The example client as a user runs it: a process, its output, its exit code, the file it saves."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.config import Settings
from tests.clips import moving, video_bytes
from tests.live_server import LiveServer, running_server
from tests.media import mp3_bytes, noisy_vowels, wav_bytes

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with running_server(Settings()) as live:
        yield live


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the client is copied to and run: it needs nothing but itself and ``websockets``."""
    shutil.copy(ROOT / "client.py", tmp_path)
    return tmp_path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(wav_bytes(noisy_vowels(0.4), 16_000))
    return path


def client(folder: Path, server: LiveServer | None, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    url = ["--url", server.websocket_url()] if server else []
    command = [sys.executable, "client.py", *map(str, arguments), *url]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def frames_and_size(path: Path) -> tuple[int, int, int]:
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        return sum(1 for _ in file.decode(video)), video.width, video.height


def first_and_last(path: Path) -> tuple[av.VideoFrame, av.VideoFrame]:
    with av.open(str(path)) as file:
        first, *_, last = file.decode(video=0)
    return first, last


def test_two_files_and_a_name(folder: Path, server: LiveServer, portrait_file: Path, speech: Path) -> None:
    done = client(folder, server, portrait_file, speech, "-o", "talking.mp4", "--fps", "30")
    assert done.returncode == 0, done.stderr
    assert "12 of 12 frames" in done.stdout
    assert "Saved talking.mp4" in done.stdout
    assert frames_and_size(folder / "talking.mp4") == (12, 240, 256)


def test_a_clip_instead_of_a_picture(
    folder: Path, server: LiveServer, astronaut: NDArray[np.uint8], speech: Path
) -> None:
    clip = folder / "Talking.MP4"
    clip.write_bytes(video_bytes(moving(astronaut[:256, 100:340], 6).pictures))
    done = client(folder, server, clip, speech)
    assert done.returncode == 0, done.stderr
    assert "10 of 10 frames" in done.stdout
    assert frames_and_size(folder / "output.mp4") == (10, 240, 256)
    first, last = (frame.to_ndarray(format="gray").astype(int) for frame in first_and_last(folder / "output.mp4"))
    assert abs(first - last)[:60].mean() > 2, "the head moves as in the clip"


def test_the_documented_folders(folder: Path, server: LiveServer, portrait_file: Path, speech: Path) -> None:
    for name, path in (("input_image", portrait_file), ("input_audios", speech)):
        (folder / name).mkdir()
        shutil.copy(path, folder / name)
        (folder / name / ".hidden").touch()
    done = client(folder, server)
    assert done.returncode == 0, done.stderr
    assert frames_and_size(folder / "output.mp4") == (10, 240, 256)


def test_the_sample_when_there_is_nothing_else(folder: Path, server: LiveServer) -> None:
    done = client(folder, server)
    assert done.returncode == 0, done.stderr
    frames, *size = frames_and_size(folder / "output.mp4")
    assert size == [512, 512]
    assert frames > 25


def test_what_the_server_refuses_is_said_in_words(folder: Path, server: LiveServer, speech: Path) -> None:
    done = client(folder, server, speech, speech)
    assert done.returncode == 3
    assert "(not_an_image)" in done.stderr
    assert not (folder / "output.mp4").exists()


def test_the_address_of_another_websocket(folder: Path, server: LiveServer, portrait_file: Path, speech: Path) -> None:
    done = client(folder, None, portrait_file, speech, "--url", server.websocket_url("/ws/stream"))
    assert done.returncode == 3
    assert "(missing_field)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_read(folder: Path, server: LiveServer) -> None:
    (folder / "input_image").mkdir()
    (folder / "input_image" / "me.jpg").symlink_to("/proc/self/mem")
    done = client(folder, server)
    assert done.returncode == 1
    assert "input_image/me.jpg cannot be read: Input/output error." in done.stderr
    assert "No connection" not in done.stderr


def test_ctrl_c_stops_it_without_a_traceback(folder: Path, server: LiveServer, portrait_file: Path) -> None:
    long = folder / "long.mp3"
    long.write_bytes(mp3_bytes(noisy_vowels(10.0), 16_000, repeat=12))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # or the client might inherit that it is ignored
    try:
        command = [sys.executable, "-u", "client.py", str(portrait_file), str(long), "--url", server.websocket_url()]
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            shown = ""
            while "frames" not in shown:
                character = process.stdout.read(1)
                assert character, "it ended"
                shown += character
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 130
    assert errors == "\nStopped.\n"


def test_no_server(folder: Path, portrait_file: Path, speech: Path) -> None:
    done = client(folder, None, portrait_file, speech, "--url", "ws://127.0.0.1:9/ws/lipsync")
    assert done.returncode == 1
    assert "No connection to ws://127.0.0.1:9/ws/lipsync" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", ["/dev/full", "no/such/folder/talking.mp4"])
def test_a_video_that_cannot_be_saved(
    folder: Path, server: LiveServer, portrait_file: Path, speech: Path, target: str
) -> None:
    done = client(folder, server, portrait_file, speech, "-o", target)
    assert done.returncode == 1
    assert f"{target} cannot be written: No " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["missing.jpg"], ["--fps", "fast"], ["--no-such-option"], ["--url", "http://localhost:8000/ws/lipsync"]],
)
def test_wrong_usage(folder: Path, arguments: list[str]) -> None:
    assert client(folder, None, *arguments).returncode == 2


def test_help(folder: Path) -> None:
    done = client(folder, None, "--help")
    assert done.returncode == 0
    assert "ws://localhost:8000/ws/lipsync" in done.stdout
