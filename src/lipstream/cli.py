"""The command line: ``lipstream serve``, ``lipstream render`` and ``lipstream models``.

Exit codes: 0 done, 1 an error in lipstream itself, 2 wrong usage, 3 the picture or the recording cannot be
used, 4 a model or an engine is missing, 130 interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from lipstream.config import Settings
from lipstream.errors import EngineError, LipstreamError, ModelError
from lipstream.media.clock import frame_rate
from lipstream.models.assets import ASSETS
from lipstream.models.store import ModelStore
from lipstream.models.store import Progress as StoreProgress
from lipstream.threads import one_thread_per_library

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Real-time lip sync: a portrait and speech in, the person saying it out.",
    epilog="Start with: lipstream render portrait.jpg speech.wav -o talking.mp4",
)
models = typer.Typer(no_args_is_help=True, help="The model files: what is there, and fetching what is not.")
app.add_typer(models, name="models")

BAD_INPUT = 3
NOT_AVAILABLE = 4


class EngineChoice(str, Enum):
    """The engines a user can ask for."""

    auto = "auto"
    portrait = "portrait"
    wav2lip = "wav2lip"


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Expected errors become one sentence on stderr and an exit code, not a traceback."""
    console = Console(stderr=True)
    try:
        yield
    except LipstreamError as error:
        console.print(f"[bold red]{error.code}[/]: {error.message}", highlight=False, soft_wrap=True)
        missing = isinstance(error, (ModelError, EngineError))
        raise typer.Exit(NOT_AVAILABLE if missing else BAD_INPUT) from None
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise typer.Exit(130) from None


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the page, the WebSocket and the HTTP endpoints. Settings: docs/settings.md."""
    from lipstream.server.serve import run

    settings = Settings()
    run(settings.model_copy(update={k: v for k, v in {"host": host, "port": port}.items() if v is not None}))


@app.command()
def render(
    portrait: Annotated[Path, typer.Argument(help="A picture with a face: JPEG, PNG, WebP, ...", exists=True)],
    audio: Annotated[Path, typer.Argument(help="The recording: WAV, MP3, M4A, Ogg, ...", exists=True)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The MP4 to write.")] = Path("output.mp4"),
    fps: Annotated[float, typer.Option(help="Frames per second, 1 to 60.")] = 25.0,
    engine: Annotated[
        EngineChoice, typer.Option(help="auto is wav2lip when its checkpoint is there, else portrait.")
    ] = EngineChoice.auto,
) -> None:
    """Make PORTRAIT speak AUDIO.

    Example: lipstream render me.jpg hello.wav -o talking.mp4 --fps 30
    """
    from lipstream.studio import Job, Studio

    try:
        rate = frame_rate(fps)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fps") from None
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"There is no folder {output.absolute().parent}.", param_hint="--output")
    with _plain_errors():
        one_thread_per_library()
        settings = Settings()
        _pull(settings)
        studio = Studio.open(settings)
        job = Job(image=portrait.read_bytes(), audio=audio.read_bytes(), fps=rate, engine=engine.value)
        started = time.perf_counter()
        with _frame_bar() as bar:
            task = bar.add_task(portrait.name, total=None)
            mp4 = studio.render(job, on_progress=lambda done, total: bar.update(task, completed=done, total=total))
            frames = int(bar.tasks[task].completed)
        elapsed = time.perf_counter() - started
        output.write_bytes(mp4)
        _say(_speed_line(output, frames, rate, elapsed))


def _frame_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames"))
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


def _speed_line(output: Path, frames: int, rate: Fraction, elapsed: float) -> str:
    seconds = float(frames / rate)
    speed = f"{seconds / elapsed:.1f} × real time, {frames / elapsed:.0f} frames per second"
    return f"{output}: {seconds:.1f} s of video in {elapsed:.1f} s ({speed})"


@models.command("list")
def list_models() -> None:
    """Show every model file: whether it is there, its licence, and what it is for."""
    settings = Settings()
    store = ModelStore(settings.cache_dir, settings.checkpoints_dir)
    table = Table("model", "state", "size", "licence", "for")
    for asset in ASSETS:
        status = store.status(asset)
        table.add_row(asset.name, status.state, f"{asset.size / 1e6:.1f} MB", asset.licence, asset.purpose)
    Console().print(table)


@models.command()
def pull() -> None:
    """Fetch and verify what is missing; does nothing when all is there."""
    with _plain_errors():
        _pull(Settings())
        _say("All models are there.")


def _pull(settings: Settings) -> None:
    """Fetch every asset that is missing, with a bar per download."""
    store = ModelStore(settings.cache_dir, settings.checkpoints_dir)
    missing = [asset for asset in ASSETS if store.status(asset).state != "present"]
    columns = (TextColumn("{task.description:16}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not missing) as bar:
        for asset in missing:
            task = bar.add_task(asset.name, total=asset.size)
            store.fetch(asset, _reporter(bar, task))
            bar.update(task, completed=bar.tasks[task].total or asset.size)


def _reporter(bar: Progress, task: TaskID) -> StoreProgress:
    return lambda _asset, done, total: bar.update(task, completed=done, total=total)


def _say(sentence: str) -> None:
    Console().print(sentence, highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point of the ``lipstream`` command."""
    app()
