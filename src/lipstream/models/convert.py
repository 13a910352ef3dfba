"""Turn TFLite and ONNX networks into MNN's own format."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from lipstream.errors import ModelError
from lipstream.models.assets import Part
from lipstream.models.tflite import cut

_FORMATS = {".tflite": "TFLITE", ".onnx": "ONNX"}
_CONVERT = "import sys; from lipstream.models.mnn import import_converter; import_converter().mnnconvert(sys.argv)"
_SECONDS = 600


def is_network(path: Path) -> bool:
    """Whether :func:`convert` knows files of this kind."""
    return path.suffix in _FORMATS


def converted_name(source: Path, sha256: str, part: Part | None) -> str:
    """File name of the MNN form, different for different content, parts and versions of the converter."""
    middle = f"-{part.name}" if part else ""
    return f"{source.stem}{middle}-{sha256[:12]}-mnn{version('MNN')}.mnn"


def convert(source: Path, target: Path, part: Part | None = None) -> None:
    """Write the network ``source``, or one part of it (TFLite only), as an MNN file, atomically.

    The converter runs in a process of its own, because it prints, and because a file that it does not understand can
    crash it. Raises :class:`ModelError` (``model_damaged``).
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".convert-") as folder:
        if part is not None:
            whole, source = source, Path(folder) / source.name
            source.write_bytes(cut(whole.read_bytes(), part.inputs, part.outputs))
        result = Path(folder) / target.name
        command = [sys.executable, "-c", _CONVERT, "-f", _FORMATS[source.suffix], "--bizCode", "lipstream"]
        command += ["--modelFile", str(source), "--MNNModel", str(result)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        # The exit status and the converter's own result report success even after errors; only the file tells.
        if not result.is_file() or result.stat().st_size == 0:
            lines = (done.stdout + done.stderr).strip().splitlines()
            reason = next((line for line in lines if "failed" in line or "ERROR" in line), "no reason given")
            raise ModelError(
                "model_damaged",
                f"MNN cannot convert {source.name} ({reason}). Fetch it again with: lipstream models pull",
            )
        result.replace(target)
