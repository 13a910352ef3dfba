"""The command line: ``lipstream serve``, ``lipstream render`` and ``lipstream models``.

Exit codes: 0 done, 1 something else failed (a full disk, a port that is taken, an error in lipstream itself), 2 wrong
usage, 3 the picture or the recording cannot be used, 4 a model or an engine is missing, 130 interrupted.
"""

from __future__ import annotations

import time
from enum import Enum
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from lipstream.media.clock import frame_rate
from lipstream.models_cli import models, pull_missing
from lipstream.terminal import FAILED, complain, plain_errors, read_settings, say
from lipstream.threads import one_thread_per_library

if TYPE_CHECKING:
    from lipstream.job import Job

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Real-time lip sync: a portrait and speech in, the person saying it out.",
    epilog="Start with: lipstream render portrait.jpg speech.wav -o talking.mp4\n\n"
    "Exit codes: 0 done, 1 something else failed (a full disk, a port that is taken, an error in lipstream itself), "
    "2 wrong usage, 3 the picture or the recording cannot be used, 4 a model or an engine is missing, 130 interrupted.",
)
app.add_typer(models, name="models")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lipstream {version('lipstream')}")
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What all commands share."""


class EngineChoice(str, Enum):
    """The engines a user can ask for."""

    auto = "auto"
    portrait = "portrait"
    wav2lip = "wav2lip"


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all. Default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one. Default: 8000.")
    ] = None,
) -> None:
    """Serve the page, the WebSockets and the HTTP endpoints until Ctrl-C.

    Other settings come from environment variables or a file .env; see docs/settings.md.

    Example: LIPSTREAM_WORKERS=1 lipstream serve --host 0.0.0.0 --port 8000
    """
    from lipstream.server.listening import ListenError
    from lipstream.server.serve import run

    given = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    try:
        started = run(read_settings().model_copy(update=given))
    except ListenError as error:
        complain(str(error))
        started = False
    if not started:
        raise typer.Exit(FAILED)


@app.command()
def render(
    portrait: Annotated[
        Path,
        typer.Argument(
            help="A picture with a face (JPEG, PNG, WebP, ...), or a clip (MP4, WebM, ...).",
            exists=True,
            dir_okay=False,
        ),
    ],
    audio: Annotated[Path, typer.Argument(help="The recording: WAV, MP3, M4A, Ogg, ...", exists=True, dir_okay=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The MP4 to write.", dir_okay=False, writable=True)
    ] = Path("output.mp4"),
    fps: Annotated[float, typer.Option(help="Frames per second, 1 to 60.")] = 25.0,
    engine: Annotated[
        EngineChoice, typer.Option(help="auto is wav2lip if its checkpoint is present, else portrait.")
    ] = EngineChoice.auto,
    face_index: Annotated[
        int | None, typer.Option(min=0, help="Which face, counted from 0 from left to right. Default: the largest.")
    ] = None,
) -> None:
    """Make PORTRAIT speak AUDIO. A clip is played forwards and backwards for as long as the audio lasts.

    Example: lipstream render me.jpg hello.wav -o talking.mp4 --fps 30
    """
    from lipstream.studio import Studio

    rate = _exact_rate(fps)
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"There is no folder {output.absolute().parent}.", param_hint="--output")
    with plain_errors():
        one_thread_per_library()
        settings = read_settings()
        pull_missing(settings)
        studio = Studio.open(settings)
        job = _read_job(portrait, audio, rate, engine, face_index)
        started = time.perf_counter()
        with _FrameBar(portrait.name) as bar:
            mp4 = studio.render(job, on_progress=bar.show)
        elapsed = time.perf_counter() - started
        _save(mp4, output)
        say(_speed_line(output, bar.frames, rate, elapsed))


def _exact_rate(fps: float) -> Fraction:
    try:
        return frame_rate(fps)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fps") from None


def _read_job(portrait: Path, audio: Path, rate: Fraction, engine: EngineChoice, face_index: int | None) -> Job:
    """The work to do with these files; whether the first is a picture or a clip is told by its content."""
    from lipstream.job import Job
    from lipstream.media.video import kind_of

    source, speech = portrait.read_bytes(), audio.read_bytes()
    clip = kind_of(source) == "video"
    return Job(
        image=None if clip else source,
        video=source if clip else None,
        audio=speech,
        fps=rate,
        engine=engine.value,
        face_index=face_index,
    )


def _save(mp4: bytes, output: Path) -> None:
    try:
        output.write_bytes(mp4)
    except OSError as error:
        complain(f"{output} cannot be written: {error.strerror}.")
        raise typer.Exit(FAILED) from None


class _FrameBar:
    """Progress in frames. It is shown from the first frame on, so that an error does not follow an empty bar."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames"))
        self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        self._task = self._bar.add_task(name, total=None)
        self.frames = 0
        """How many are drawn."""

    def __enter__(self) -> _FrameBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.frames:
            self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """``done`` frames of ``total`` are drawn."""
        self.frames = done
        self._bar.update(self._task, completed=done, total=total)
        self._bar.start()


def _speed_line(output: Path, frames: int, rate: Fraction, elapsed: float) -> str:
    seconds = float(frames / rate)
    speed = f"{seconds / elapsed:.1f} × real time, {frames / elapsed:.0f} frames per second"
    return f"{output}: {seconds:.1f} s of video in {elapsed:.1f} s ({speed})"


def main() -> None:
    """Entry point of the ``lipstream`` command."""
    app()
