"""How much faster the engine ``wav2lip`` is than PyTorch: ``python -m benchmarks.wav2lip [--json]``.

Both sides use the same random checkpoint and as many threads, in alternation, so that other load on the machine
hits both; ratios are the median over the rounds. Needs the extra ``torch`` and librosa. With ``--checkpoint`` a
real one is measured instead.

* ``network``: pictures per second of the network alone. PyTorch runs all of it at the documented batch of 128.
* ``job``: recording to MP4. The reference is the original's way (tests/reference/pipeline.py): the full network for
  every frame, an AVI, a second encode. Face detection and loading are outside on both sides.
* ``psnr_db``: ``blend="full"`` against the reference's pictures, before any encoding.
* ``ready_s``, ``rss_mb``: a new process without PyTorch: from its start to the first picture out of a cached
  import, and the most memory it has taken after a whole job.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.base import Patch
from lipstream.engines.wav2lip.box import Box, face_box
from lipstream.engines.wav2lip.engine import CPU_BATCH, Wav2LipEngine, network_face
from lipstream.engines.wav2lip.imported import import_checkpoint
from lipstream.engines.wav2lip.network import GeneratorNetwork
from lipstream.engines.wav2lip.tiles import open_network
from lipstream.face.finder import FaceFinder
from lipstream.media.audio import open_recording
from lipstream.media.clock import frame_count
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.render import render

FPS = Fraction(25)
TORCH_BATCH = 128
SPEECH = Path(__file__).parent.parent / "src" / "lipstream" / "assets" / "sample.wav"


def sample_avatar() -> Avatar:
    """The bundled portrait."""
    store = ModelStore()
    picture = cv2.imread(str(store.path(SAMPLE_PORTRAIT)), cv2.IMREAD_COLOR)
    assert picture is not None
    photo = np.asarray(picture, np.uint8)
    return Avatar(photo, FaceFinder.load(store).largest(photo), picture_digest(photo))


def sample_speech() -> NDArray[np.float32]:
    """The bundled sentence, 16 kHz."""
    with wave.open(str(SPEECH)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (samples / 32768).astype(np.float32)


def job_seconds(engine: Wav2LipEngine, avatar: Avatar) -> float:
    """One job of ours, avatar preparation included."""
    started = time.perf_counter()
    recording = open_recording(SPEECH.read_bytes(), max_seconds=600)
    render(engine.prepare(avatar), recording, FPS, batch=CPU_BATCH)
    return time.perf_counter() - started


def child(checkpoint: Path, cache: Path, threads: int, started: float) -> None:
    """In a process of its own: time to the first picture, and memory after a job."""
    engine = Wav2LipEngine.load(checkpoint, cache, threads=threads)
    avatar = sample_avatar()
    performance = engine.prepare(avatar).perform(FPS)
    next(iter([*performance.push(sample_speech()[:16_000]), *performance.finish(25)]))
    ready = time.time() - started
    job_seconds(engine, avatar)
    print(json.dumps({"ready_s": ready, "rss_mb": peak_memory_mb()}))


def peak_memory_mb() -> float:
    """The most memory this process had resident. (``getrusage`` would count what its parent had when it forked.)"""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1024 if found else float("nan")


def measure_child(checkpoint: Path, cache: Path, threads: int) -> dict[str, float]:
    """See :func:`child`."""
    command = [sys.executable, "-m", "benchmarks.wav2lip", "--child", str(cache), "--checkpoint", str(checkpoint)]
    command += ["--threads", str(threads), "--started", str(time.time())]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured: dict[str, float] = json.loads(output.splitlines()[-1])
    return measured


class Comparison:
    """Ours and PyTorch, side by side."""

    def __init__(self, checkpoint: Path, cache: Path, threads: int, precise: bool | None) -> None:
        import torch

        from lipstream.engines.wav2lip.checkpoint import checkpoint_width, read_checkpoint
        from tests.reference.network import Wav2Lip

        torch.set_num_threads(threads)
        weights = read_checkpoint(checkpoint)
        self.reference = Wav2Lip(checkpoint_width(weights)).eval()
        state = {name: torch.from_numpy(array) for name, array in weights.items()}
        self.reference.load_state_dict(state, strict=False)  # without batch normalisation's counters
        model = import_checkpoint(checkpoint, cache)
        self.network = open_network(model, mouth_only=True, threads=threads, precise=precise)
        self.engine = Wav2LipEngine(self.network, checkpoint=checkpoint.name)
        whole = GeneratorNetwork(model, mouth_only=False, threads=threads)
        self.full_engine = Wav2LipEngine(whole, checkpoint=checkpoint.name, blend="full")
        self.avatar = sample_avatar()
        self.box: Box = face_box(self.avatar.face, self.avatar.picture.shape)
        self.speech = sample_speech()

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """The box as the reference wants it."""
        return self.box.top, self.box.bottom, self.box.left, self.box.right

    def network_fps(self, count: int = 64) -> float:
        """Pictures per second of our network."""
        windows = np.random.default_rng(0).uniform(-4, 4, (count, 80, 16)).astype(np.float32)
        shares = self.network.encode(network_face(self.avatar.picture, self.box, self.network.side))
        self.network.generate(windows[:CPU_BATCH], shares, CPU_BATCH)
        started = time.perf_counter()
        self.network.generate(windows, shares, CPU_BATCH)
        return count / (time.perf_counter() - started)

    def torch_fps(self) -> float:
        """Pictures per second of PyTorch at the documented batch."""
        import torch

        from tests.reference.pipeline import network_inputs

        windows = list(np.random.default_rng(0).uniform(-4, 4, (TORCH_BATCH, 80, 16)))
        mels, faces = network_inputs(self.avatar.picture, self.edges, windows)
        started = time.perf_counter()
        with torch.no_grad():
            self.reference(mels, faces)
        return TORCH_BATCH / (time.perf_counter() - started)

    def reference_job_seconds(self) -> float:
        """One job the original's way."""
        from tests.reference import pipeline

        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            pipeline.render(self.reference, self.avatar.picture, self.edges, self.speech, float(FPS), Path(folder))
            return time.perf_counter() - started

    def psnr_db(self, seconds: float = 2.0) -> float:
        """Our whole box against the reference's, the worst frame."""
        from tests.reference import pipeline

        speech = self.speech[: int(16_000 * seconds)]
        performance = self.full_engine.prepare(self.avatar).perform(FPS, batch=CPU_BATCH)
        patches = [*performance.push(speech), *performance.finish(frame_count(len(speech), 16_000, FPS))]
        originals = list(
            pipeline.frames(self.reference, self.avatar.picture, self.edges, speech, float(FPS), CPU_BATCH)
        )
        # The original's last window is not that of its frame.
        errors = list(squared_errors(patches, originals[:-1]))
        return float(10 * np.log10(255**2 / max(max(errors), 1e-9)))


