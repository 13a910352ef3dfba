"""Chooses large Winograd tiles where they are exact enough, which depends on the weights and on the processor.

Large tiles compute batches a quarter faster. Their rounding errors are below a grey level with well-behaved weights,
and several levels with others. So they are measured once for every import and kind of processor, by comparing the
decoder's batches with its single pictures, which always use small tiles. The result is stored with the import.
"""

from __future__ import annotations

import json
import logging
import platform
from pathlib import Path

import cv2
import numpy as np

from lipstream.engines.wav2lip.architecture import MEL_BANDS, WINDOW_COLUMNS
from lipstream.engines.wav2lip.imported import ImportedModel
from lipstream.engines.wav2lip.mel import MAX_VALUE
from lipstream.engines.wav2lip.network import Device, GeneratorNetwork

logger = logging.getLogger(__name__)

MAX_ERROR = 0.75 / 255
"""Largest difference accepted in the trial, for a promise of one grey level in all pictures."""
_FACES, _WINDOWS, _BATCH = 3, 8, 8


def open_network(
    model: ImportedModel,
    *,
    mouth_only: bool,
    device: Device = "cpu",
    threads: int = 2,
    precise: bool | None = None,
) -> GeneratorNetwork:
    """The generator, see :class:`GeneratorNetwork`; with ``precise`` None the trial decides, which takes a second."""
    if precise is None and device == "cpu":
        record = model.folder / f"tiles-{'mouth' if mouth_only else 'whole'}-{_processor()}.json"
        error = _read(record)
        if error is None:
            network = GeneratorNetwork(model, mouth_only=mouth_only, threads=threads, precise=False)
            error = tile_error(network)
            _write(record, error)
            logger.info("Large tiles differ by up to %.2f grey levels.", 255 * error)
            if error <= MAX_ERROR:
                return network
        precise = error > MAX_ERROR
    return GeneratorNetwork(model, mouth_only=mouth_only, device=device, threads=threads, precise=precise is not False)


def tile_error(network: GeneratorNetwork) -> float:
    """The largest difference between pictures computed in batches and singly; 1 is the difference of black and
    white."""
    random = np.random.default_rng(0)
    worst = 0.0
    for _ in range(_FACES):
        coarse = random.random((6, 6, 3), np.float32)
        face = cv2.resize(coarse, (network.side, network.side), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        masked = face.copy()
        masked[network.side // 2 :] = 0
        shares = network.encode(np.ascontiguousarray(np.concatenate([masked, face], axis=2).transpose(2, 0, 1)))
        windows = random.uniform(-MAX_VALUE, MAX_VALUE, (_WINDOWS, MEL_BANDS, WINDOW_COLUMNS)).astype(np.float32)
        windows[0] = -MAX_VALUE  # silence
        alone, together = (network.generate(windows, shares, batch) for batch in (1, _BATCH))
        worst = max(worst, float(np.abs(together - alone).max()))
    return worst


def _processor() -> str:
    """What decides which tiles MNN takes: the architecture and the width of its vectors."""
    try:
        wide = "avx512f" in Path("/proc/cpuinfo").read_text()
    except OSError:
        wide = False
    return f"{platform.machine()}{'-avx512' if wide else ''}"


def _read(record: Path) -> float | None:
    try:
        return float(json.loads(record.read_text())["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(record: Path, error: float) -> None:
    try:
        record.write_text(json.dumps({"error": error}))
    except OSError as problem:  # a cache that cannot be written to is measured again
        logger.warning("%s cannot be written: %s", record, problem)
