"""Stream a WAV file to a lipstream server as if it were spoken right now, and save the talking face.

    python examples/stream_wav.py me.jpg hello.wav -o live.mp4
    python examples/stream_wav.py me.jpg hello.wav --interrupt-after 2

The saved file is what a browser would play: idle, then the speech, cut off where it was interrupted, then idle.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import wave
from pathlib import Path

from lipstream.client import Media, StreamSession, connect
from lipstream.errors import LipstreamError

CHUNK_SECONDS = 0.1
IDLE_SECONDS = 1.0
"""How long the face idles before and after."""


async def main() -> int:
    """Run the example; gives the exit code."""
    options = parse_arguments()
    try:
        portrait = options.portrait.read_bytes()
        pcm, rate, channels = read_wav(options.audio)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        async with connect(options.url, image=portrait, sample_rate=rate, channels=channels) as session:
            print(f"Ready: {session.ready['width']}×{session.ready['height']}, {session.ready['mime']}")
            speaking = asyncio.create_task(speak(session, pcm, rate * channels * 2, options.interrupt_after))
            try:
                video = await watch(session)
            finally:
                speaking.cancel()
    except LipstreamError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error}. Is the server running (make run) at {options.url}?", file=sys.stderr)
        return 1
    try:
        options.output.write_bytes(video)
    except OSError as error:
        print(f"{options.output} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"Saved {options.output}")
    return 0


def read_wav(path: Path) -> tuple[bytes, int, int]:
    """PCM, samples per second and channels. Raises :class:`ValueError` for what this example does not read."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() == 2 and file.getnchannels() <= 2:
                return file.readframes(file.getnframes()), file.getframerate(), file.getnchannels()
    except (wave.Error, EOFError):
        pass
    raise ValueError(f"{path}: this example reads WAV files with 16 bits and one or two channels.")


async def speak(session: StreamSession, pcm: bytes, bytes_per_second: int, interrupt_after: float | None) -> None:
    """Send the recording at the speed at which it is spoken, and interrupt it if asked to."""
    await asyncio.sleep(IDLE_SECONDS)
    size = int(bytes_per_second * CHUNK_SECONDS) // 4 * 4
    begin = asyncio.get_running_loop().time()
    for start in range(0, len(pcm), size):
        await session.send(pcm[start : start + size])
        spoken = asyncio.get_running_loop().time() - begin
        if interrupt_after is not None and spoken >= interrupt_after:
            await session.interrupt()
            return
        await asyncio.sleep((start + size) / bytes_per_second - spoken)
    await session.end()


async def watch(session: StreamSession) -> bytes:
    """Collect the media until :data:`IDLE_SECONDS` after the speech."""
    media, frames_left = [], None
    async for event in session:
        if isinstance(event, Media):
            media.append(event.data)
            frames_left = None if frames_left is None else frames_left - 1
            if frames_left == 0:
                break
        elif event.type.startswith("speech."):
            print(", ".join(f"{name} {value}" for name, value in event.fields.items()))
            if event.type != "speech.started":
                frames_left = int(IDLE_SECONDS * session.ready["fps"])
    return b"".join(media)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Stream a WAV file to a lipstream server.")
    parser.add_argument("portrait", type=Path, help="picture with a face (JPEG, PNG, WebP, ...)")
    parser.add_argument("audio", type=Path, help="WAV file, 16 bits, one or two channels")
    parser.add_argument("-o", "--output", type=Path, default=Path("live.mp4"), help="where to save the video")
    parser.add_argument("--url", default="ws://localhost:8000/ws/stream", help="the server (default: %(default)s)")
    parser.add_argument("--interrupt-after", type=float, metavar="SECONDS", help="interrupt the speech after this time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
