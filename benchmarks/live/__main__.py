"""What live streaming costs and how fast it answers: ``python -m benchmarks.live [--json]``.

The server runs in a process of its own and is used over loopback; stages are timed in this process, on one thread.
Nothing else should run on the machine.

* ``first_frame_ms``: from sending the first chunk of speech (20 ms each, in real time) to receiving its first frame.
* ``first_frame_beside_jobs_ms``: the same while two one-shot jobs are always at work in the same server.
* ``barge_in_ms``: from sending ``interrupt``, with a minute queued, to having received both the first idle frame and
  the first sample of silence.
* ``starved_with_jitter``: frames idled in twenty seconds of speech whose chunks come up to 20 ms late.
* ``browser_first_frame_ms``, ``browser_barge_in_ms``: from ``speak()`` to the first talking frame and from
  ``interrupt()`` to the first idle frame on the screen of headless Chromium.
* ``stage_ms``: CPU milliseconds per frame by stage and size.
* ``sessions_portrait``, ``sessions_wav2lip``: most sessions that speak at the same time, at 512×512 and 25 fps, of
  which 99 % of the frames arrive less than 40 ms late; their speech comes half a second ahead. The latter with a random
  checkpoint if there is no real one.
* ``cpu_portrait``, ``cpu_wav2lip``: CPU seconds of the server for a second of such a stream.

What cannot be measured here is null, and ``missing`` says why.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.live.browser import browser_latencies
from benchmarks.live.endurance import soak
from benchmarks.live.ground import Server, sample_picture, server
from benchmarks.live.latencies import latencies
from benchmarks.live.sessions import cpu_of_one, most_sessions
from benchmarks.live.stages import stages
from benchmarks.wav2lip import random_checkpoint
from lipstream.config import Settings
from lipstream.engines.wav2lip.imported import find_checkpoint
from lipstream.models.store import default_cache


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--rounds", type=int, default=30, help="of first frame and barge-in (default: %(default)s)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="instead, stream for so long and look for drift")
    options = parser.parse_args()
    picture = sample_picture()
    if options.soak:
        with server() as running:
            print(json.dumps({"soak": asyncio.run(soak(running, picture, options.soak))}))
        return
    print(json.dumps(measure(picture, options.rounds), indent=None if options.json else 1))


def measure(picture: bytes, rounds: int) -> dict[str, Any]:
    """All figures."""
    missing: dict[str, str] = {}
    results: dict[str, Any] = {"stage_ms": stages(picture)}
    with server() as running:
        results |= asyncio.run(latencies(running, picture, rounds))
        try:
            results |= browser_latencies(running, rounds)
        except RuntimeError as reason:
            names = ("browser_first_frame_ms", "browser_barge_in_ms")
            results |= dict.fromkeys(names)
            missing |= dict.fromkeys(names, str(reason))
        results["cpu_portrait"] = asyncio.run(cpu_of_one(running, picture, "portrait"))
        results["sessions_portrait"] = asyncio.run(most_sessions(running.stream, picture, "portrait"))
    results |= {"cpu_wav2lip": None, "sessions_wav2lip": None}
    try:
        with wav2lip_server() as running:
            results["cpu_wav2lip"] = asyncio.run(cpu_of_one(running, picture, "wav2lip"))
            results["sessions_wav2lip"] = asyncio.run(most_sessions(running.stream, picture, "wav2lip"))
    except RuntimeError as reason:
        missing |= {"cpu_wav2lip": str(reason), "sessions_wav2lip": str(reason)}
    return results | {"missing": missing}


@contextmanager
def wav2lip_server() -> Iterator[Server]:
    """A server with the engine ``wav2lip``: with the user's checkpoint, else with a random one that costs the same.

    Raises :class:`RuntimeError` where neither is possible.
    """
    settings = Settings()
    if find_checkpoint(settings.wav2lip_path):
        with server() as running:
            yield running
        return
    if importlib.util.find_spec("torch") is None:
        raise RuntimeError("there is no checkpoint, and a random one needs the extra torch")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        cache = folder / "cache"
        cache.mkdir()
        for file in (settings.cache_dir or default_cache()).iterdir():
            if file.is_file():
                (cache / file.name).symlink_to(file)
        with server(wav2lip_path=random_checkpoint(folder), LIPSTREAM_CACHE_DIR=cache) as running:
            if "wav2lip" not in running.engines:
                raise RuntimeError("the random checkpoint was not taken; see the server's log")
            yield running


if __name__ == "__main__":
    main()
