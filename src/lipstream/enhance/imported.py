"""Imported enhancement checkpoints, kept in the cache under the hash of the file they came from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lipstream.errors import ModelError
from lipstream.models.digest import file_sha256

FORMAT = 1
"""Incremented when the content of imports changes, so that older ones are made again."""

Step = Callable[[str, int, int], None]
"""Called with (description of the step, steps done, steps in all)."""

Description = dict[str, Any]
"""What an import holds, as JSON: at least the ``source`` file's name and its ``sha256``."""

_DESCRIPTION = "import.json"


def no_report(step: str, done: int, total: int) -> None:
    """Ignores the progress, for callers that do not need it."""


def import_folder(kind: str, sha256: str, cache: Path) -> Path:
    """Where the import of the file with this hash belongs; ``kind`` says what it was imported as."""
    return cache / kind / f"{sha256[:16]}-v{FORMAT}-mnn{version('MNN')}"


def read_description(folder: Path) -> Description | None:
    """What a whole import says of itself, or None when there is none."""
    try:
        description = json.loads((folder / _DESCRIPTION).read_text())
    except (OSError, ValueError):
        return None
    return description if isinstance(description, dict) else None


def make_import(
    checkpoint: Path, kind: str, cache: Path, write: Callable[[Path], Description], extra: str
) -> tuple[Path, Description]:
    """The import's folder and description; ``write`` fills a new folder unless the cache has one already.

    ``extra`` is the extra to install if ``write`` lacks a package; the error is then :class:`ModelError`
    (``model_missing``). Also raises whatever ``write`` raises.
    """
    try:
        sha256 = file_sha256(checkpoint)
    except OSError as error:
        raise ModelError(
            "model_missing", f"The checkpoint {checkpoint} cannot be read. docs/checkpoints.md says where to get one."
        ) from error
    folder = import_folder(kind, sha256, cache)
    if (found := read_description(folder)) is not None:
        return folder, found
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".import-") as place:
        partial = Path(place) / folder.name
        partial.mkdir()
        try:
            description = write(partial) | {"source": checkpoint.name, "sha256": sha256}
        except ImportError as error:
            raise ModelError(
                "model_missing",
                f"{checkpoint.name} has not been imported yet. Importing it needs more packages, once ({error}). "
                f"Run: pip install 'lipstream[{extra}]' && lipstream models import {checkpoint}",
            ) from error
        (partial / _DESCRIPTION).write_text(json.dumps(description, indent=2))
        try:
            partial.replace(folder)
        except OSError:
            # Another process was faster; its import is just as good.
            if read_description(folder) is None:
                raise
    return folder, description
