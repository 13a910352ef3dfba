"""Loads the engines that can run here, each with whatever optional models are present and readable."""

from __future__ import annotations

import logging
from pathlib import Path

from lipstream.config import Settings, available_cores
from lipstream.engines.base import Engine
from lipstream.engines.portrait.engine import PortraitEngine
from lipstream.engines.wav2lip.engine import Enhancements, Wav2LipEngine
from lipstream.engines.wav2lip.imported import find_checkpoint
from lipstream.enhance.imported import Step
from lipstream.enhance.segmentation import FaceParser
from lipstream.enhance.upscaling import Upscaler
from lipstream.errors import LipstreamError
from lipstream.face.alignment import FaceAlignmentDetector
from lipstream.models.store import ModelStore

logger = logging.getLogger(__name__)


def load_engines(store: ModelStore, settings: Settings) -> tuple[list[Engine], dict[str, LipstreamError]]:
    """The engines; and for each engine or optional model whose file is present but cannot be used, its name and the
    reason.

    Raises :class:`lipstream.errors.ModelError` if a required model is missing.
    """
    engines: list[Engine] = [PortraitEngine.load(store)]
    problems: dict[str, LipstreamError] = {}
    if checkpoint := find_checkpoint(settings.wav2lip_path):
        try:
            engines.append(_load_wav2lip(checkpoint, store, settings, problems))
        except LipstreamError as error:
            _note(problems, "wav2lip", error)
    elif settings.device != "cpu":
        logger.warning(
            "device=%s has no effect: only the engine wav2lip uses it, and its checkpoint %s does not exist.",
            settings.device,
            settings.wav2lip_path,
        )
    return engines, problems


def _load_wav2lip(
    checkpoint: Path, store: ModelStore, settings: Settings, problems: dict[str, LipstreamError]
) -> Wav2LipEngine:
    """The engine with those optional models that are present and readable; why the others are not goes into
    ``problems``."""
    parser = upscaler = detector = None
    if settings.segmentation_path.is_file():
        try:
            parser = FaceParser.load(
                settings.segmentation_path, store.cache, on_progress=_log_steps(settings.segmentation_path)
            )
        except LipstreamError as error:
            _note(problems, "segmentation", error)
    if settings.sr_path.is_file():
        try:
            threads = available_cores()
            upscaler = Upscaler.load(
                settings.sr_path,
                store.cache,
                device=settings.device,
                threads=threads,
                on_progress=_log_steps(settings.sr_path),
            )
        except LipstreamError as error:
            _note(problems, "super-resolution", error)
    if settings.face_detector == "face-alignment":
        try:
            detector = FaceAlignmentDetector.load(settings.checkpoints_dir, device=settings.device)
        except LipstreamError as error:
            _note(problems, "face-alignment", error)
    enhancements = Enhancements(parser, upscaler, detector)
    return Wav2LipEngine.load(
        checkpoint,
        store.cache,
        device=settings.device,
        enhancements=enhancements,
        on_progress=_log_steps(checkpoint),
    )


def _log_steps(checkpoint: Path) -> Step:
    """Reports the progress of an import in the log, so that a start that takes half a minute does not look stuck."""

    def log(step: str, done: int, total: int) -> None:
        if done < total:
            logger.info("Importing %s, once: %s (%d of %d)", checkpoint.name, step, done + 1, total)

    return log


def _note(problems: dict[str, LipstreamError], what: str, error: LipstreamError) -> None:
    logger.warning("%s is not available: %s (%s)", what, error.message, error.code)
    problems[what] = error
