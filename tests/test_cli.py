"""The command line as a user runs it: a process, its output, its exit code."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import av
import pytest

ROOT = Path(__file__).parent.parent
SPEECH = ROOT / "src" / "lipstream" / "assets" / "sample.wav"


def lipstream(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lipstream", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_render_writes_a_video_and_says_how_fast(sample_portrait: Path, short_speech: Path, tmp_path: Path) -> None:
    target = tmp_path / "talking.mp4"
    done = lipstream("render", sample_portrait, short_speech, "-o", target, "--fps", "30")
    assert done.returncode == 0, done.stderr
    assert "× real time" in done.stdout
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


def test_help_teaches() -> None:
    done = lipstream("--help")
    assert done.returncode == 0
    for word in ("serve", "render", "models", "portrait.jpg"):
        assert word in done.stdout


def test_models_list_shows_licences() -> None:
    done = lipstream("models", "list")
    assert done.returncode == 0
    assert "Apache-2.0" in done.stdout
    assert "present" in done.stdout


def test_models_pull_is_quiet_when_all_is_there() -> None:
    done = lipstream("models", "pull")
    assert done.returncode == 0
    assert "All models are there." in done.stdout
