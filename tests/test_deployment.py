"""nginx with the configuration of ``docs/deployment.md`` in front of a real server, and how that server stops."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from lipstream.client import Event
from lipstream.client import connect as connect_live
from lipstream.config import Settings
from lipstream.errors import LipstreamError
from tests.live_server import LiveServer, running_server, wait_until
from tests.media import noisy_vowels, wav_bytes

PAGE = (Path(__file__).parent.parent / "docs" / "deployment.md").read_text()
HOST = "talk.example.org"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with running_server(Settings()) as live:
        yield live


@dataclass(frozen=True)
class Proxy:
    """nginx on loopback."""

    port: int
    tls: ssl.SSLContext
    """Trusts its certificate."""

    def request(self, path: str, headers: dict[str, str] | None = None) -> int:
        """Status of a GET."""
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def websocket(self, path: str, user: str = "anna:secret@") -> str:
        """Address of an endpoint for a user."""
        return f"wss://{user}localhost:{self.port}{path}"


def documented(language: str) -> str:
    """The page's block in this language."""
    (block,) = re.findall(rf"```{language}\n(.+?)```", PAGE, re.DOTALL)
    return str(block)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path) -> None:
    """Of localhost, signed by itself."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def password(folder: Path) -> None:
    """As the page makes it, except that nobody types it."""
    (command,) = re.findall(r"^ +(printf 'anna.+)$", PAGE, re.MULTILINE)
    assert "$(openssl passwd -6)" in command
    command = command.replace("passwd -6", "passwd -6 secret").replace("/etc/nginx/lipstream.users", "users")
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)


def configuration(folder: Path, port: int, server: LiveServer) -> str:
    """The page's, with this machine's port, paths and addresses, inside what nginx needs to run for a test."""
    replaced = documented("nginx")
    for theirs, ours in (
        ("listen 443 ssl http2", f"listen 127.0.0.1:{port} ssl http2"),
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{server.port}"),
        (f"server_name {HOST}", "server_name localhost"),
        (f'"https://{HOST}"', f'"https://localhost:{port}"'),
        (f"/etc/ssl/{HOST}.pem", f"{folder}/certificate.pem"),
        (f"/etc/ssl/{HOST}.key", f"{folder}/key.pem"),
        ("/etc/nginx/lipstream.users", f"{folder}/users"),
    ):
        assert theirs in replaced
        replaced = replaced.replace(theirs, ours)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    return f"{user}pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{replaced}}}\n"


@pytest.fixture(scope="module")
def proxy(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None or shutil.which("openssl") is None:
        pytest.skip("needs nginx and openssl")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    certificate(folder)
    password(folder)
    (folder / "nginx.conf").write_text(configuration(folder, port, server))
    command = [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    proxy = Proxy(port, ssl.create_default_context(cafile=str(folder / "certificate.pem")))
    try:
        wait_until(lambda: process.poll() is not None or listens(port), "nginx listens")
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield proxy
    finally:
        process.terminate()
        process.communicate(timeout=30)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_nobody_passes_without_a_password(proxy: Proxy) -> None:
    assert proxy.request("/") == 401
    assert proxy.request("/healthz") == 401
    with pytest.raises(InvalidStatus, match="401"), connect(proxy.websocket("/ws/lipsync", ""), ssl=proxy.tls):
        pass


def test_pages_of_other_sites_do_not_pass_with_their_visitors_password(proxy: Proxy) -> None:
    credentials = {"Authorization": "Basic " + base64.b64encode(b"anna:secret").decode()}
    assert proxy.request("/", credentials) == 200
    assert proxy.request("/", credentials | {"Origin": f"https://localhost:{proxy.port}"}) == 200
    assert proxy.request("/", credentials | {"Origin": "https://elsewhere.example"}) == 403
    assert proxy.request("/metrics", credentials) == 403
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(proxy.websocket("/ws/stream"), ssl=proxy.tls, origin=Origin("https://elsewhere.example")),
    ):
        pass


def test_a_header_of_the_program_s_own_passes_as_well(proxy: Proxy, portrait: bytes) -> None:
    async def open_with(headers: dict[str, str] | None) -> None:
        url = proxy.websocket("/ws/stream", "")
        async with connect_live(url, image=portrait, ssl=proxy.tls, headers=headers):
            pass

    asyncio.run(open_with({"Authorization": "Basic " + base64.b64encode(b"anna:secret").decode()}))
    with pytest.raises(LipstreamError, match="401") as refused:
        asyncio.run(open_with(None))
    assert refused.value.code == "not_a_stream"


def test_jobs_pass(proxy: Proxy, portrait: bytes) -> None:
    speech = wav_bytes(noisy_vowels(0.4), 16_000)
    request = {"image": base64.b64encode(portrait).decode(), "audio": base64.b64encode(speech).decode()}
    with connect(proxy.websocket("/ws/lipsync"), ssl=proxy.tls, max_size=None) as websocket:
        websocket.send(json.dumps(request))
        answer = json.loads(websocket.recv())
    assert answer["status"] == "success"


def test_live_streams_pass(proxy: Proxy, portrait: bytes) -> None:
    async def talk() -> list[str]:
        told = []
        url = proxy.websocket("/ws/stream")
        async with connect_live(url, image=portrait, encoding="pcm_f32le", ssl=proxy.tls) as session:
            await session.send(noisy_vowels(0.5).astype("float32"))
            await session.end()
            async for event in session:
                if isinstance(event, Event):
                    told.append(event.type)
                    if event.type == "speech.ended":
                        break
        return told

    assert asyncio.run(talk())[-1] == "speech.ended"


def test_stops_as_documented(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "lipstream", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), "the server listens")
        with connect(f"ws://127.0.0.1:{port}/ws/lipsync") as websocket:
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                websocket.recv(timeout=30)
        process.wait(timeout=30)
    finally:
        process.kill()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
