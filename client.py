"""Example client: sends a portrait, or a clip, and a recording to a lipstream server and saves the talking video.

    python client.py                                  # input_image/ and input_audios/, else the server's own sample
    python client.py me.jpg hello.wav -o talking.mp4
    python client.py me.mp4 hello.wav                 # a clip: its mouth is replaced in every frame
    python client.py --url ws://gpu-box:8000/ws/lipsync

Needs only the package ``websockets``. Exit codes: 0 saved, 1 no connection, or a file that cannot be read or
written, 2 wrong usage, 3 the server refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

CLIPS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ogv")


def main() -> int:
    """Run the client; gives the exit code."""
    options = parse_arguments()
    try:
        name, portrait = read_input(options.portrait, Path("input_image"), options.url, "/sample/portrait")
        _, audio = read_input(options.audio, Path("input_audios"), options.url, "/sample/speech")
        field = "video" if name.lower().endswith(CLIPS) else "image"
        # The answer is one message that may be large, and compressing an MP4 again gains nothing. On a slow line, pings
        # wait behind it for longer than the default of 20 seconds.
        with connect(options.url, max_size=None, compression=None, ping_timeout=600) as websocket:
            answer = request(websocket, {field: portrait, "audio": audio}, fps=options.fps, engine=options.engine)
    except ConnectionClosed as error:
        reason = error.rcvd.reason if error.rcvd else "it went away"
        return fail(1, f"The server closed the connection: {reason}")
    except KeyboardInterrupt:
        return fail(130, "Stopped.")
    except (OSError, InvalidHandshake, InvalidURI) as error:
        return fail(1, f"No connection to {options.url}: {error}. Is the server running (make run)?")
    if answer.get("status") != "success":
        return fail(3, f"{answer['message']} ({answer['code']})")
    try:
        options.output.write_bytes(base64.b64decode(answer["video"]))
    except OSError as error:
        return fail(1, f"{options.output} cannot be written: {error.strerror}.")
    print(f"Saved {options.output}")
    return 0


def request(websocket: ClientConnection, files: dict[str, bytes], *, fps: float, engine: str) -> dict[str, str]:
    """Send one request, show its progress, and return the answer's fields. A connection can be used for many requests.

    ``files`` are "audio" and either "image" or "video".
    """
    encoded = {field: base64.b64encode(content).decode() for field, content in files.items()}
    websocket.send(json.dumps({**encoded, "fps": fps, "engine": engine, "progress": True}))
    while True:
        answer: dict[str, str] = json.loads(websocket.recv())
        if answer.get("status") != "progress":
            return answer
        end = "\n" if answer["done"] == answer["total"] else ""
        print(f"\r{answer['done']} of {answer['total']} frames", end=end, flush=True)


def read_input(given: Path | None, folder: Path, url: str, sample: str) -> tuple[str, bytes]:
    """Name and content of the given file, or of the first file in the folder, or of the server's sample."""
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if given or files:
        path = given or files[0]
        print(f"Using {path}")
        try:
            return path.name, path.read_bytes()
        except OSError as error:
            raise SystemExit(fail(1, f"{path} cannot be read: {error.strerror}.")) from None
    server = urlsplit(url)
    address = f"{'https' if server.scheme == 'wss' else 'http'}://{server.netloc}{sample}"
    print(f"Nothing in {folder}/, so using {address}")
    with urlopen(address) as response:
        return sample, response.read()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a portrait or a clip speak with a lipstream server.")
    parser.add_argument(
        "portrait", nargs="?", type=existing_file, help="picture (JPEG, PNG, WebP, ...) or clip (MP4, WebM, ...)"
    )
    parser.add_argument("audio", nargs="?", type=existing_file, help="recording of speech (WAV, MP3, M4A, ...)")
    parser.add_argument("-o", "--output", type=Path, default=Path("output.mp4"), help="where to save the video")
    parser.add_argument(
        "--url", type=websocket_url, default="ws://localhost:8000/ws/lipsync", help="the server (default: %(default)s)"
    )
    parser.add_argument("--fps", type=float, default=25.0, help="frames per second, 1 to 60 (default: %(default)s)")
    parser.add_argument("--engine", default="auto", help="auto, portrait or wav2lip (default: %(default)s)")
    return parser.parse_args()


def websocket_url(address: str) -> str:
    """The address of a WebSocket, for argparse."""
    if urlsplit(address).scheme not in ("ws", "wss"):
        raise argparse.ArgumentTypeError(f"{address} should look like ws://localhost:8000/ws/lipsync")
    return address


def existing_file(name: str) -> Path:
    """The path of a file that is not empty, for argparse."""
    path = Path(name)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {name}")
    if not path.stat().st_size:
        raise argparse.ArgumentTypeError(f"{name} is empty")
    return path


def fail(code: int, message: str) -> int:
    """Say what went wrong and give the exit code."""
    print(f"\n{message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
