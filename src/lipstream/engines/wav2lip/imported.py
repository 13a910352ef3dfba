"""Imported checkpoints: converted once and kept in the cache under the hash of the file they came from."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from lipstream.engines.wav2lip.architecture import SIDE, generator, share_rows
from lipstream.engines.wav2lip.checkpoint import checkpoint_width, read_checkpoint
from lipstream.engines.wav2lip.export import Weights, export_decoder, export_face_encoder
from lipstream.engines.wav2lip.split import split_export
from lipstream.enhance.imported import Step, no_report
from lipstream.errors import ModelError
from lipstream.models.convert import convert
from lipstream.models.digest import file_sha256

FORMAT = 1
"""Incremented when the content of imports changes, so that older ones are made again."""

FIRST_MOUTH_ROW = 48
"""First row (of 96) that the mouth-side decoder computes; from there on, the face is hidden from the network. The tip
of the nose, above which nothing is blended in, lies at about row 52 of the face box."""

_DESCRIPTION = "import.json"
_NAMES, _SUFFIXES = ("wav2lip_gan", "wav2lip"), (".pth", ".pt", ".onnx")
_STEPS = ("reading the checkpoint", "face encoder", "decoder", "mouth-side decoder")


@dataclass(frozen=True)
class Description:
    """What an import holds; kept beside it as JSON."""

    source: str
    """Name of the file it was made from."""
    sha256: str
    """That file's hash, hexadecimal."""
    side: int
    """Side of the network's pictures, pixels."""
    shares: int
    """Number of face shares."""
    batched_shares: bool
    """Whether the decoder wants the shares once per frame (exports by others) instead of once per call."""
    first_mouth_row: int | None
    """First row of the mouth-side decoder; None = there is no such decoder, use the whole one."""
    mouth_share_rows: tuple[int, ...]
    """Rows that the mouth-side decoder wants cut off the top of each share."""


@dataclass(frozen=True)
class ImportedModel:
    """A directory in the cache."""

    folder: Path
    """Holds ``face``, ``decoder`` and perhaps ``mouth``, each as ``.mnn``; the first two as ``.onnx`` as well."""
    description: Description
    """What is in it."""

    def network(self, name: str) -> Path:
        """The MNN file of ``face``, ``decoder`` or ``mouth``."""
        return self.folder / f"{name}.mnn"

    def graph(self, name: str) -> Path:
        """The ONNX file of ``face`` or ``decoder``."""
        return self.folder / f"{name}.onnx"


def find_checkpoint(configured: Path) -> Path | None:
    """The checkpoint to use: ``configured``, or one of the published names beside it; None when there is none."""
    beside = (configured.with_name(name + suffix) for name in _NAMES for suffix in _SUFFIXES)
    return next((path for path in (configured, *beside) if path.is_file()), None)


def import_folder(checkpoint: Path, cache: Path) -> Path:
    """Where the import of this very file belongs. Reads the whole file for its hash."""
    return _folder(_sha256(checkpoint), cache)


def open_import(folder: Path) -> ImportedModel | None:
    """The import in ``folder``, or None when there is no whole one."""
    try:
        fields = json.loads((folder / _DESCRIPTION).read_text())
        fields["mouth_share_rows"] = tuple(fields["mouth_share_rows"])
        return ImportedModel(folder, Description(**fields))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def import_checkpoint(checkpoint: Path, cache: Path, on_progress: Step = no_report) -> ImportedModel:
    """The checkpoint's import, made now if it is not cached. Making it takes about ten seconds and needs the extra
    ``torch``.

    ``.onnx`` files are cut in two, everything else is read by PyTorch. Raises :class:`ModelError`: ``model_missing``
    (no such file, or the extra is not installed), ``model_damaged`` (not Wav2Lip).
    """
    sha256 = _sha256(checkpoint)
    folder = _folder(sha256, cache)
    if (found := open_import(folder)) is not None:
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".import-") as place:
        partial = Path(place) / folder.name
        partial.mkdir()
        try:
            _write(checkpoint, sha256, partial, on_progress)
        except ImportError as error:
            raise ModelError(
                "model_missing",
                f"{checkpoint.name} has not been imported yet. Importing it needs PyTorch, once. "
                f"Run: pip install 'lipstream[torch]' && lipstream models import {checkpoint}",
            ) from error
        try:
            partial.replace(folder)
        except OSError:
            # Another process was faster; its import is just as good.
            if open_import(folder) is None:
                raise
    imported = open_import(folder)
    assert imported is not None
    return imported


def write_import(weights: Weights, folder: Path, *, source: str, sha256: str, on_progress: Step = no_report) -> None:
    """Write the import of a checkpoint's tensors into ``folder``. Needs the package ``onnx``."""
    width = checkpoint_width(weights)
    model = generator(width)
    export_face_encoder(weights, width, folder / "face.onnx")
    export_decoder(weights, width, folder / "decoder.onnx")
    export_decoder(weights, width, folder / "mouth.onnx", FIRST_MOUTH_ROW)
    _convert_all(folder, on_progress)
    # The ONNX graphs are only needed on graphics cards, which run the whole decoder.
    (folder / "mouth.onnx").unlink()
    rows = share_rows(model, FIRST_MOUTH_ROW)
    _describe(folder, Description(source, sha256, SIDE, len(model.features), False, FIRST_MOUTH_ROW, rows))


def _write(checkpoint: Path, sha256: str, folder: Path, on_progress: Step) -> None:
    on_progress(_STEPS[0], 0, len(_STEPS))
    if checkpoint.suffix == ".onnx":
        side, shares = split_export(checkpoint, folder / "face.onnx", folder / "decoder.onnx")
        _convert_all(folder, on_progress)
        _describe(folder, Description(checkpoint.name, sha256, side, shares, True, None, ()))
    else:
        weights = read_checkpoint(checkpoint)
        write_import(weights, folder, source=checkpoint.name, sha256=sha256, on_progress=on_progress)
    on_progress("done", len(_STEPS), len(_STEPS))


def _convert_all(folder: Path, on_progress: Step) -> None:
    for step, name in enumerate(("face", "decoder", "mouth"), start=1):
        on_progress(_STEPS[step], step, len(_STEPS))
        graph = folder / f"{name}.onnx"
        if graph.exists():
            convert(graph, graph.with_suffix(".mnn"))


def _describe(folder: Path, description: Description) -> None:
    (folder / _DESCRIPTION).write_text(json.dumps(asdict(description), indent=2))


def _folder(sha256: str, cache: Path) -> Path:
    return cache / "wav2lip" / f"{sha256[:16]}-v{FORMAT}-mnn{version('MNN')}"


def _sha256(checkpoint: Path) -> str:
    """Hash of the file, and of the file beside it into which ONNX puts large tensors."""
    data = checkpoint.with_name(f"{checkpoint.name}.data")
    try:
        return file_sha256(checkpoint, data) if data.is_file() else file_sha256(checkpoint)
    except OSError as error:
        raise ModelError(
            "model_missing", f"The checkpoint {checkpoint} cannot be read. docs/wav2lip.md says where to get one."
        ) from error
