"""The command line as a user runs it: a process, its output, its exit code."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import av
import httpx
import pytest

from tests.media import mp3_bytes, noisy_vowels

ROOT = Path(__file__).parent.parent
SPEECH = ROOT / "src" / "lipstream" / "assets" / "sample.wav"
TERMINAL = {"TTY_COMPATIBLE": "1", "FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "200"}
"""Environment variables with which the progress bar is animated although there is no terminal."""


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Iterator[None]:
    """Shells make background processes ignore SIGINT, and their child processes inherit this."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def lipstream(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lipstream", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_render_writes_a_video_and_says_how_fast(sample_portrait: Path, short_speech: Path, tmp_path: Path) -> None:
    target = tmp_path / "talking.mp4"
    done = lipstream("render", sample_portrait, short_speech, "-o", target, "--fps", "30")
    assert done.returncode == 0, done.stderr
    assert "× real time" in done.stdout
    assert "30/30 frames" in done.stderr, "the bar"
    with av.open(io.BytesIO(target.read_bytes())) as file:
        assert file.streams.video[0].frames == 30
        assert (file.streams.video[0].width, file.streams.video[0].height) == (512, 512)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["render", SPEECH, SPEECH], 3, "not_an_image"),
        (["render", "{portrait}", ROOT / "README.md"], 3, "not_audio"),
        (["render", "{portrait}", SPEECH, "--fps", "99"], 2, "from 1 to 60"),
        (["render", "{portrait}", SPEECH, "--engine", "wav2lip"], 4, "engine_unavailable"),
        (["render", "missing.jpg", SPEECH], 2, "missing.jpg"),
        (["render", "{portrait}", SPEECH, "-o", "/nonexistent/folder/out.mp4"], 2, "folder"),
        (["render", "{portrait}", SPEECH, "-o", ROOT], 2, "directory"),
        (["render", ROOT, SPEECH], 2, "directory"),
        (["serve", "--port", "65536"], 2, "65535"),
        (["sing"], 2, "sing"),
    ],
)
def test_mistakes_are_named_and_have_an_exit_code(
    arguments: list[str | Path], code: int, words: str, sample_portrait: Path
) -> None:
    done = lipstream(*[sample_portrait if argument == "{portrait}" else argument for argument in arguments])
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "frames" not in done.stderr, "a bar that has nothing to show"


@pytest.mark.parametrize("empty", ["portrait", "speech"])
def test_empty_files_are_called_so(empty: str, sample_portrait: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.touch()
    done = lipstream(
        "render", nothing if empty == "portrait" else sample_portrait, nothing if empty == "speech" else SPEECH
    )
    assert done.returncode == 3
    assert "file is empty." in done.stderr


def test_a_disk_that_is_full_is_named(sample_portrait: Path, short_speech: Path) -> None:
    done = lipstream("render", sample_portrait, short_speech, "-o", "/dev/full")
    assert done.returncode == 1
    assert "/dev/full cannot be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """As PowerShell writes it: UTF-16."""
    (tmp_path / ".env").write_bytes("LIPSTREAM_PORT=8001".encode("utf-16"))
    command = [sys.executable, "-m", "lipstream", "models", "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "Invalid value for .env: The file is not UTF-8 text." in done.stderr
    assert "Traceback" not in done.stderr


def test_version() -> None:
    assert lipstream("--version").stdout == f"lipstream {version('lipstream')}\n"


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = lipstream("serve", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"failed: Port {port} is in use")
    assert "--port 0 for one that is free" in done.stderr
    assert "http://" not in done.stderr, "no address of a page that is not there"


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.7"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    done = lipstream("serve", "--host", host, "--port", "0")
    assert done.returncode == 1
    assert done.stderr == (
        f"failed: {host} is not an address of this machine. Use --host 127.0.0.1 for programs on this machine only, "
        "or --host 0.0.0.0 for everybody who can reach it.\n"
    )


def test_an_error_in_lipstream_itself_is_shown_in_full(sample_portrait: Path, tmp_path: Path) -> None:
    target = tmp_path / "talking.mp4"
    script = "import lipstream.cli, lipstream.studio; lipstream.studio.Studio.render = None; lipstream.cli.main()"
    command = [sys.executable, "-c", script, "render", str(sample_portrait), str(SPEECH), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "TypeError" in done.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["serve", "render", "models", "render portrait.jpg speech.wav -o talking.mp4", "Exit codes", "130"]),
        (["serve"], ["--host 0.0.0.0 --port 8000", "docs/settings.md", "127.0.0.1"]),
        (["render"], ["render me.jpg hello.wav -o talking.mp4", "1 to 60", "WebP", "MP3", "checkpoint"]),
        (["models"], ["list", "pull", "import", "lipstream models list"]),
        (["models", "pull"], ["pull wav2lip-gan", "terms", "verify"]),
        (["models", "import"], ["import checkpoints/wav2lip_gan.pth", ".onnx", "PyTorch"]),
    ],
)
def test_help_teaches(command: list[str], words: list[str]) -> None:
    done = lipstream(*command, "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("name", "value"), [("LIPSTREAM_PORT", "65536"), ("device", "tpu")])
@pytest.mark.parametrize("command", [["serve"], ["models", "list"]])
def test_a_setting_that_makes_no_sense_is_named(
    name: str, value: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    done = lipstream(*command)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_prints_the_address_of_the_page_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-m", "lipstream", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if "Ready." in line:
                    break
            (port,) = re.findall(r"The page is at http://localhost:(\d+)/ ", said)
            assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "Traceback" not in rest


def test_render_that_is_interrupted_writes_nothing(sample_portrait: Path, tmp_path: Path) -> None:
    speech, target = tmp_path / "long.mp3", tmp_path / "talking.mp4"
    speech.write_bytes(mp3_bytes(noisy_vowels(10.0), 16_000, repeat=30))
    command = [sys.executable, "-m", "lipstream", "render", str(sample_portrait), str(speech), "-o", str(target)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | TERMINAL) as process:
        assert process.stderr is not None
        while "/7500" not in (said := process.stderr.read(20)):  # the bar has begun to count
            assert said
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "Stopped." in rest
    assert "Traceback" not in rest
    assert not target.exists()


def test_models_list_shows_licences() -> None:
    done = lipstream("models", "list")
    assert done.returncode == 0
    assert "Apache-2.0" in done.stdout
    assert "present" in done.stdout


def test_models_pull_is_quiet_when_all_is_there() -> None:
    done = lipstream("models", "pull")
    assert done.returncode == 0
    assert "All required models are present." in done.stdout
