"""How fast one request is, measured as a client sees it: ``python -m benchmarks.oneshot [--json]``.

Starts a real server, waits until it is ready, sends one portrait and one recording through the WebSocket and takes
the time until the MP4 is decoded from base64. ``rtf`` is that time over the recording's length for a portrait the
server has never seen; ``rtf_again`` for one it remembers. Without ``--portrait`` and ``--speech`` a stand-in of the
documented sample's size is made from the bundled one: 960×1199 pixels, 7.0 s of 44.1 kHz stereo.
"""

from __future__ import annotations

import argparse
import base64
import importlib.metadata
import io
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from websockets.sync.client import connect

from benchmarks.stages import FPS, hearing_alone_ms, measure_stages
from lipstream.config import Settings
from lipstream.media.audio import open_recording
from lipstream.media.resample import Resampler
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore

ASSETS = Path(__file__).parent.parent / "src" / "lipstream" / "assets"


@dataclass(frozen=True)
class Sample:
    """What is sent."""

    portrait: bytes
    speech: bytes
    seconds: float


def stand_in(store: ModelStore) -> Sample:
    """The bundled sample at the size of the documented one: JPEG 960×1199 and WAV 7.0 s, 44.1 kHz, stereo."""
    picture = Image.open(store.path(SAMPLE_PORTRAIT)).convert("RGB").resize((1199, 1199), Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    picture.crop((0, 0, 960, 1199)).save(jpeg, "JPEG", quality=92)
    with wave.open(str(ASSETS / "sample.wav")) as file:
        speech = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / np.float32(32768)
    resampler = Resampler(16_000, 44_100)
    track = np.concatenate([resampler.push(speech), resampler.flush()])
    track = np.resize(np.pad(track, (0, max(0, 308_700 - len(track)))), 308_700)
    wav = io.BytesIO()
    with wave.open(wav, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes((np.repeat(track, 2).clip(-1, 1) * 32767).astype("<i2").tobytes())
    return Sample(jpeg.getvalue(), wav.getvalue(), 7.0)


class Server:
    """A lipstream server in its own process on a free port."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lipstream", "serve", "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not self._ready():
            if self.process.poll() is not None or time.perf_counter() - started > 60:
                raise SystemExit("the server did not become ready")
            time.sleep(0.02)
        self.ready_s = time.perf_counter() - started

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def memory_mb(self) -> tuple[float, float]:
        """(resident now, highest so far) in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        values = [re.search(rf"{name}:\s+(\d+) kB", status) for name in ("VmRSS", "VmHWM")]
        now, peak = (int(value.group(1)) / 1024 if value else float("nan") for value in values)
        return now, peak

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def request_seconds(port: int, sample: Sample) -> tuple[float, int]:
    """(wall clock in the client with base64 both ways, bytes of MP4) of one request."""
    with connect(f"ws://127.0.0.1:{port}/ws/lipsync", max_size=None, compression=None) as socket_:
        started = time.perf_counter()
        message = {
            "audio": base64.b64encode(sample.speech).decode(),
            "image": base64.b64encode(sample.portrait).decode(),
        }
        socket_.send(json.dumps(message))
        answer = json.loads(socket_.recv())
        if answer["status"] != "success":
            raise SystemExit(f"the server answered: {answer}")
        video = base64.b64decode(answer["video"])
        return time.perf_counter() - started, len(video)


def slightly_different(portrait: bytes, shade: int) -> bytes:
    """The same picture, ``shade`` grey levels off in a corner, as a JPEG: new to every cache, equal in cost."""
    picture = np.array(Image.open(io.BytesIO(portrait)).convert("RGB"))
    picture[:8, :8] = np.clip(picture[:8, :8].astype(int) + shade, 0, 255)
    jpeg = io.BytesIO()
    Image.fromarray(picture).save(jpeg, "JPEG", quality=95)
    return jpeg.getvalue()


def core_install_mb() -> float:
    """Size of what `make run` installs: the closure of lipstream's core dependencies, and pip."""
    wanted, seen, total = ["lipstream", "pip"], set(), 0
    while wanted:
        name = re.split(r"[ ;\[<>=!~(]", wanted.pop())[0]
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        wanted += [
            need for need in distribution.requires or [] if "extra ==" not in need or 'extra == "standard"' in need
        ]
        for file in distribution.files or []:
            path = Path(str(file.locate()))
            total += path.stat().st_size if path.is_file() else 0
    return total / 1e6


@dataclass(frozen=True)
class Served:
    """What requests to a real server took."""

    new: list[float]
    """Times of requests with a portrait that the server has never seen, over the recording's length."""
    again: list[float]
    """The same with a portrait that it remembers."""
    ready_s: float
    """From the start of the process until the server was ready."""
    idle_mb: float
    """Resident memory before the first request."""
    peak_mb: float
    """The most resident memory there was."""
    video_bytes: int
    """Size of one MP4."""


def measure_server(sample: Sample, runs: int) -> Served:
    """Start a server, send ``runs`` requests of either kind, stop it."""
    server = Server()
    try:
        idle, _ = server.memory_mb()
        request_seconds(server.port, sample)
        new, size = [], 0
        for run in range(runs):
            variant = Sample(slightly_different(sample.portrait, run + 1), sample.speech, sample.seconds)
            seconds, size = request_seconds(server.port, variant)
            new.append(seconds / sample.seconds)
        again = [request_seconds(server.port, variant)[0] / sample.seconds for _ in range(runs)]
        _, peak = server.memory_mb()
    finally:
        server.stop()
    return Served(new, again, server.ready_s, idle, peak, size)


def report(served: Served, elapsed: dict[str, float], computed: dict[str, float], hearing: dict[str, float]) -> None:
    """The figures for people."""
    new, again = statistics.median(served.new), statistics.median(served.again)
    print(f"{'one request, new portrait':34} {new:.3f} × real time  (worst {max(served.new):.3f})")
    print(f"{'one request, known portrait':34} {again:.3f} × real time  (worst {max(served.again):.3f})")
    print(f"{'server ready after':34} {served.ready_s:.2f} s")
    print(f"{'resident memory, idle / peak':34} {served.idle_mb:.0f} / {served.peak_mb:.0f} MB")
    print(f"{'core install':34} {core_install_mb():.0f} MB")
    print("\nmilliseconds in one job, by stage (one after the other, in this process)")
    print(f"  {'':12} {'elapsed':>9} {'computed':>9}  by the job's own thread; x264 has further ones")
    for name, value in elapsed.items():
        print(f"  {name:12} {value:9.1f} {computed[name]:9.1f}")
    print("features and network, milliseconds of one core per video frame")
    print(f"  {hearing['in_a_job']:.2f} in a job, {hearing['alone']:.2f} as a live stream with nothing else between")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portrait", type=Path, help="a picture of your own")
    parser.add_argument("--speech", type=Path, help="a recording of your own")
    parser.add_argument("--runs", type=int, default=5, help="requests of each kind (the median counts)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    settings = Settings()
    sample = stand_in(ModelStore(settings.cache_dir, settings.checkpoints_dir))
    if options.portrait and options.speech:
        speech = options.speech.read_bytes()
        recording = open_recording(speech, max_seconds=600)
        sample = Sample(options.portrait.read_bytes(), speech, recording.samples / recording.sample_rate)

    served = measure_server(sample, options.runs)
    elapsed, computed = measure_stages(sample.portrait, sample.speech, settings)
    hearing = {
        "in_a_job": round((computed["features"] + computed["network"]) / (sample.seconds * float(FPS)), 2),
        "alone": hearing_alone_ms(sample.speech, settings),
    }
    report(served, elapsed, computed, hearing)
    if options.json:
        result = {
            "rtf": round(statistics.median(served.new), 3),
            "rtf_again": round(statistics.median(served.again), 3),
            "ready_s": round(served.ready_s, 2),
            "rss_mb": round(served.peak_mb),
            "rss_idle_mb": round(served.idle_mb),
            "venv_mb": round(core_install_mb()),
            "video_mb": round(served.video_bytes / 1e6, 2),
            "seconds": round(sample.seconds, 2),
            "cores": os.cpu_count(),
            "stage_ms": elapsed,
            "stage_cpu_ms": computed,
            "hearing_ms": hearing,
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
