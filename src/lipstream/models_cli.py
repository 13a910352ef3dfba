"""``lipstream models``: list models, fetch missing ones, import checkpoints."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from lipstream.config import Settings, available_cores
from lipstream.enhance.imported import Step
from lipstream.errors import ModelError
from lipstream.inventory import find_checkpoints
from lipstream.models.assets import ASSETS
from lipstream.models.checkpoints import CHECKPOINTS, Checkpoint, Kind, fetch, inspect, kind_of, named
from lipstream.models.store import ModelStore, default_cache
from lipstream.models.store import Progress as StoreProgress
from lipstream.terminal import plain_errors, read_settings, say

models = typer.Typer(
    no_args_is_help=True,
    help="List, fetch and import model files.",
    epilog="Start with: lipstream models list",
)

_SETTINGS: dict[Kind, str] = {
    "wav2lip": "wav2lip_path",
    "segmentation": "segmentation_path",
    "upscaling": "sr_path",
    "detector": "LIPSTREAM_CHECKPOINTS_DIR",
}
"""Which setting says where a checkpoint of each kind is looked for."""


class ImportKind(str, Enum):
    """What a checkpoint can be imported as."""

    auto = "auto"
    wav2lip = "wav2lip"
    segmentation = "segmentation"
    upscaling = "upscaling"


@models.command("list")
def list_models() -> None:
    """Show every model file: whether it is present, its hash, licence, origin and purpose."""
    settings = read_settings()
    store = ModelStore(settings.cache_dir, settings.checkpoints_dir)
    say("Required:")
    for asset in ASSETS:
        state, size = store.status(asset).state, f"{asset.size / 1e6:.1f} MB"
        say(f"  {asset.name:20} {state:8} {asset.sha256[:8]}  {size:>7}  {asset.licence}")
        say(f"      {asset.purpose}; {asset.home}")
    say("Optional, used if present:")
    for found in find_checkpoints(settings):
        hashed = found.sha256[:8] if found.sha256 else "-"
        say(f"  {found.path!s:35} {found.state:8} {hashed:8}  {found.licence}")
        say(f"      {found.purpose}; {found.source}")
    pullable = ", ".join(checkpoint.name for checkpoint in CHECKPOINTS if checkpoint.asset)
    say(f"lipstream models pull NAME fetches one of: {pullable}")


@models.command()
def pull(
    name: Annotated[
        str | None, typer.Argument(help="A checkpoint from models list. Without it: all required models.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Agree to the checkpoint's terms in advance.")
    ] = False,
    source: Annotated[
        str | None, typer.Option("--from", help="Fetch from this address instead; the content is still verified.")
    ] = None,
) -> None:
    """Fetch and verify all required models that are missing, or one published checkpoint by name.

    Example: lipstream models pull wav2lip-gan
    """
    with plain_errors():
        settings = read_settings()
        if name is None:
            pull_missing(settings)
            say("All required models are present.")
            return
        checkpoint = named(name)
        if source:
            checkpoint = replace(checkpoint, urls=(source,))
        _pull_checkpoint(checkpoint, settings, accept_licence)


def pull_missing(settings: Settings) -> None:
    """Fetch every needed model that is missing, with a bar per download."""
    store = ModelStore(settings.cache_dir, settings.checkpoints_dir)
    missing = [asset for asset in ASSETS if store.status(asset).state != "present"]
    with _download_bar(disable=not missing) as bar:
        for asset in missing:
            task = bar.add_task(asset.name, total=asset.size)
            store.fetch(asset, _reporter(bar, task))
            bar.update(task, completed=bar.tasks[task].total or asset.size)


def _pull_checkpoint(checkpoint: Checkpoint, settings: Settings, accepted: bool) -> None:
    if checkpoint.asset is None:
        fetch(checkpoint, settings.checkpoints_dir)  # says why not
    if checkpoint.terms and not accepted:
        console = Console(stderr=True)
        console.print(f"{checkpoint.terms}\nSee {checkpoint.home}", markup=False, highlight=False, soft_wrap=True)
        if not console.is_terminal:
            raise typer.BadParameter(
                "Somebody has to agree to these terms, and there is no terminal to ask on.",
                param_hint="--accept-licence",
            )
        typer.confirm("Do you agree to these terms?", abort=True, err=True)
    with _download_bar() as bar:
        task = bar.add_task(checkpoint.name, total=checkpoint.size)
        path = fetch(checkpoint, settings.checkpoints_dir, accept_terms=True, on_progress=_reporter(bar, task))
    say(f"{path} is present and verified ({checkpoint.licence}).")
    _say_what_next(checkpoint.kind, path, settings)


def _say_what_next(kind: Kind, path: Path, settings: Settings) -> None:
    used = next(found.path for found in find_checkpoints(settings, with_hash=False) if found.kind == kind)
    if used.absolute() != path.absolute():
        say(f"To use it, set {_SETTINGS[kind]}={path}")


@models.command("import")
def import_model(
    file: Annotated[
        Path, typer.Argument(help="A checkpoint: .pth, .pt, .onnx, .safetensors.", exists=True, dir_okay=False)
    ],
    kind: Annotated[
        ImportKind, typer.Option("--as", help="What it contains; auto tells it by the tensors.")
    ] = ImportKind.auto,
) -> None:
    """Convert a checkpoint once, so that later starts do not need PyTorch.

    Example: lipstream models import checkpoints/wav2lip_gan.pth
    """
    with plain_errors():
        settings = read_settings()
        recognised = _recognise(file) if kind is ImportKind.auto else kind.value
        if recognised == "detector":
            say(f"{file} is a face detector. It needs no import; set LIPSTREAM_FACE_DETECTOR=face-alignment to use it.")
            return
        columns = (TextColumn("{task.description:24}"), BarColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(recognised, total=None)
            _import_as(
                recognised,
                file,
                settings.cache_dir or default_cache(),
                lambda step, done, total: bar.update(task, description=step, completed=done, total=total),
            )
        found = inspect(recognised, file)
        say(f"{file} is imported ({found.purpose}). sha256 {found.sha256}, licence {found.licence}.")
        _say_what_next(recognised, file, settings)


def _recognise(file: Path) -> Kind:
    try:
        return kind_of(file)
    except ImportError as error:
        raise ModelError(
            "model_missing",
            f"Importing {file.name} needs PyTorch, once ({error}). "
            f"Run: pip install 'lipstream[torch]' && lipstream models import {file}",
        ) from error


def _import_as(kind: Kind, file: Path, cache: Path, report: Step) -> None:
    # The importers are loaded only here: the other commands must start quickly.
    if kind == "wav2lip":
        from lipstream.engines.wav2lip.imported import import_checkpoint
        from lipstream.engines.wav2lip.tiles import open_network

        # Opened once for its trial, so that the first start need not do it.
        open_network(import_checkpoint(file, cache, report), mouth_only=True, threads=available_cores())
    elif kind == "segmentation":
        from lipstream.enhance.segmentation import import_segmentation

        import_segmentation(file, cache, report)
    else:
        from lipstream.enhance.upscaling import import_upscaler

        import_upscaler(file, cache, report)


def _download_bar(disable: bool = False) -> Progress:
    columns = (TextColumn("{task.description:16}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=disable)


def _reporter(bar: Progress, task: TaskID) -> StoreProgress:
    return lambda _asset, done, total: bar.update(task, completed=done, total=total)