def squared_errors(patches: list[Patch], originals: list[NDArray[np.uint8]]) -> Iterator[float]:
    """Mean squared difference of each pair, inside the patch."""
    for patch, original in zip(patches, originals, strict=False):
        height, width = patch.pixels.shape[:2]
        there = original[patch.y : patch.y + height, patch.x : patch.x + width]
        yield float(np.square(patch.pixels.astype(float) - there).mean())


def random_checkpoint(folder: Path) -> Path:
    """A checkpoint as the official ones are, with random weights."""
    from tests.reference.network import random_network, save_checkpoint

    path = folder / "wav2lip_random.pth"
    save_checkpoint(random_network(), path)
    return path


def measure(checkpoint: Path, cache: Path, threads: int, rounds: int, precise: bool | None) -> dict[str, float]:
    """All figures."""
    started = time.perf_counter()
    model = import_checkpoint(checkpoint, cache)
    open_network(model, mouth_only=True, threads=threads)  # its trial belongs to the import
    result = {"import_s": time.perf_counter() - started}
    result |= measure_child(checkpoint, cache, threads)
    both = Comparison(checkpoint, cache, threads, precise)
    result["psnr_db"] = both.psnr_db()
    ours, theirs, our_jobs, their_jobs = [], [], [], []
    for _ in range(rounds):
        theirs.append(both.torch_fps())
        ours.append(both.network_fps())
        their_jobs.append(both.reference_job_seconds())
        our_jobs.append(job_seconds(both.engine, both.avatar))
    frames = frame_count(len(both.speech), 16_000, FPS)
    result["network_fps"] = statistics.median(ours)
    result["torch_fps"] = statistics.median(theirs)
    result["network_ratio"] = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    result["job_fps"] = frames / statistics.median(our_jobs)
    result["reference_job_fps"] = frames / statistics.median(their_jobs)
    result["job_ratio"] = statistics.median(a / b for a, b in zip(their_jobs, our_jobs, strict=True))
    return result


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    parser.add_argument("--checkpoint", type=Path, help="a real checkpoint instead of a random one")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of both sides")
    parser.add_argument("--rounds", type=int, default=3, help="alternations (default 3)")
    parser.add_argument("--precise", action="store_true", help="ours with small tiles, whatever the trial says")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.child:
        child(options.checkpoint, options.child, options.threads, options.started)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint = options.checkpoint or random_checkpoint(folder)
        result = measure(checkpoint, folder / "cache", options.threads, options.rounds, options.precise or None)
    for name, value in result.items():
        print(f"{name:18} {value:8.2f}")
    if options.json:
        print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
